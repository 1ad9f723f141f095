"""Runs a module at network level in floating point: for calibration and as a measure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from imccompiler.errors import InternalError, UserInputError
from imccompiler.ir.attributes import to_python
from imccompiler.ir.decisions import Window
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
from imccompiler.simulator.digital import evaluate_float
from imccompiler.simulator.windows import Windows

Array = NDArray[Any]
Observer = Callable[[SSAValue, Array], None]
"""Called with each value that is not a constant, and its array, as soon as it is there."""


def run_float(
    module: ModuleOp,
    store: WeightStore,
    inputs: Mapping[str, Array],
    observe: Observer | None = None,
) -> dict[str, Array]:
    """Outputs of a network by port, in float32 (integer and float64 values keep their type).

    Args:
        module: At network level; decisions on it are not looked at.
        store: Its weights.
        inputs: By port. Each has the port's shape, or the first axis counts samples: shape
            (samples, ...) of a port of shape (1, ...).
        observe: Called for every value of every sample.

    Returns:
        By port; with more than one sample, stacked along the first axis.

    Raises:
        UserInputError: An input is missing or has the wrong shape.
    """
    samples = split_samples(module, inputs)
    results = [_run_sample(module, store, sample, observe) for sample in samples]
    if len(results) == 1:
        return results[0]
    return {port: np.concatenate([np.atleast_1d(r[port]) for r in results]) for port in results[0]}


def split_samples(module: ModuleOp, inputs: Mapping[str, Array]) -> list[dict[str, Array]]:
    """Inputs of each sample, in the shapes of the ports.

    Raises:
        UserInputError: An input is missing or has the wrong shape, or there is no sample.
    """
    parts: dict[str, Array] = {}
    for op in module.body.block.ops:
        if isinstance(op, InputOp):
            port, shape = op.port.data, shape_of(op.result)
            if port not in inputs:
                raise UserInputError(
                    f"no input {port!r}", hint=f"given are {', '.join(inputs) or 'none'}"
                )
            array = np.asarray(inputs[port])
            fits = array.shape[1:] == shape[1:] and array.size % max(prod(shape), 1) == 0
            if not array.size or (shape and not fits):
                raise UserInputError(
                    f"has shape {array.shape}, not {shape} or a multiple of it along axis 0",
                    where=f"input {port!r}",
                )
            parts[port] = array.reshape(-1, *shape)
    counts = {len(p) for p in parts.values()}
    if len(counts) != 1:
        raise UserInputError(f"the inputs have different numbers of samples: {sorted(counts)}")
    return [{port: p[i] for port, p in parts.items()} for i in range(counts.pop())]


def _run_sample(
    module: ModuleOp,
    store: WeightStore,
    inputs: Mapping[str, Array],
    observe: Observer | None,
) -> dict[str, Array]:
    values: dict[SSAValue, Array] = {}
    outputs: dict[str, Array] = {}
    last_use = last_uses(module)
    for op in module.body.block.ops:
        if isinstance(op, OutputOp):
            outputs[op.port.data] = values[op.value]
            continue
        if isinstance(op, WeightOp):
            values[op.result] = store[op.key.data]
            continue
        result = op.results[0]
        values[result] = _evaluate(op, values, inputs)
        if observe is not None:
            observe(result, values[result])
        for operand in set(op.operands):
            if last_use[operand] is op:
                del values[operand]
    return outputs


def last_uses(module: ModuleOp) -> dict[SSAValue, Operation]:
    """The last op in program order that uses each value."""
    return {v: op for op in module.body.block.ops for v in op.operands}


def _evaluate(
    op: Operation, values: Mapping[SSAValue, Array], inputs: Mapping[str, Array]
) -> Array:
    operands = [values[v] for v in op.operands]
    if isinstance(op, InputOp):
        array = inputs[op.port.data]
        return array if array.dtype.kind in "iub" else array.astype(np.float32)
    if isinstance(op, MatmulOp):
        bias = values[op.bias] if op.bias is not None else None
        y = float_matmul(values[op.input], values[op.weight], bias, op.window)
        return np.maximum(y, 0) if op.activation.data == "relu" else y
    if isinstance(op, DynamicMatmulOp):
        return np.matmul(*operands)
    if isinstance(op, DigitalOp):
        return _digital(op, operands)
    raise InternalError(f"no float meaning of {op.name}")


def _digital(op: DigitalOp, operands: list[Array]) -> Array:
    try:
        y = evaluate_float(op.op_type.data, to_python(op.attrs), operands)
    except UserInputError as error:
        where = None if op.source is None else f"node {op.source.node!r}"
        raise UserInputError(error.message, where=where, hint=error.hint) from error
    return y.astype(np.float32) if y.dtype == np.float64 else y


def float_matmul(x: Array, weight: Array, bias: Array | None, window: Window) -> Array:
    """A product with static weights, in the operands' own precision.

    Args:
        x: Shape (N, C, spatial...), or (..., K) without a window.
        weight: Shape (M, C / groups, kernel...), or (K, M).
        bias: Shape (M,).
        window: Geometry.
    """
    if not window.kernel:
        y = x @ weight
        return y if bias is None else y + bias
    y = windowed_product(x, weight, window)
    return y if bias is None else y + bias.reshape(-1, *[1] * len(window.kernel))


def windowed_product(x: Array, weight: Array, window: Window, pad_value: float = 0) -> Array:
    """Convolution by im2col and matrix products, in the operands' precision.

    Args:
        x: Shape (N, C, spatial...).
        weight: Shape (M, C / groups, kernel...).
        window: Geometry.
        pad_value: What padding holds.

    Returns:
        Shape (N, M, windows per spatial axis...).
    """
    windows = windows_of(window, x.shape[2:])
    n, channels, groups = x.shape[0], x.shape[1], window.groups
    columns = windows.columns(windows.pad(x, pad_value))
    rows = channels // groups * columns.shape[2]
    matrix = weight.reshape(groups, -1, rows)
    y = np.matmul(matrix, columns.reshape(n, groups, rows, -1))
    return y.reshape(n, weight.shape[0], *windows.counts)


def windows_of(window: Window, sizes: tuple[int, ...]) -> Windows:
    """Windows of a matrix product on an input with spatial `sizes`."""
    pads = {"pads": window.pads, "strides": window.strides, "dilations": window.dilations}
    return Windows.of_pool({"kernel_shape": window.kernel, **pads}, sizes)
