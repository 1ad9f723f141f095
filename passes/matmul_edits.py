"""Edits of a matmul's weights and bias: the arithmetic behind folding."""

from __future__ import annotations

import numpy as np
from xdsl.dialects.builtin import StringAttr
from xdsl.ir import SSAValue

from imccompiler.ir.absent import is_absent
from imccompiler.ir.dialect import MatmulOp, WeightOp
from imccompiler.ir.types import dtype_of, shape_of
from imccompiler.passes.rewriting import Array, Rewriter

FOLDED = ".folded"  # ends the keys of changed weights


def has_static_weights(op: MatmulOp) -> bool:
    """Whether weight and bias are constants of the store."""
    return isinstance(op.weight.owner, WeightOp) and (
        op.bias is None or isinstance(op.bias.owner, WeightOp)
    )


def output_axis(op: MatmulOp) -> int:
    """Axis of the result that counts output channels."""
    return 1 if op.window.kernel else len(shape_of(op.result)) - 1


def input_axis(op: MatmulOp) -> int:
    """Axis of the input that counts input channels."""
    return 1 if op.window.kernel else len(shape_of(op.input)) - 1


def is_padded(op: MatmulOp) -> bool:
    """Whether the window sees zeros beyond the input: a shift does not reach those."""
    return any(op.window.pads)


def along_axis(array: Array, shape: tuple[int, ...], axis: int) -> Array | None:
    """One value for each index of `axis`, if `array` broadcasts to `shape` and so varies only."""
    if array.ndim > len(shape):
        return None
    full = (1,) * (len(shape) - array.ndim) + array.shape
    if any(dim != 1 for i, dim in enumerate(full) if i != axis) or full[axis] not in {
        1,
        shape[axis],
    }:
        return None
    return np.broadcast_to(array.reshape(-1), (shape[axis],)).astype(np.float64)


def keeps_codes(op: MatmulOp, gain: Array) -> bool:
    """Whether weights times a gain an input channel have the integers that are decided for them."""
    return op.codes is None or bool(np.all(gain == gain.flat[0]))


def affine_outputs(rewriter: Rewriter, op: MatmulOp, gain: Array | None, shift: Array) -> None:
    """Give the matmul gain * y + shift for its result y, one value an output channel."""
    bias = rewriter.constant(op.bias) if op.bias is not None else None
    if gain is not None and not _is_absent(rewriter, op.weight):
        weight = _values(rewriter, op.weight)
        columns = gain.reshape(-1, *[1] * (weight.ndim - 1)) if op.window.kernel else gain
        op.operands[1] = _edited(rewriter, op, op.weight, weight * columns)
    total = (0.0 if bias is None else bias * (1.0 if gain is None else gain)) + shift
    if op.bias is not None or np.any(total):
        _set_bias(rewriter, op, total)


def affine_inputs(rewriter: Rewriter, op: MatmulOp, gain: Array, shift: Array | None) -> None:
    """Give the matmul the product with gain * x + shift, one value an input channel.

    With a shift, the window must not be padded.
    """
    if _is_absent(rewriter, op.weight):
        return
    weight = _values(rewriter, op.weight)
    groups = op.window.groups
    if (
        op.window.kernel
    ):  # (groups, N / groups, C / groups, kernel) times (groups, 1, C / groups, 1)
        parts = weight.reshape(groups, -1, *weight.shape[1:])
        factor = gain.reshape(groups, 1, -1, *[1] * len(op.window.kernel))
        scaled = (parts * factor).reshape(weight.shape)
    else:
        scaled = weight * gain[:, None]
    if shift is not None and np.any(shift):
        bias = rewriter.constant(op.bias) if op.bias is not None else 0.0
        _set_bias(rewriter, op, bias + _through(weight, shift, op))
    op.operands[1] = _edited(rewriter, op, op.weight, scaled)


def rectify(op: MatmulOp) -> None:
    """Let the matmul apply Relu to its result."""
    op.properties["activation"] = StringAttr("relu")


def _through(weight: Array, shift: Array, op: MatmulOp) -> Array:
    """What a constant vector on the input channels adds to each output."""
    if not op.window.kernel:
        return shift @ weight
    sums = weight.reshape(*weight.shape[:2], -1).sum(axis=2)  # (N, C / groups)
    parts = sums.reshape(op.window.groups, -1, sums.shape[1])
    return np.einsum("gnc,gc->gn", parts, shift.reshape(op.window.groups, -1)).reshape(-1)


def _is_absent(rewriter: Rewriter, value: SSAValue) -> bool:
    """Whether a weight's values are not known, so that no factor changes them."""
    array = rewriter.constant(value)
    return array is not None and is_absent(array)


def _values(rewriter: Rewriter, value: SSAValue) -> Array:
    array = rewriter.constant(value)
    if array is None:
        raise TypeError(f"{value} is not a weight")
    return array.astype(np.float64)


def _edited(rewriter: Rewriter, op: MatmulOp, old: SSAValue, array: Array) -> SSAValue:
    """The new values of an operand, under the old one's name."""
    key = old.owner.key.data if isinstance(old.owner, WeightOp) else "weight"
    name = key.split(FOLDED)[0] + FOLDED
    return rewriter.weight(op, name, array.astype(dtype_of(old)))


def _set_bias(rewriter: Rewriter, op: MatmulOp, bias: Array) -> None:
    if op.bias is not None:
        value = _edited(rewriter, op, op.bias, bias)
    else:
        name = op.source.node if op.source is not None else "matmul"
        value = rewriter.weight(op, f"{name}.bias{FOLDED}", bias.astype(dtype_of(op.weight)))
    op.operands = (op.input, op.weight, value)
