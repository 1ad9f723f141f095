"""Digital operators: ONNX semantics in float64, and on codes.

One implementation serves the reference, the executor of programs (`vfun`) and calibration.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import InternalError, UserInputError
from imccompiler.ir.host import on_host
from imccompiler.simulator.digital_elementwise import ELEMENTWISE, Evaluate
from imccompiler.simulator.digital_forms import (
    CodedCall,
    Form,
    evaluate_form,
    integer_form,
    is_movement,
    with_absent,
)
from imccompiler.simulator.digital_movement import MOVEMENT
from imccompiler.simulator.digital_pooling import POOLING
from imccompiler.simulator.digital_reduction import REDUCTION
from imccompiler.simulator.digital_resize import RESIZE
from imccompiler.simulator.host import evaluate_host
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
    "supported",
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


def supported() -> frozenset[str]:
    """All ONNX operators that can be evaluated."""
    return frozenset(_OPERATORS)


def is_supported(op_type: str) -> bool:
    """Whether the operator can be evaluated here, without the host."""
    return op_type in _OPERATORS


def evaluate_float(
    op_type: str, attributes: Mapping[str, Any], operands: Sequence[NDArray[Any] | None]
) -> NDArray[Any]:
    """The result of an ONNX operator.

    Args:
        op_type: Operator of the default domain.
        attributes: By name; absent ones have ONNX's defaults.
        operands: In ONNX order and axis order; None for an absent one. Those whose positions
            the attribute `absent` lists may be left out.

    Returns:
        float64; movements return the element type that they are given, operators on the host the
        one that ONNX gives them.

    Raises:
        UserInputError: The operator, or a mode of it, is not supported.
    """
    if on_host(op_type):
        return evaluate_host(op_type, attributes, with_absent(attributes, operands))
    evaluate = _OPERATORS.get(op_type)
    if evaluate is None or attributes.get("output", 0):
        which = f"output {attributes.get('output', 0)} of the digital operator {op_type!r}"
        raise UserInputError(f"{which} is not supported")
    operands = with_absent(attributes, operands)
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
    even and saturation. Two kinds of operators have no form but are exact all the same: sums
    of two activations that broadcast (`AddParameters`) and products of two activations
    (`ProductParameters`). The codes of one image do not depend on the others.

    Args:
        op_type: Operator of the default domain.
        attributes: By name.
        operands: Codes of shape (images, *ONNX shape), int64, where there is a quant; else
            constants without the axis of images, or None for an absent operand.
        quants: One for each operand; None for constants and absent ones.
        result: Codes of the result.

    Returns:
        int64, shape (images, *ONNX shape of the result); one image if all operands are constants.
    """
    operands, quants = with_absent(attributes, operands), with_absent(attributes, quants)
    attributes = {name: value for name, value in attributes.items() if name != "absent"}
    call = CodedCall(op_type, attributes, operands, quants, result)
    form = call.form
    if form != "function":
        return evaluate_form(form, call)
    if on_host(op_type):
        return _on_host(call)
    if op_type in {"Add", "Sub", "MatMul"} and all(q is not None for q in quants):
        return _product(call) if op_type == "MatMul" else _broadcast_add(call)
    if all(q is None for q in quants):
        return quantize(evaluate_float(op_type, attributes, operands), result)[None]
    if (position := _table_operand(call)) is not None:
        return _by_table(call, position)
    reals = [v if q is None else dequantize(v, q) for v, q in call.pairs]
    return quantize(_by_images(op_type, attributes, reals, quants), result)


def _on_host(call: CodedCall) -> Codes:
    """Image by image: the host's operators know no images."""
    reals = [v if q is None else dequantize(v, q) for v, q in call.pairs]
    images = next((v.shape[0] for v, q in call.pairs if q is not None), 1)
    each = (
        [v if q is None else v[i] for v, q in zip(reals, call.quants, strict=True)]
        for i in range(images)
    )
    results = [evaluate_host(call.op_type, call.attributes, one) for one in each]
    return quantize(np.stack(results), call.result)


def _broadcast_add(call: CodedCall) -> Codes:
    """As the form `add`, so that a split into pieces of equal shapes means the same."""
    rank = max(v.ndim for v in call.operands)
    return evaluate_form("add", replace(call, operands=[_align(v, rank) for v in call.operands]))


def _product(call: CodedCall) -> Codes:
    (a, qa), (b, qb) = (
        (v.astype(np.float64) - q.zero_point, q) for v, q in call.pairs if q is not None
    )
    rank = max(a.ndim, b.ndim)
    sums = np.matmul(_align(a, rank), _align(b, rank))  # exact: integers far below 2^53
    return ProductParameters.from_quants(qa, qb, call.result).apply(sums.astype(np.int64))


def _align(x: NDArray[Any], rank: int) -> NDArray[Any]:
    """Insert axes behind the images, so that shapes broadcast as they do without images."""
    return x.reshape(x.shape[0], *[1] * (rank - x.ndim), *x.shape[1:])


def _table_operand(call: CodedCall) -> int | None:
    """Position of the only data operand, where a table of its codes can replace the function."""
    coded = [(i, q) for i, q in enumerate(call.quants) if q is not None]
    if call.op_type not in ELEMENTWISE or len(coded) != 1 or coded[0][1].bits > TABLE_BITS:
        return None
    position, rank = coded[0][0], call.operands[coded[0][0]].ndim - 1
    constants = [v for v, q in call.pairs if q is None]
    scalars = all(v is None or (v.size == 1 and v.ndim <= rank) for v in constants)
    return position if scalars else None


def _by_table(call: CodedCall, position: int) -> Codes:
    code = call.quants[position]
    if code is None:
        raise InternalError("a table needs an operand of codes", where=call.op_type)
    low, high = code_range(code.bits)
    entries = [v if v is None or q is not None else v.reshape(()) for v, q in call.pairs]
    entries[position] = dequantize(np.arange(low, high + 1), code)
    table = quantize(evaluate_float(call.op_type, call.attributes, entries), call.result)
    return np.take(table, call.operands[position] - low)


def _by_images(
    op_type: str,
    attributes: Mapping[str, Any],
    operands: Sequence[Any],
    quants: Sequence[AffineCode | None],
) -> NDArray[Any]:
    """Evaluate on operands that have a leading axis of images where there is a quant."""
    pairs = list(zip(operands, quants, strict=True))
    x, first_only = operands[0], quants[0] is not None and all(q is None for q in quants[1:])
    if op_type in ELEMENTWISE:
        rank = max(v.ndim - (q is not None) for v, q in pairs if v is not None)
        aligned = [v if q is None else _align(v, rank + 1) for v, q in pairs]
        return evaluate_float(op_type, attributes, aligned)
    if first_only and op_type in _BY_CHANNEL:
        y = evaluate_float(op_type, attributes, [x.reshape(-1, *x.shape[2:]), *operands[1:]])
        return y.reshape(x.shape[0], -1, *y.shape[1:])
    if first_only and op_type in _BY_AXIS:
        axis = attributes.get("axis", -1)
        from_end = {**attributes, "axis": axis - (x.ndim - 1) if axis >= 0 else axis}
        return evaluate_float(op_type, from_end, operands)
    images = next(v.shape[0] for v, q in pairs if q is not None)
    each = ([v if q is None else v[i] for v, q in pairs] for i in range(images))
    return np.stack([evaluate_float(op_type, attributes, one) for one in each])
