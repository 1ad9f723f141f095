"""Rules that fold constant scales, shifts and zero padding into a matmul."""

from __future__ import annotations

import dataclasses

import numpy as np
from xdsl.ir import Operation, SSAValue

from imccompiler.ir.dialect import DigitalOp, MatmulOp
from imccompiler.ir.types import shape_of
from imccompiler.passes import matmul_edits as edits
from imccompiler.passes.rewriting import (
    Array,
    Rewriter,
    digital,
    is_open,
    producer,
    user,
)


def fold_scale_after(rewriter: Rewriter, op: Operation) -> bool:
    """Mul or Div of a matmul by constants, one a channel, becomes part of its weights."""
    scale = digital(op, "Mul", "Div")
    if scale is None or (found := _matmul_and_constant(rewriter, scale)) is None:
        return False
    matmul, constant = found
    if scale.op_type.data == "Div":
        if scale.operands_[0] is not matmul.result or not np.all(constant):
            return False
        constant = 1.0 / constant
    edits.affine_outputs(rewriter, matmul, constant, np.zeros(matmul.output_channels))
    rewriter.replace(scale, matmul.result)
    return True


def fold_shift_after(rewriter: Rewriter, op: Operation) -> bool:
    """Add or Sub of constants, one a channel, after a matmul becomes its bias."""
    shift = digital(op, "Add", "Sub")
    if shift is None or (found := _matmul_and_constant(rewriter, shift)) is None:
        return False
    matmul, constant = found
    if shift.op_type.data == "Sub":
        if shift.operands_[0] is not matmul.result:
            return False
        constant = -constant
    edits.affine_outputs(rewriter, matmul, None, constant)
    rewriter.replace(shift, matmul.result)
    return True


def fold_scale_before(rewriter: Rewriter, op: Operation) -> bool:
    """Mul or Div of a matmul's input by constants, one a channel, becomes part of its weights."""
    scale = digital(op, "Mul", "Div")
    matmul = None if scale is None else linear_user(scale)
    if scale is None or matmul is None:
        return False
    data, constant = split_constant(rewriter, scale)
    gain = _input_channels(matmul, data, constant)
    if data is None or gain is None:
        return False
    if scale.op_type.data == "Div":
        if data is not scale.operands_[0] or not np.all(gain):
            return False
        gain = 1.0 / gain
    if not edits.keeps_codes(matmul, gain):
        return False
    edits.affine_inputs(rewriter, matmul, gain, None)
    rewriter.replace(scale, data)
    return True


def fold_shift_before(rewriter: Rewriter, op: Operation) -> bool:
    """Add or Sub of constants, one a channel, before an unpadded matmul becomes its bias."""
    shift = digital(op, "Add", "Sub")
    matmul = None if shift is None else linear_user(shift)
    if shift is None or matmul is None or edits.is_padded(matmul):
        return False
    data, constant = split_constant(rewriter, shift)
    vector = _input_channels(matmul, data, constant)
    if data is None or vector is None:
        return False
    if shift.op_type.data == "Sub":
        if data is not shift.operands_[0]:
            return False
        vector = -vector
    edits.affine_inputs(rewriter, matmul, np.ones_like(vector), vector)
    rewriter.replace(shift, data)
    return True


def fold_pad(rewriter: Rewriter, op: Operation) -> bool:
    """Pad with zeros around the space of a convolution's input becomes its window's padding."""
    pad = digital(op, "Pad")
    matmul = None if pad is None else user(pad.result, MatmulOp)
    if pad is None or matmul is None or not matmul.window.kernel or not is_open(matmul):
        return False
    attributes = pad.python_attributes()
    pads = np.array(attributes["pads"]).reshape(2, -1)
    zeros = attributes.get("mode", "constant") == "constant" and not attributes.get(
        "constant_value", 0.0
    )
    if not zeros or len(pad.operands_) != 1 or pads.min() < 0 or np.any(pads[:, :2]):
        return False
    window = matmul.window
    total = np.array(window.pads).reshape(2, -1) + pads[:, 2:]
    matmul.properties["window"] = dataclasses.replace(
        window, pads=tuple(int(p) for p in total.reshape(-1))
    )
    rewriter.replace(pad, pad.operands_[0])
    return True


def linear_producer(value: SSAValue) -> MatmulOp | None:
    """The matmul behind `value`, if its weights may change and nobody else sees its result."""
    matmul = producer(value, MatmulOp)
    if matmul is None or not is_open(matmul) or matmul.activation.data != "none":
        return None
    return matmul if edits.has_static_weights(matmul) else None


def split_constant(rewriter: Rewriter, op: DigitalOp) -> tuple[SSAValue | None, Array | None]:
    """The activation and the constant of a two-operand op; None where there is no such pair."""
    if len(op.operands_) != 2:
        return None, None
    first, second = op.operands_
    left, right = rewriter.constant(first), rewriter.constant(second)
    if (left is None) == (right is None):
        return None, None
    return (first, right) if left is None else (second, left)


def linear_user(op: DigitalOp) -> MatmulOp | None:
    """The matmul that alone takes the op's result as its input."""
    matmul = user(op.result, MatmulOp)
    if matmul is None or matmul.input is not op.result or not is_open(matmul):
        return None
    return matmul if edits.has_static_weights(matmul) else None


def _matmul_and_constant(rewriter: Rewriter, op: DigitalOp) -> tuple[MatmulOp, Array] | None:
    """A matmul and the constant that is applied to its result, one value a channel."""
    data, constant = split_constant(rewriter, op)
    matmul = None if data is None else linear_producer(data)
    if matmul is None or constant is None or shape_of(op.result) != shape_of(matmul.result):
        return None
    vector = edits.along_axis(constant, shape_of(matmul.result), edits.output_axis(matmul))
    return None if vector is None else (matmul, vector)


def _input_channels(
    matmul: MatmulOp, data: SSAValue | None, constant: Array | None
) -> Array | None:
    if data is None or constant is None or shape_of(data) != shape_of(matmul.input):
        return None
    return edits.along_axis(constant, shape_of(matmul.input), edits.input_axis(matmul))
