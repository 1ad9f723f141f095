"""Which digital operators have an exact integer form, and what it computes.

`integer_form` is asked by the reference, by the executor of programs and by the emitter of
instruction streams, so that all three mean the same arithmetic. All codes have a leading axis
of images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import InternalError
from imccompiler.ir.host import on_host
from imccompiler.simulator.digital_elementwise import clip_bounds
from imccompiler.simulator.digital_movement import MOVEMENT, given
from imccompiler.simulator.digital_pooling import (
    global_maxima,
    global_sums,
    window_maxima,
    window_sums,
)
from imccompiler.simulator.digital_resize import RESIZE
from imccompiler.simulator.integer import (
    AddParameters,
    AffineCode,
    AverageParameters,
    Codes,
    code_range,
    quantize,
    same_code,
)
from imccompiler.simulator.windows import Windows

Form = Literal["add", "max", "maxpool", "average", "relu", "move", "function"]
Shape = tuple[int, ...]

T = TypeVar("T")

PAD_FILL = -1
"""Index that stands for a padded element in `movement_indices`."""


def integer_form(
    op_type: str,
    attributes: Mapping[str, Any],
    shapes: Sequence[Shape],
    quants: Sequence[AffineCode | None],
    result: AffineCode,
) -> Form:
    """The integer form of an operator.

    - `add`: Add, Sub of two tensors of equal shape: `AddParameters`.
    - `max`: Max of tensors of equal shape and code: the larger code.
    - `maxpool`: MaxPool, GlobalMaxPool in one code: the largest code; padding is the lowest.
    - `average`: GlobalAveragePool, AveragePool without padding: `AverageParameters`.
    - `relu`: Relu in one code: max(code, zero_point).
    - `move`: codes move unchanged (`movement_indices`), or nothing happens at all: a Relu or
      Clip whose bounds are not inside the range of the one code.
    - `function`: dequantise, compute in float64, quantise.

    Args:
        op_type: ONNX operator.
        attributes: Its attributes.
        shapes: Of the operands, without images.
        quants: Codes of the operands; None for a float constant or an absent operand.
        result: Codes of the result.
    """
    quants = with_absent(attributes, quants)
    coded = [q for q in quants if q is not None]
    data_only = len(coded) == len(quants)
    if not coded or on_host(op_type):
        return "function"
    if op_type in {"Add", "Sub"}:
        return "add" if data_only and len(coded) == 2 and shapes[0] == shapes[1] else "function"
    if op_type in {"GlobalAveragePool", "AveragePool"}:
        return "average" if op_type[0] == "G" or not _padded(attributes, shapes[0]) else "function"
    if all(same_code(q, result) for q in coded):
        return _one_code_form(op_type, attributes, shapes, quants, result)
    return "function"


def with_absent(attributes: Mapping[str, Any], items: Sequence[T | None]) -> Sequence[T | None]:
    """Items of an op's operands in ONNX positions: None at those that `absent` lists."""
    positions = attributes.get("absent", ())
    if not positions:
        return items
    count, given = len(items) + len(positions), iter(items)
    return [None if i in positions else next(given) for i in range(count)]


def _one_code_form(
    op_type: str,
    attributes: Mapping[str, Any],
    shapes: Sequence[Shape],
    quants: Sequence[AffineCode | None],
    code: AffineCode,
) -> Form:
    """The form of an operator whose operands and result all have `code`."""
    data_only = all(q is not None for q in quants)
    if op_type in {"MaxPool", "GlobalMaxPool"}:
        return "maxpool"
    if op_type == "Max" and data_only and len(set(shapes)) == 1:
        return "max"
    if op_type == "Relu":
        return "move" if code.zero_point == code_range(code.bits)[0] else "relu"
    if op_type == "Clip" and len(quants) == 1 and _clips_nothing(attributes, code):
        return "move"
    return "move" if _moves(op_type, attributes, quants) else "function"


def _padded(attributes: Mapping[str, Any], shape: Shape) -> bool:
    return Windows.of_pool(attributes, shape[2:]).padded


def _clips_nothing(attributes: Mapping[str, Any], code: AffineCode) -> bool:
    low, high = clip_bounds(attributes, ())
    lowest, highest = ((v - code.zero_point) * code.scale for v in code_range(code.bits))
    half_step = code.scale / 2  # a bound within half a step of the last code moves no code
    return low <= lowest + half_step and high >= highest - half_step


def _moves(
    op_type: str, attributes: Mapping[str, Any], quants: Sequence[AffineCode | None]
) -> bool:
    if op_type in RESIZE:
        return attributes.get("mode", "nearest") == "nearest"
    if op_type == "Concat":
        return all(q is not None for q in quants)
    if op_type not in MOVEMENT:
        return False
    # Only the first operand may be data: indices, shapes and pads must be constants.
    return quants[0] is not None and all(q is None for q in quants[1:])


