"""Integers as bytes of local memory."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def encode(values: NDArray[Any], width: int) -> NDArray[np.uint8]:
    """Two's complement bytes, little endian, `width` (at most 8) bytes a value."""
    wide = np.ascontiguousarray(np.asarray(values).astype("<i8").reshape(-1))
    return np.ascontiguousarray(wide.view(np.uint8).reshape(-1, 8)[:, :width]).reshape(-1)
