"""ONNX pooling operators on (N, C, spatial...); maxima and sums work on reals and on codes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.simulator.digital_elementwise import Attributes, Evaluate, Real
from imccompiler.simulator.windows import Windows


def window_maxima(attributes: Attributes, x: NDArray[Any], lowest: float) -> NDArray[Any]:
    """Largest element of each window; padding counts as `lowest`."""
    windows = Windows.of_pool(attributes, x.shape[2:])
    return reduce(np.maximum, windows.views(windows.pad(x, lowest)))


def window_sums(windows: Windows, x: NDArray[Any]) -> NDArray[Any]:
    """Sum of each window, added in the kernel's order; padding counts as 0."""
    return reduce(np.add, windows.views(windows.pad(x, 0)))


def _counts(windows: Windows, *, include_pad: bool) -> Real:
    """Elements that each window's mean divides by: shape of the windows."""
    if not windows.padded:
        return np.array(float(np.prod(windows.kernel)))
    n, begins, ends = windows.sizes, windows.begins, windows.pads_end
    ones = np.ones((1, 1, *n))
    if include_pad:  # declared padding counts, what ceil mode adds does not
        ones = windows.pad(ones, 0.0)
        reach = [slice(0, b + s + e) for b, s, e in zip(begins, n, ends, strict=True)]
        ones[(..., *reach)] = 1.0
        return reduce(np.add, windows.views(ones))
    return window_sums(windows, ones)


def average_pool(attributes: Attributes, operands: Sequence[Any]) -> Real:
    """Mean of each window."""
    x = operands[0]
    windows = Windows.of_pool(attributes, x.shape[2:])
    include = bool(attributes.get("count_include_pad", 0))
    return window_sums(windows, x) / _counts(windows, include_pad=include)


def lp_pool(attributes: Attributes, operands: Sequence[Any]) -> Real:
    """p-norm of each window (default p = 2)."""
    x, p = operands[0], attributes.get("p", 2)
    windows = Windows.of_pool(attributes, x.shape[2:])
    return window_sums(windows, np.abs(x) ** p) ** (1.0 / p)


def _flat_spatial(x: NDArray[Any]) -> NDArray[Any]:
    return np.ascontiguousarray(x).reshape(*x.shape[:2], -1)


def _keep_spatial(y: NDArray[Any], rank: int) -> NDArray[Any]:
    return y.reshape(*y.shape[:2], *[1] * (rank - 2))


def global_maxima(x: NDArray[Any]) -> NDArray[Any]:
    """Largest element of each channel, spatial axes kept with size 1."""
    return _keep_spatial(_flat_spatial(x).max(axis=-1), x.ndim)


def global_sums(x: NDArray[Any]) -> NDArray[Any]:
    """Sum of each channel, spatial axes kept with size 1."""
    return _keep_spatial(_flat_spatial(x).sum(axis=-1), x.ndim)


POOLING: Mapping[str, Evaluate] = {
    "AveragePool": average_pool,
    "GlobalAveragePool": lambda _, operands: (
        global_sums(operands[0]) / np.prod(operands[0].shape[2:])
    ),
    "GlobalMaxPool": lambda _, operands: global_maxima(operands[0]),
    "LpPool": lp_pool,
    "MaxPool": lambda attributes, operands: window_maxima(attributes, operands[0], -np.inf),
}
