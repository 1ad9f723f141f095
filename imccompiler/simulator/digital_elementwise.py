"""Elementwise ONNX operators in float64; several operands broadcast.

Comparisons and logic give 0 and 1. Integer tensors are computed as reals.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray

Real = NDArray[np.float64]
Attributes = Mapping[str, Any]
Evaluate = Callable[[Attributes, Sequence[Any]], NDArray[Any]]

SELU_ALPHA, SELU_GAMMA = 1.6732632423543772, 1.0507009873554805
_INTEGER_TYPES = {2, 3, 4, 5, 6, 7, 12, 13}  # ONNX TensorProto.DataType
_BOOL_TYPE = 9
_erf = np.frompyfunc(math.erf, 1, 1)


def erf(x: Real) -> Real:
    """The error function."""
    return np.asarray(_erf(x), dtype=np.float64)


def sigmoid(x: Real) -> Real:
    """1 / (1 + e^-x)."""
    return 1.0 / (1.0 + np.exp(-x))


def softplus(x: Real) -> Real:
    """log(1 + e^x)."""
    return np.logaddexp(x, 0.0)


def gelu(x: Real, approximate: str) -> Real:
    """The product of x and the normal distribution's cumulative function, exactly or by tanh."""
    if approximate == "tanh":
        inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x * x * x)
        return 0.5 * x * (1.0 + np.tanh(inner))
    return 0.5 * x * (1.0 + erf(x / math.sqrt(2)))


def clip(attributes: Attributes, operands: Sequence[Any]) -> Real:
    """Clip between bounds that are operands or attributes, either of which may be absent."""
    low, high = clip_bounds(attributes, operands)
    return np.minimum(np.maximum(operands[0], low), high)


def clip_bounds(attributes: Attributes, operands: Sequence[Any]) -> tuple[float, float]:
    """Bounds of a Clip; infinite where absent."""

    def bound(position: int, name: str, absent: float) -> float:
        operand = operands[position] if len(operands) > position else None
        return float(
            attributes.get(name, absent) if operand is None else np.asarray(operand).item()
        )

    return bound(1, "min", -math.inf), bound(2, "max", math.inf)


def hard_sigmoid(x: Real, alpha: float, beta: float) -> Real:
    """Clip alpha x + beta to [0, 1]."""
    return np.clip(alpha * x + beta, 0.0, 1.0)


def cast(x: Real, to: int) -> Real:
    """Values after a cast: integers truncate, booleans are 0 and 1."""
    if to == _BOOL_TYPE:
        return (x != 0).astype(np.float64)
    return np.trunc(x) if to in _INTEGER_TYPES else x


def _unary(function: Callable[[Real], Real]) -> Evaluate:
    return lambda _, operands: function(operands[0])


def _unary_with(function: Callable[..., Real], **defaults: Any) -> Evaluate:
    def evaluate(attributes: Attributes, operands: Sequence[Any]) -> Real:
        return function(operands[0], *(attributes.get(k, v) for k, v in defaults.items()))

    return evaluate


def _variadic(function: Callable[[Any, Any], Any]) -> Evaluate:
    return lambda _, operands: reduce(function, operands)


def _logic(function: Callable[[Any, Any], Any]) -> Evaluate:
    return lambda _, operands: function(*operands).astype(np.float64)


def _exponential(x: Real, alpha: float, gamma: float) -> Real:
    return gamma * np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0.0)))


ELEMENTWISE: Mapping[str, Evaluate] = {
    "Abs": _unary(np.abs),
    "Cast": _unary_with(cast, to=1),
    "Ceil": _unary(np.ceil),
    "Celu": _unary_with(
        lambda x, a: np.maximum(x, 0) + np.minimum(0, a * np.expm1(x / a)), alpha=1.0
    ),
    "Clip": clip,
    "Cos": _unary(np.cos),
    "Elu": _unary_with(lambda x, alpha: _exponential(x, alpha, 1.0), alpha=1.0),
    "Erf": _unary(erf),
    "Exp": _unary(np.exp),
    "Floor": _unary(np.floor),
    "Gelu": _unary_with(gelu, approximate="none"),
    "HardSigmoid": _unary_with(hard_sigmoid, alpha=0.2, beta=0.5),
    "HardSwish": _unary(lambda x: x * hard_sigmoid(x, 1 / 6, 0.5)),
    "LeakyRelu": _unary_with(lambda x, alpha: np.where(x >= 0, x, alpha * x), alpha=0.01),
    "Log": _unary(np.log),
    "Mish": _unary(lambda x: x * np.tanh(softplus(x))),
    "Neg": _unary(np.negative),
    "Not": _unary(lambda x: (x == 0).astype(np.float64)),
    "Reciprocal": _unary(lambda x: 1.0 / x),
    "Relu": _unary(lambda x: np.maximum(x, 0)),
    "Round": _unary(np.rint),
    "Selu": _unary_with(_exponential, alpha=SELU_ALPHA, gamma=SELU_GAMMA),
    "Sigmoid": _unary(sigmoid),
    "Sign": _unary(np.sign),
    "Sin": _unary(np.sin),
    "Softplus": _unary(softplus),
    "Softsign": _unary(lambda x: x / (1.0 + np.abs(x))),
    "Sqrt": _unary(np.sqrt),
    "Swish": _unary_with(lambda x, alpha: x * sigmoid(alpha * x), alpha=1.0),
    "Tanh": _unary(np.tanh),
    "ThresholdedRelu": _unary_with(lambda x, alpha: np.where(x > alpha, x, 0.0), alpha=1.0),
    "Add": _variadic(np.add),
    "And": _logic(np.logical_and),
    "Div": _variadic(np.divide),
    "Equal": _logic(np.equal),
    "Greater": _logic(np.greater),
    "GreaterOrEqual": _logic(np.greater_equal),
    "Less": _logic(np.less),
    "LessOrEqual": _logic(np.less_equal),
    "Max": _variadic(np.maximum),
    "Mean": lambda _, operands: reduce(np.add, operands) / len(operands),
    "Min": _variadic(np.minimum),
    "Mul": _variadic(np.multiply),
    "Or": _logic(np.logical_or),
    "Pow": _variadic(np.power),
    "PRelu": lambda _, operands: np.where(operands[0] >= 0, operands[0], operands[1] * operands[0]),
    "Sub": _variadic(np.subtract),
    "Sum": _variadic(np.add),
    "Where": lambda _, operands: np.where(np.asarray(operands[0]) != 0, operands[1], operands[2]),
    "Xor": _logic(np.logical_xor),
}
"""By op type; PRelu's slope broadcasts against the input's last axes, as ONNX says."""
