"""Integers and integer arrays, rounded up or to picoseconds."""

from __future__ import annotations

from typing import TypeVar, cast

import numpy as np
from numpy.typing import NDArray

Count = TypeVar("Count", int, NDArray[np.int64])
"""An int, or an int64 array: what goes in comes out."""

PS_PER_NS = 1000


def ceil_div(numerator: Count, denominator: int) -> Count:
    """Division rounded up."""
    return cast("Count", -(-numerator // denominator))


def smaller(count: Count, limit: int) -> Count:
    """The smaller of a count and a limit."""
    return cast("Count", min(count, limit) if isinstance(count, int) else np.minimum(count, limit))


def larger(count: Count, limit: int) -> Count:
    """The larger of a count and a limit."""
    return cast("Count", max(count, limit) if isinstance(count, int) else np.maximum(count, limit))


def picoseconds(time_ns: float) -> int:
    """Nanoseconds to the nearest picosecond."""
    return round(time_ns * PS_PER_NS)
