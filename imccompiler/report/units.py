"""Numbers with units as people read them."""

from __future__ import annotations

_TIME = ((1e9, "s"), (1e6, "ms"), (1e3, "µs"), (1.0, "ns"))
_ENERGY = ((1e12, "J"), (1e9, "mJ"), (1e6, "µJ"), (1e3, "nJ"), (1.0, "pJ"))
_COUNT = ((1e9, "G"), (1e6, "M"), (1e3, "k"), (1.0, ""))
NOTHING = "-"


def time_text(ns: float | None) -> str:
    """Nanoseconds, such as `1.52 ms`."""
    return _scaled(ns, _TIME)


def energy_text(pj: float | None) -> str:
    """Picojoules, such as `3.76 µJ`."""
    return _scaled(pj, _ENERGY)


def count_text(count: float | None) -> str:
    """A number of things, such as `1.81 G`."""
    if count is not None and abs(count) < 10_000:
        return f"{count:,.0f}"
    return _scaled(count, _COUNT)


def rate_text(interval_ns: float | None) -> str:
    """Images a second at so many nanoseconds an image."""
    return NOTHING if not interval_ns else f"{count_text(1e9 / interval_ns)} images/s"


def share_text(share: float | None) -> str:
    """A share as per cent."""
    return NOTHING if share is None else f"{100 * share:.1f} %"


def times_text(value: float | None, bound: float | None) -> str:
    """How far a value is above its lower bound, such as `1.32 x`."""
    return NOTHING if value is None or not bound else f"{value / bound:.2f} x"


def _scaled(value: float | None, scales: tuple[tuple[float, str], ...]) -> str:
    if value is None:
        return NOTHING
    size, unit = next((s for s in scales if abs(value) >= s[0]), scales[-1])
    return (
        f"{value / size:.3g} {unit}".strip()
        if abs(value / size) < 999.5
        else (f"{value / size:,.0f} {unit}".strip())
    )
