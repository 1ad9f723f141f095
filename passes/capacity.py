"""What to say when the weights do not fit the chip."""

from __future__ import annotations

from imccompiler.errors import DoesNotFitError


def of_kind(kind: str) -> str:
    """The kind of core in words, if it has to be told."""
    return f" of kind {kind!r}" if kind else ""


def does_not_fit(
    demand: int, capacity: int, cores: int, layer: str | None = None, kind: str = ""
) -> DoesNotFitError:
    """The error for too few crossbars, with the levers that would help.

    `kind` names the kind of core where there are several.
    """
    per_core = capacity // max(cores, 1)
    return DoesNotFitError(
        f"the weights do not fit the chip's crossbars{of_kind(kind)}",
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


def no_room(layer: str, demand: int, free: int, cores: int, kind: str = "") -> DoesNotFitError:
    """The error for a part of a layer that is larger than what any one core has left.

    `kind` names the kind of core where there are several.
    """
    return DoesNotFitError(
        f"no core{of_kind(kind)} has room for a part of this layer",
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
