"""ONNX operators that reduce over axes: softmax, normalisations and reductions, in float64.

Sums run along a contiguous last axis, so that one row's result does not depend on how many rows
are computed at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.simulator.digital_elementwise import Attributes, Evaluate, Real


def axis_rows(x: NDArray[Any], axis: int) -> NDArray[Any]:
    """A contiguous copy with `axis` moved to the end."""
    return np.ascontiguousarray(np.moveaxis(x, axis, -1))


def _exponentials(x: Real, axis: int) -> tuple[Real, Real, Real]:
    """Along the last axis: x less its maximum, its exponentials, and their sum."""
    rows = axis_rows(x, axis)
    rows = rows - rows.max(axis=-1, keepdims=True)
    exponentials = np.exp(rows)
    return rows, exponentials, exponentials.sum(axis=-1, keepdims=True)


def softmax(attributes: Attributes, operands: Sequence[Any]) -> Real:
    """Softmax along `axis` (default -1)."""
    axis = attributes.get("axis", -1)
    _, exponentials, total = _exponentials(operands[0], axis)
    return np.moveaxis(exponentials / total, -1, axis)


def log_softmax(attributes: Attributes, operands: Sequence[Any]) -> Real:
    """Logarithm of the softmax along `axis` (default -1)."""
    axis = attributes.get("axis", -1)
    rows, _, total = _exponentials(operands[0], axis)
    return np.moveaxis(rows - np.log(total), -1, axis)


def _standardise(rows: Real, epsilon: float) -> Real:
    """Rows along the last axis less their mean, over their standard deviation."""
    centred = rows - rows.mean(axis=-1, keepdims=True)
    variance = (centred * centred).mean(axis=-1, keepdims=True)
    return centred / np.sqrt(variance + epsilon)


def _per_channel(values: NDArray[Any], rank: int) -> NDArray[np.float64]:
    """A vector over the channels, shaped to broadcast against (N, C, spatial...)."""
    return np.asarray(values, dtype=np.float64).reshape(-1, *[1] * (rank - 2))


def layer_normalization(attributes: Attributes, operands: Sequence[Any]) -> Real:
    """Standardise over all axes from `axis` (default -1) on, then scale and shift."""
    x, scale = operands[0], operands[1]
    axis = attributes.get("axis", -1)
    axis -= x.ndim if axis >= 0 else 0
    rows = np.ascontiguousarray(x).reshape(*x.shape[:axis], -1)
    y = _standardise(rows, attributes.get("epsilon", 1e-5)).reshape(x.shape) * scale
    return y if len(operands) < 3 or operands[2] is None else y + operands[2]


def rms_normalization(attributes: Attributes, operands: Sequence[Any]) -> Real:
    """Divide by the root mean square over all axes from `axis` (default -1) on, then scale."""
    x, scale = operands[0], operands[1]
    axis = attributes.get("axis", -1)
    axis -= x.ndim if axis >= 0 else 0
    rows = np.ascontiguousarray(x).reshape(*x.shape[:axis], -1)
    square = (rows * rows).mean(axis=-1, keepdims=True)
    return (rows / np.sqrt(square + attributes.get("epsilon", 1e-5))).reshape(x.shape) * scale


def instance_normalization(attributes: Attributes, operands: Sequence[Any]) -> Real:
    """Standardise each channel of each image, then scale and shift."""
    x, scale, bias = operands
    rows = np.ascontiguousarray(x).reshape(*x.shape[:2], -1)
    y = _standardise(rows, attributes.get("epsilon", 1e-5)).reshape(x.shape)
    return y * _per_channel(scale, x.ndim) + _per_channel(bias, x.ndim)


def group_normalization(attributes: Attributes, operands: Sequence[Any]) -> Real:
    """Standardise `num_groups` groups of channels, then scale and shift each channel."""
    x, scale, bias = operands
    rows = np.ascontiguousarray(x).reshape(x.shape[0], attributes["num_groups"], -1)
    y = _standardise(rows, attributes.get("epsilon", 1e-5)).reshape(x.shape)
    return y * _per_channel(scale, x.ndim) + _per_channel(bias, x.ndim)


def batch_normalization(attributes: Attributes, operands: Sequence[Any]) -> Real:
    """Scale and shift each channel by its given statistics."""
    x = operands[0]
    scale, bias, mean, variance = (_per_channel(v, x.ndim) for v in operands[1:])
    gain = scale / np.sqrt(variance + attributes.get("epsilon", 1e-5))
    return (x - mean) * gain + bias


def local_response_normalization(attributes: Attributes, operands: Sequence[Any]) -> Real:
    """Divide by a power of the sum of squares over `size` neighbouring channels."""
    x, size = operands[0], attributes["size"]
    squares = np.moveaxis(x * x, 1, -1)
    before = (size - 1) // 2
    padded = np.pad(squares, [(0, 0)] * (x.ndim - 1) + [(before, size - 1 - before)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, size, axis=-1)
    total = np.moveaxis(np.ascontiguousarray(windows).sum(axis=-1), -1, 1)
    alpha, beta = attributes.get("alpha", 1e-4), attributes.get("beta", 0.75)
    return x / (attributes.get("bias", 1.0) + alpha / size * total) ** beta


def reduction_axes(attributes: Attributes, operands: Sequence[Any], rank: int) -> tuple[int, ...]:
    """Axes of a reduction, from its attribute or its second operand; all where none is given."""
    given = operands[1] if len(operands) > 1 and operands[1] is not None else attributes.get("axes")
    axes = [] if given is None else [int(axis) % rank for axis in np.asarray(given).ravel()]
    if axes or attributes.get("noop_with_empty_axes", 0):
        return tuple(sorted(axes))
    return tuple(range(rank))


def _reduction(function: Callable[[Real], Real]) -> Evaluate:
    """A reduction from what it does along the last axis."""

    def evaluate(attributes: Attributes, operands: Sequence[Any]) -> Real:
        x = operands[0]
        axes = reduction_axes(attributes, operands, x.ndim)
        if not axes:
            return x
        kept = [axis for axis in range(x.ndim) if axis not in axes]
        moved = np.ascontiguousarray(np.transpose(x, (*kept, *axes)))
        result = function(moved.reshape(*(x.shape[axis] for axis in kept), -1))
        return np.expand_dims(result, axes) if attributes.get("keepdims", 1) else result

    return evaluate


def _log_sum_exp(rows: Real) -> Real:
    top = rows.max(axis=-1, keepdims=True)
    return np.log(np.exp(rows - top).sum(axis=-1)) + top[..., 0]


REDUCTION: Mapping[str, Evaluate] = {
    "BatchNormalization": batch_normalization,
    "GroupNormalization": group_normalization,
    "InstanceNormalization": instance_normalization,
    "LRN": local_response_normalization,
    "LayerNormalization": layer_normalization,
    "LogSoftmax": log_softmax,
    "RMSNormalization": rms_normalization,
    "ReduceL1": _reduction(lambda rows: np.abs(rows).sum(axis=-1)),
    "ReduceL2": _reduction(lambda rows: np.sqrt((rows * rows).sum(axis=-1))),
    "ReduceLogSumExp": _reduction(_log_sum_exp),
    "ReduceMax": _reduction(lambda rows: rows.max(axis=-1)),
    "ReduceMean": _reduction(lambda rows: rows.mean(axis=-1)),
    "ReduceMin": _reduction(lambda rows: rows.min(axis=-1)),
    "ReduceProd": _reduction(lambda rows: rows.prod(axis=-1)),
    "ReduceSum": _reduction(lambda rows: rows.sum(axis=-1)),
    "ReduceSumSquare": _reduction(lambda rows: (rows * rows).sum(axis=-1)),
    "Softmax": softmax,
}
