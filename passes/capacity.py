"""What to say when the weights do not fit the chip."""

from __future__ import annotations

from imccompiler.errors import DoesNotFitError


def does_not_fit(
    demand: int, capacity: int, cores: int, layer: str | None = None
) -> DoesNotFitError:
    """The error for too few crossbars, with the levers that would help."""
    per_core = capacity // max(cores, 1)
    return DoesNotFitError(
        "the weights do not fit the chip's crossbars",
        demand=demand,
        capacity=capacity,
        unit="crossbars",
        levers=(
            f"use at least {-(-demand // max(per_core, 1))} cores (now {cores})",
            f"use at least {-(-demand // max(cores, 1))} crossbars a core (now {per_core})",
            "use cells with more bits, or fewer weight bits",
            "use a machine with cell.rewritable: weights then come in segments",
        ),
        where=layer,
    )


def no_room(layer: str, demand: int, free: int, cores: int) -> DoesNotFitError:
    """The error for a part of a layer that is larger than what any one core has left."""
    return DoesNotFitError(
        "no core has room for a part of this layer",
        demand=demand,
        capacity=free,
        unit="crossbars in one core",
        levers=(
            f"use more cores (now {cores}) or larger ones",
            "spread a copy of the layer over more cores (`row_split`, `column_split`)",
            "use cells with more bits, or fewer weight bits",
        ),
        where=layer,
    )
