"""Digital operators: ONNX semantics in float64, and on codes.

One implementation serves the reference, the executor of programs (`vfun`) and calibration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import UserInputError
from imccompiler.simulator.digital_elementwise import ELEMENTWISE, Evaluate
from imccompiler.simulator.digital_forms import Form, evaluate_form, integer_form, is_movement
from imccompiler.simulator.digital_movement import MOVEMENT
from imccompiler.simulator.digital_pooling import POOLING
from imccompiler.simulator.digital_reduction import REDUCTION
from imccompiler.simulator.digital_resize import RESIZE
from imccompiler.simulator.integer import (
    AffineCode,
    Codes,
    ProductParameters,
    code_range,
    dequantize,
    quantize,
)

__all__ = [
    "MOVEMENT",
    "Form",
    "evaluate_codes",
    "evaluate_float",
    "integer_form",
    "is_movement",
    "is_supported",
]

TABLE_BITS = 8  # functions of one code of up to this width are looked up

_OPERATORS: Mapping[str, Evaluate] = {
    **ELEMENTWISE,
    **REDUCTION,
    **POOLING,
    **MOVEMENT,
    **RESIZE,
    "MatMul": lambda _, operands: np.matmul(operands[0], operands[1]),
}
_BY_CHANNEL = {*POOLING, "BatchNormalization", "InstanceNormalization", "GroupNormalization", "LRN"}
_BY_AXIS = {"Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization"}


def is_supported(op_type: str) -> bool:
    """Whether the operator can be evaluated."""
    return op_type in _OPERATORS


def evaluate_float(
    op_type: str, attributes: Mapping[str, Any], operands: Sequence[NDArray[Any] | None]
) -> NDArray[Any]:
    """The result of an ONNX operator.

    Args:
        op_type: Operator of the default domain.
        attributes: By name; absent ones have ONNX's defaults.
        operands: In ONNX order and axis order; None for an absent one.

    Returns:
        float64; movements return the element type that they are given.

    Raises:
        UserInputError: The operator, or a mode of it, is not supported.
    """
    evaluate = _OPERATORS.get(op_type)
    if evaluate is None:
        raise UserInputError(f"the digital operator {op_type!r} is not supported")
    if not is_movement(op_type):
        operands = [None if v is None else np.asarray(v, dtype=np.float64) for v in operands]
    with np.errstate(all="ignore"):  # infinities and NaN are results as ONNX has them
        return np.asarray(evaluate(attributes, operands))


def evaluate_codes(
    op_type: str,
    attributes: Mapping[str, Any],
    operands: Sequence[NDArray[Any] | None],
    quants: Sequence[AffineCode | None],
    result: AffineCode,
) -> Codes:
    """Codes of an operator's result, by its integer form (`integer_form`).

    The form `function` dequantises to float64, evaluates, and quantises with round half to
    even and saturation; a product of two activations is exact (`ProductParameters`). The codes
    of one image do not depend on the others.

    Args:
        op_type: Operator of the default domain.
        attributes: By name.
        operands: Codes of shape (images, *ONNX shape), int64, where there is a quant; else
            constants without the axis of images, or None for an absent operand.
        quants: One for each operand; None for constants and absent ones.
        result: Codes of the result.

    Returns:
        int64, shape (images, *ONNX shape of the result).
    """
    shapes = [
        () if v is None else v.shape if q is None else v.shape[1:]
        for v, q in zip(operands, quants, strict=True)
    ]
    form = integer_form(op_type, attributes, shapes, quants, result)
    if form != "function":
        return evaluate_form(form, op_type, attributes, operands, quants, result)
    if op_type == "MatMul" and len(quants) == 2 and quants[0] is not None and quants[1] is not None:
        return _product(operands, (quants[0], quants[1]), result)
    if (lookup := _lookup(op_type, operands, quants)) is not None:
        position, code = lookup
        return _by_table(op_type, attributes, operands, position, code, result)
    reals = [
        v if q is None or v is None else dequantize(v, q)
        for v, q in zip(operands, quants, strict=True)
    ]
    return quantize(_by_images(op_type, attributes, reals, quants), result)


def _product(
    operands: Sequence[Any], quants: tuple[AffineCode, AffineCode], result: AffineCode
) -> Codes:
    a, b = (v.astype(np.float64) - q.zero_point for v, q in zip(operands, quants, strict=True))
    a, b = _align(a, max(a.ndim, b.ndim)), _align(b, max(a.ndim, b.ndim))
    sums = np.matmul(a, b).astype(np.int64)  # exact: integers far below 2^53
    return ProductParameters.from_quants(*quants, result).apply(sums)


def _align(x: NDArray[Any], rank: int) -> NDArray[Any]:
    """Insert axes behind the images, so that shapes broadcast as they do without images."""
    return x.reshape(x.shape[0], *[1] * (rank - x.ndim), *x.shape[1:])


def _lookup(
    op_type: str, operands: Sequence[Any], quants: Sequence[AffineCode | None]
) -> tuple[int, AffineCode] | None:
    """Position and code of the only data operand, where a table can replace the function."""
    coded = [(i, q) for i, q in enumerate(quants) if q is not None]
    if op_type not in ELEMENTWISE or len(coded) != 1 or coded[0][1].bits > TABLE_BITS:
        return None
    scalars = all(
        v is None or (v.size == 1 and v.ndim <= operands[coded[0][0]].ndim - 1)
        for v, q in zip(operands, quants, strict=True)
        if q is None
    )
    return coded[0] if scalars else None


def _by_table(
    op_type: str,
    attributes: Mapping[str, Any],
    operands: Sequence[Any],
    position: int,
    code: AffineCode,
    result: AffineCode,
) -> Codes:
    low, high = code_range(code.bits)
    entries = [None if v is None else np.ravel(v) for v in operands]
    entries[position] = dequantize(np.arange(low, high + 1), code)
    table = quantize(evaluate_float(op_type, attributes, entries), result)
    return np.take(table, operands[position] - low)


def _by_images(
    op_type: str,
    attributes: Mapping[str, Any],
    operands: Sequence[Any],
    quants: Sequence[AffineCode | None],
) -> NDArray[Any]:
    """Evaluate on operands with a leading axis of images where there is a quant."""
    first_only = quants[0] is not None and all(q is None for q in quants[1:])
    x = operands[0]
    if op_type in ELEMENTWISE:
        rank = max(v.ndim - (q is not None) for v, q in zip(operands, quants, strict=True))
        aligned = [
            v if q is None else _align(v, rank + 1) for v, q in zip(operands, quants, strict=True)
        ]
        return evaluate_float(op_type, attributes, aligned)
    if first_only and op_type in _BY_CHANNEL:
        y = evaluate_float(op_type, attributes, [x.reshape(-1, *x.shape[2:]), *operands[1:]])
        return y.reshape(x.shape[0], -1, *y.shape[1:])
    if first_only and op_type in _BY_AXIS:
        axis = attributes.get("axis", -1)
        from_end = {**attributes, "axis": axis - (x.ndim - 1) if axis >= 0 else axis}
        return evaluate_float(op_type, from_end, operands)
    images = next(v.shape[0] for v, q in zip(operands, quants, strict=True) if q is not None)
    return np.stack(
        [
            evaluate_float(
                op_type,
                attributes,
                [v if q is None else v[i] for v, q in zip(operands, quants, strict=True)],
            )
            for i in range(images)
        ]
    )
