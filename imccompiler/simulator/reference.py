"""The reference: runs a quantised module in integers on untiled matrices.

It knows neither the passes nor the program, and is what a program must equal bit for bit.
`docs/program.md` says what the integers mean.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from imccompiler.errors import IRError, UserInputError
from imccompiler.ir.attributes import to_python
from imccompiler.ir.decisions import IntegerMatmul, Quant
from imccompiler.ir.dialect import (
    DigitalOp,
    DynamicMatmulOp,
    InputOp,
    MatmulOp,
    OutputOp,
    WeightOp,
    shape_of,
)
from imccompiler.ir.store import WeightStore
from imccompiler.simulator.digital import evaluate_codes
from imccompiler.simulator.float_model import last_uses, split_samples, windowed_product
from imccompiler.simulator.integer import Codes, dequantize, quantize, requantize

Observer = Callable[[SSAValue, Codes], None]
"""Called with each value that is not a constant, and its codes of shape (images, *shape)."""

FLOAT32_BITS = 25  # two's complement of this width is exact in float32, whatever is summed first


def quantize_inputs(module: ModuleOp, inputs: Mapping[str, NDArray[Any]]) -> dict[str, Codes]:
    """Codes of real inputs by port, shape (images, *port's shape).

    Args:
        module: Whose inputs have a `quant`.
        inputs: By port: the port's shape, or images along the first axis.

    Raises:
        UserInputError: An input is missing or has the wrong shape.
        IRError: An input has no `quant`.
    """
    samples = split_samples(module, inputs)
    return {
        op.port.data: quantize(np.stack([s[op.port.data] for s in samples]), quant_of(op.result))
        for op in module.body.block.ops
        if isinstance(op, InputOp)
    }


def dequantize_outputs(
    module: ModuleOp, codes: Mapping[str, Codes]
) -> dict[str, NDArray[np.float64]]:
    """Real values of output codes by port."""
    return {
        op.port.data: dequantize(codes[op.port.data], quant_of(op.value))
        for op in module.body.block.ops
        if isinstance(op, OutputOp)
    }


def quant_of(value: SSAValue) -> Quant:
    """The codes of a value.

    Raises:
        IRError: None is decided.
    """
    owner = value.owner
    quant = getattr(owner, "quant", None)
    if not isinstance(quant, Quant):
        where = owner.name if isinstance(owner, Operation) else str(value)
        raise IRError("has no quant", where=where, hint="run the pass quantize first")
    return quant


def run_reference(
    module: ModuleOp,
    store: WeightStore,
    inputs: Mapping[str, Codes],
    observe: Observer | None = None,
) -> dict[str, Codes]:
    """Output codes by port, shape (images, *port's shape).

    Args:
        module: With `quant` on every value and `integer` on every `imc.matmul`.
        store: Its weights.
        inputs: Codes by port, shape (images, *port's shape); see `quantize_inputs`.
        observe: Called for every value: to find where two runs part.

    Raises:
        UserInputError: An input is missing or has the wrong shape.
        IRError: The module is not quantised.
    """
    values: dict[SSAValue, Codes] = {}
    outputs: dict[str, Codes] = {}
    last_use = last_uses(module)
    for op in module.body.block.ops:
        if isinstance(op, WeightOp):
            continue
        if isinstance(op, OutputOp):
            outputs[op.port.data] = values[op.value]
            continue
        result = op.results[0]
        values[result] = _evaluate(op, values, store, inputs)
        if observe is not None:
            observe(result, values[result])
        for operand in {v for v in op.operands if v in values and last_use[v] is op}:
            del values[operand]
    return outputs


def _evaluate(
    op: Operation,
    values: Mapping[SSAValue, Codes],
    store: WeightStore,
    inputs: Mapping[str, Codes],
) -> Codes:
    if isinstance(op, InputOp):
        return _input(op, inputs)
    if isinstance(op, MatmulOp):
        return integer_matmul(op, store, values[op.input])
    if isinstance(op, DynamicMatmulOp):
        op_type, attributes = "MatMul", {}
    elif isinstance(op, DigitalOp):
        op_type, attributes = op.op_type.data, to_python(op.attrs)
    else:
        raise IRError("has no integer meaning", where=op.name)
    constant = [isinstance(v.owner, WeightOp) for v in op.operands]
    codes = evaluate_codes(
        op_type,
        attributes,
        [
            store[v.owner.key.data] if isinstance(v.owner, WeightOp) else values[v]
            for v in op.operands
        ],
        [None if c else quant_of(v) for v, c in zip(op.operands, constant, strict=True)],
        quant_of(op.results[0]),
    )
    if all(constant):  # the same for every image
        images = max((len(c) for c in inputs.values()), default=1)
        return np.broadcast_to(codes, (images, *codes.shape[1:]))
    return codes


def _input(op: InputOp, inputs: Mapping[str, Codes]) -> Codes:
    port, shape = op.port.data, shape_of(op.result)
    if port not in inputs:
        raise UserInputError(f"no codes for input {port!r}")
    if inputs[port].shape[1:] != shape:
        raise UserInputError(
            f"codes have shape {inputs[port].shape}, not (images, {', '.join(map(str, shape))})",
            where=f"input {port!r}",
        )
    return inputs[port]


def integer_matmul(op: MatmulOp, store: WeightStore, x: Codes) -> Codes:
    """Codes of a product with static weights: sums, bias, multiplier, shift.

    The sums are computed in float32 or float64, in which `accumulator_bits` shows every partial
    sum to be an integer that is held exactly.

    Args:
        op: With `integer`, and a `quant` on its input and on itself.
        store: The integer arrays.
        x: Codes of the input, shape (images, *shape).

    Raises:
        IRError: The op is not quantised.
    """
    integer, window = op.integer, op.window
    if integer is None:
        raise IRError("has no integer form", where=op.name, hint="run the pass quantize first")
    kind = np.float32 if integer.accumulator_bits <= FLOAT32_BITS else np.float64
    weight, reals = store[integer.weight].astype(kind), x.astype(kind)
    if not window.kernel:
        sums, axes = reals @ weight, 0
    else:
        folded = reals.reshape(-1, *x.shape[2:])
        pad = quant_of(op.input).zero_point
        sums, axes = windowed_product(folded, weight, window, pad), len(window.kernel)
    codes = _requantize(sums.astype(np.int64), store, integer, axes, quant_of(op.result).bits)
    return codes.reshape(x.shape[0], *shape_of(op.result))


def _requantize(
    sums: Codes, store: WeightStore, integer: IntegerMatmul, axes_behind: int, bits: int
) -> Codes:
    """Requantise sums whose channels have `axes_behind` axes behind them."""
    bias, multiplier, shift = (
        store[key].reshape(-1, *[1] * axes_behind)
        for key in (integer.bias, integer.multiplier, integer.shift)
    )
    return requantize(sums, bias, multiplier, shift, bits)
