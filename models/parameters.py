"""Where a network's parameters come from: a seed, or arrays that the user has."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from imccompiler.errors import ModelError

Array = npt.NDArray[Any]
Weights = Mapping[str, Array]
Seed = int | None  # None: the parameters have shapes and no values

# He-normal weights, centred for each output as in Brock et al. 2021 (arXiv:2102.06171): without
# that the mean that ReLU leaves drowns the signal, and deep logits hardly depend on the image.
# SiLU, GELU and hard swish take as much as ReLU within a tenth, so the gain serves all of them.
RELU_GAIN = 2 / (1 - 1 / math.pi)  # over the variance, what ReLU takes from a unit normal
HE_GAIN = 2.0  # over the mean square, for weights that are not centred


def draw(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    *,
    std: float,
    mean: float = 0.0,
    centred: int | None = None,
) -> Array:
    """Draw normal(mean, std) float32 values.

    With `centred`, the draws have zero mean over all axes but that one.
    """
    values = rng.standard_normal(shape, dtype=np.float32)
    if centred is not None:
        axes = tuple(axis for axis in range(len(shape)) if axis != centred)
        values -= values.mean(axis=axes, keepdims=True, dtype=np.float64).astype(np.float32)
    values *= np.float32(std)
    values += np.float32(mean)
    return values


def pick(weights: Weights, name: str, shape: tuple[int, ...]) -> Array:
    """Return the array given for a parameter as float32.

    Raises:
        ModelError: If there is none, or it has another shape.
    """
    if name not in weights:
        raise ModelError("the given weights lack this parameter", where=name)
    if weights[name].shape != shape:
        raise ModelError(f"the given weight is {weights[name].shape}, not {shape}", where=name)
    return np.ascontiguousarray(weights[name], dtype=np.float32)
