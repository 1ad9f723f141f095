"""Arrays of which only the shape is known: weights that a network does not bring (`--shapes-only`).

Their values stand for unknown ones and mean nothing, so passes need not compute with them. Large
ones repeat a block by strides of zero, in memory and on disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
KEY = "absent"  # of the metadata of a file: shapes by name


class Absent(np.ndarray[Any, Any]):
    """An array whose values are not known; so are its views."""


def absent(shape: tuple[int, ...], dtype: Any) -> Array:
    """An array whose values are not known."""
    return as_absent(np.broadcast_to(np.zeros((), dtype), shape))


def as_absent(array: Array) -> Array:
    """The array, its values taken for unknown."""
    return array.view(Absent)


def is_absent(array: Array) -> bool:
    """Whether only the array's shape is known."""
    return isinstance(array, Absent)


def without_absent(arrays: Mapping[str, Array]) -> tuple[dict[str, Array], dict[str, str]]:
    """Arrays to write, of absent ones the block that repeats, and the metadata to read them by."""
    shapes = {name: list(a.shape) for name, a in arrays.items() if is_absent(a)}
    kept = {name: block_of(a) if name in shapes else a for name, a in arrays.items()}
    return (
        {name: np.asarray(a, order="C") for name, a in kept.items()},
        {KEY: json.dumps(shapes)} if shapes else {},
    )


def with_absent(
    arrays: Mapping[str, Array], metadata: Mapping[str, str] | None
) -> dict[str, Array]:
    """What `without_absent` was given, from what was read."""
    shapes: dict[str, list[int]] = json.loads((metadata or {}).get(KEY, "{}"))
    return {
        name: as_absent(np.broadcast_to(a, shapes[name])) if name in shapes else a
        for name, a in arrays.items()
    }


def block_of(array: Array) -> Array:
    """The array without its repetitions."""
    return np.asarray(array)[tuple(slice(0, None if step else 1) for step in array.strides)]
