"""ONNX operators that only move data: they work on any element type, codes included.

Shapes, axes and indices are operands or attributes (`docs/ir.md` has them as attributes).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import UserInputError
from imccompiler.simulator.digital_elementwise import Attributes, Evaluate

Array = NDArray[Any]


def given(attributes: Attributes, operands: Sequence[Any], position: int, name: str) -> Any:
    """A parameter from its operand or its attribute; None if it is neither."""
    operand = operands[position] if len(operands) > position else None
    return attributes.get(name) if operand is None else operand


def _integers(
    attributes: Attributes, operands: Sequence[Any], position: int, name: str
) -> list[int] | None:
    value = given(attributes, operands, position, name)
    return None if value is None else [int(v) for v in np.asarray(value).ravel()]


def reshape(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Reshape; 0 copies a dimension (unless `allowzero`), -1 is the rest."""
    x, shape = operands[0], _integers(attributes, operands, 1, "shape") or []
    if not attributes.get("allowzero", 0):
        shape = [x.shape[i] if n == 0 and i < x.ndim else n for i, n in enumerate(shape)]
    return x.reshape(shape)


def flatten(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Join the axes before and from `axis` (default 1) on to two."""
    x, axis = operands[0], attributes.get("axis", 1)
    axis += x.ndim if axis < 0 else 0
    return x.reshape(int(np.prod(x.shape[:axis])), -1)


def squeeze(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Drop axes of size 1; all of them where none is named."""
    axes = _integers(attributes, operands, 1, "axes")
    return np.squeeze(operands[0], axis=None if axes is None else tuple(axes))


def unsqueeze(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Insert axes of size 1."""
    return np.expand_dims(operands[0], tuple(_integers(attributes, operands, 1, "axes") or ()))


def slice_(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Slice axes from starts to ends by steps."""
    x = operands[0]
    starts = _integers(attributes, operands, 1, "starts") or []
    ends = _integers(attributes, operands, 2, "ends") or []
    axes = _integers(attributes, operands, 3, "axes") or list(range(len(starts)))
    steps = _integers(attributes, operands, 4, "steps") or [1] * len(starts)
    index = [slice(None)] * x.ndim
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        stop = None if step < 0 and end < -x.shape[axis] else end
        index[axis] = slice(start, stop, step)
    return x[tuple(index)]


def pad(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Pad with a constant, or by the modes reflect, edge and wrap; negative pads crop."""
    x = operands[0]
    pads = _integers(attributes, operands, 1, "pads") or []
    axes = _integers(attributes, operands, 3, "axes") or list(range(x.ndim))
    value = given(attributes, operands, 2, "constant_value")
    widths, crop = [(0, 0)] * x.ndim, [slice(None)] * x.ndim
    for i, axis in enumerate(axes):
        begin, end = pads[i], pads[i + len(axes)]
        widths[axis] = (max(begin, 0), max(end, 0))
        crop[axis] = slice(max(-begin, 0), x.shape[axis] - max(-end, 0))
    x, mode = x[tuple(crop)], attributes.get("mode", "constant")
    if mode == "constant":
        fill = 0 if value is None else np.asarray(value).ravel()[0]
        return np.pad(x, widths, constant_values=fill)
    return np.pad(x, widths, mode=mode)


def expand(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Broadcast with a shape."""
    x, shape = operands[0], tuple(_integers(attributes, operands, 1, "shape") or ())
    return np.broadcast_to(x, np.broadcast_shapes(x.shape, shape))


def gather(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Entries of the first operand along `axis` (default 0) by index.

    Raises:
        UserInputError: An index is outside the axis.
    """
    x, axis = operands[0], attributes.get("axis", 0)
    indices = np.asarray(operands[1]).astype(np.int64)
    size = x.shape[axis]
    if indices.size and not -size <= indices.min() <= indices.max() < size:
        raise UserInputError(f"Gather: an index is outside the {size} entries of axis {axis}")
    return np.take(x, indices, axis=axis)


def gather_elements(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Entries along `axis` (default 0), an index for every element."""
    axis, indices = attributes.get("axis", 0), np.asarray(operands[1]).astype(np.int64)
    return np.take_along_axis(operands[0], indices % operands[0].shape[axis], axis=axis)


def tile(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Repeat along every axis."""
    return np.tile(operands[0], _integers(attributes, operands, 1, "repeats") or [])


def depth_to_space(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Channels to blocks of pixels, in mode DCR (default) or CRD."""
    x, b = operands[0], attributes["blocksize"]
    n, c, h, w = x.shape
    if attributes.get("mode", "DCR") == "DCR":
        y = x.reshape(n, b, b, c // b**2, h, w).transpose(0, 3, 4, 1, 5, 2)
    else:
        y = x.reshape(n, c // b**2, b, b, h, w).transpose(0, 1, 4, 2, 5, 3)
    return y.reshape(n, c // b**2, h * b, w * b)


def space_to_depth(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Blocks of pixels to channels, in mode DCR (default) or CRD."""
    x, b = operands[0], attributes["blocksize"]
    n, c, h, w = x.shape
    depth_first = attributes.get("mode", "DCR") == "DCR"
    order = (0, 3, 5, 1, 2, 4) if depth_first else (0, 1, 3, 5, 2, 4)
    y = x.reshape(n, c, h // b, b, w // b, b).transpose(order)
    return y.reshape(n, c * b**2, h // b, w // b)


MOVEMENT: Mapping[str, Evaluate] = {
    "Concat": lambda attributes, operands: np.concatenate(operands, axis=attributes["axis"]),
    "DepthToSpace": depth_to_space,
    "Dropout": lambda _, operands: operands[0],
    "Expand": expand,
    "Flatten": flatten,
    "Gather": gather,
    "GatherElements": gather_elements,
    "Identity": lambda _, operands: operands[0],
    "Pad": pad,
    "Reshape": reshape,
    "Slice": slice_,
    "SpaceToDepth": space_to_depth,
    "Squeeze": squeeze,
    "Tile": tile,
    "Transpose": lambda attributes, operands: np.transpose(operands[0], attributes.get("perm")),
    "Unsqueeze": unsqueeze,
}
