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


def picoseconds(time_ns: float) -> int:
    """Nanoseconds to the nearest picosecond."""
    return round(time_ns * PS_PER_NS)