def is_movement(op_type: str) -> bool:
    """Whether the operator only moves data (for Resize: in mode nearest)."""
    return op_type in MOVEMENT or op_type in RESIZE


def movement_indices(
    op_type: str,
    attributes: Mapping[str, Any],
    operands: Sequence[Shape | NDArray[Any] | None],
) -> NDArray[np.int64]:
    """Where each element of a `move`'s result comes from.

    Args:
        op_type: A movement, or a Relu or Clip that does nothing.
        attributes: Its attributes.
        operands: Shapes of the operands that are data, arrays of those that are constants.

    Returns:
        Row-major index of the element among the operands' elements, operand after operand, in
        the shape of the result; `PAD_FILL` where a Pad fills.
    """
    numbered: list[NDArray[Any] | None] = []
    first = 0
    for operand in operands:
        if isinstance(operand, tuple):
            size = int(np.prod(operand))
            numbered.append(np.arange(first, first + size, dtype=np.int64).reshape(operand))
            first += size
        else:
            numbered.append(operand)
    if op_type in {"Relu", "Clip"}:
        return np.asarray(numbered[0])
    if op_type == "Pad":
        attributes = {**attributes, "constant_value": PAD_FILL}
        numbered = [*numbered[:2], None, *numbered[3:]]
    return (RESIZE if op_type in RESIZE else MOVEMENT)[op_type](attributes, numbered)


def fill_code(attributes: Mapping[str, Any], operands: Sequence[Any], result: AffineCode) -> int:
    """The code with which a Pad fills."""
    value = given(attributes, operands, 2, "constant_value")
    return int(quantize(np.asarray(0.0 if value is None else value).ravel()[0], result))


@dataclass(frozen=True, slots=True)
class CodedCall:
    """An operator on codes.

    Attributes:
        op_type: ONNX operator.
        attributes: Its attributes.
        operands: Codes of shape (images, *shape) where there is a quant; else constants without
            the axis of images, or None for an absent operand.
        quants: One for each operand.
        result: Codes of the result.
    """

    op_type: str
    attributes: Mapping[str, Any]
    operands: Sequence[Any]
    quants: Sequence[AffineCode | None]
    result: AffineCode

    @property
    def pairs(self) -> list[tuple[Any, AffineCode | None]]:
        """Operands with their quants."""
        return list(zip(self.operands, self.quants, strict=True))

    @property
    def form(self) -> Form:
        """See `integer_form`."""
        shapes = [() if v is None else v.shape if q is None else v.shape[1:] for v, q in self.pairs]
        return integer_form(self.op_type, self.attributes, shapes, self.quants, self.result)


def evaluate_form(form: Form, call: CodedCall) -> Codes:
    """Codes of the result, (images, *shape), by an integer form other than `function`."""
    x, result = call.operands[0], call.result
    if form == "move":
        return _move(call)
    if form == "relu":
        return np.maximum(x, result.zero_point)
    if form == "max":
        return reduce(np.maximum, call.operands)
    if form == "add":
        a, b = (_present(q) for q in call.quants)
        parameters = AddParameters.from_quants(a, b, result, subtract=call.op_type == "Sub")
        return parameters.apply(*call.operands)
    folded = x.reshape(-1, *x.shape[2:])  # (images * N, C, spatial...)
    pooled = _maxima(call, folded) if form == "maxpool" else _averages(call, folded)
    return pooled.reshape(x.shape[0], -1, *pooled.shape[1:])


def _present(quant: AffineCode | None) -> AffineCode:
    if quant is None:
        raise InternalError("an integer form needs the codes of its operands")
    return quant


def _maxima(call: CodedCall, x: Codes) -> Codes:
    if call.op_type == "GlobalMaxPool":
        return global_maxima(x)
    return window_maxima(call.attributes, x, code_range(call.result.bits)[0])


def _averages(call: CodedCall, x: Codes) -> Codes:
    if call.op_type == "GlobalAveragePool":
        sums, size = global_sums(x), int(np.prod(x.shape[2:]))
    else:
        windows = Windows.of_pool(call.attributes, x.shape[2:])
        sums, size = window_sums(windows, x), int(np.prod(windows.kernel))
    return AverageParameters.from_quants(_present(call.quants[0]), call.result, size).apply(sums)


def _move(call: CodedCall) -> Codes:
    sources = [v if q is None else v.shape[1:] for v, q in call.pairs]
    data = [v for v, q in call.pairs if q is not None]
    index = movement_indices(call.op_type, call.attributes, sources)
    images = data[0].shape[0]
    flat = np.concatenate([v.reshape(images, -1) for v in data], axis=1)
    moved = np.take(flat, index.ravel(), axis=1).reshape(images, *index.shape)
    if call.op_type == "Pad":
        moved[:, index == PAD_FILL] = fill_code(call.attributes, call.operands, call.result)
    return moved
