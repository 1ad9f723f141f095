"""ONNX Resize (and Upsample, as its predecessor) in the modes nearest and linear."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import UserInputError
from imccompiler.simulator.digital_elementwise import Attributes, Evaluate
from imccompiler.simulator.digital_movement import given

Array = NDArray[Any]


def resize(attributes: Attributes, operands: Sequence[Any]) -> Array:
    """Resize each axis by `scales`, or to `sizes`.

    Operands are (x, roi, scales, sizes) as in ONNX, any of the last three absent or empty, or
    attributes of these names; where both are given, `sizes` are the result's and `scales` map
    coordinates.

    Raises:
        UserInputError: The mode, or the mapping of coordinates, is not supported.
    """
    x = operands[0]
    scales, sizes = _scales_and_sizes(attributes, operands, x.shape)
    mode = attributes.get("mode", "nearest")
    if mode not in {"nearest", "linear"}:
        raise UserInputError(f"Resize in mode {mode!r}", hint="use nearest or linear")
    if attributes.get("antialias", 0):
        raise UserInputError("Resize with antialias is not supported")
    for axis, (scale, size) in enumerate(zip(scales, sizes, strict=True)):
        if scale == 1.0 and size == x.shape[axis]:
            continue
        at = _coordinates(attributes, x.shape[axis], size, scale)
        if mode == "nearest":
            x = np.take(x, _nearest(attributes, at, x.shape[axis]), axis=axis)
        else:
            x = _interpolate(x, at, axis)
    return x


def _scales_and_sizes(
    attributes: Attributes, operands: Sequence[Any], shape: tuple[int, ...]
) -> tuple[list[float], list[int]]:
    scales, sizes = (
        None if value is None or np.size(value) == 0 else np.asarray(value).ravel()
        for value in (
            given(attributes, operands, 2, "scales"),
            given(attributes, operands, 3, "sizes"),
        )
    )
    if sizes is None and scales is None:
        raise UserInputError("Resize needs scales or sizes")
    if sizes is None:
        sizes = np.floor(np.asarray(shape) * scales)
    if scales is None:
        scales = np.asarray(sizes) / np.asarray(shape)
    return [float(s) for s in scales], [int(s) for s in sizes]


def _coordinates(
    attributes: Attributes, size_in: int, size_out: int, scale: float
) -> NDArray[np.float64]:
    """Where each result element lies on the input's axis (ONNX Resize, its formulas)."""
    out = np.arange(size_out, dtype=np.float64)
    mode = attributes.get("coordinate_transformation_mode", "half_pixel")
    if mode == "asymmetric":
        return out / scale
    if mode == "align_corners":
        return out * (size_in - 1) / max(size_out - 1, 1)
    if mode == "half_pixel_symmetric":
        adjustment = size_out / (scale * size_in)
        return size_in / 2 * (1 - adjustment) + (out + 0.5) / scale - 0.5
    if mode == "half_pixel" or (mode == "pytorch_half_pixel" and size_out > 1):
        return (out + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return np.zeros(1)
    raise UserInputError(f"Resize with coordinate_transformation_mode {mode!r}")


def _nearest(attributes: Attributes, at: NDArray[np.float64], size: int) -> NDArray[np.int64]:
    mode = attributes.get("nearest_mode", "round_prefer_floor")
    index = {
        "floor": lambda: np.floor(at),
        "ceil": lambda: np.ceil(at),
        "round_prefer_floor": lambda: np.ceil(at - 0.5),
        "round_prefer_ceil": lambda: np.floor(at + 0.5),
    }[mode]()
    return np.clip(index, 0, size - 1).astype(np.int64)


def _interpolate(x: Array, at: NDArray[np.float64], axis: int) -> Array:
    at = np.clip(at, 0, x.shape[axis] - 1)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, x.shape[axis] - 1)
    share = (at - low).reshape(-1, *[1] * (x.ndim - 1 - axis))
    return np.take(x, low, axis=axis) * (1 - share) + np.take(x, high, axis=axis) * share


RESIZE: Mapping[str, Evaluate] = {"Resize": resize, "Upsample": resize}
