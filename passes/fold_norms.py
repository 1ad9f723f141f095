"""Rules that fold BatchNormalization into a matmul, and what follows it into itself."""

from __future__ import annotations

import numpy as np
from xdsl.ir import Operation

from imccompiler.ir.dialect import DigitalOp
from imccompiler.ir.types import dtype_of, shape_of
from imccompiler.passes import matmul_edits as edits
from imccompiler.passes.fold_products import linear_producer, linear_user, split_constant
from imccompiler.passes.rewriting import Array, Rewriter, digital, producer

CHANNELS = 1  # the axis that BatchNormalization counts channels along


def fold_batch_norm(rewriter: Rewriter, op: Operation) -> bool:
    """BatchNormalization after a matmul becomes part of its weights and bias."""
    norm = digital(op, "BatchNormalization")
    matmul = None if norm is None else linear_producer(norm.operands_[0])
    affine = None if norm is None else _normalisation(rewriter, norm)
    if norm is None or matmul is None or affine is None:
        return False
    if edits.output_axis(matmul) != CHANNELS:
        return False
    edits.affine_outputs(rewriter, matmul, *affine)
    rewriter.replace(norm, matmul.result)
    return True


def fold_batch_norm_forward(rewriter: Rewriter, op: Operation) -> bool:
    """BatchNormalization before an unpadded matmul becomes part of its weights and bias."""
    norm = digital(op, "BatchNormalization")
    affine = None if norm is None else _normalisation(rewriter, norm)
    matmul = None if norm is None else linear_user(norm)
    if norm is None or affine is None or matmul is None or edits.is_padded(matmul):
        return False
    if edits.input_axis(matmul) != CHANNELS or not edits.keeps_codes(matmul, affine[0]):
        return False
    edits.affine_inputs(rewriter, matmul, *affine)
    rewriter.replace(norm, norm.operands_[0])
    return True


def fold_affine_into_batch_norm(rewriter: Rewriter, op: Operation) -> bool:
    """Mul or Add of constants, one a channel, after a BatchNormalization becomes part of it."""
    affine = digital(op, "Mul", "Add")
    if affine is None:
        return False
    data, constant = split_constant(rewriter, affine)
    norm = None if data is None else producer(data, DigitalOp)
    norm = None if norm is None else digital(norm, "BatchNormalization")
    if norm is None or constant is None or shape_of(affine.result) != shape_of(norm.result):
        return False
    vector = edits.along_axis(constant, shape_of(norm.result), CHANNELS)
    scale, shift = (rewriter.constant(value) for value in norm.operands_[1:3])
    if vector is None or scale is None or shift is None:
        return False
    x, old_scale, _, mean, variance = norm.operands_
    name = norm.source.node if norm.source is not None else "norm"
    if affine.op_type.data == "Mul":
        scaled = (scale * vector).astype(dtype_of(old_scale))
        old_scale = rewriter.weight(norm, f"{name}.scale", scaled)
    moved = shift * vector if affine.op_type.data == "Mul" else shift + vector
    new_shift = rewriter.weight(norm, f"{name}.shift", moved.astype(dtype_of(old_scale)))
    norm.operands = (x, old_scale, new_shift, mean, variance)
    rewriter.replace(affine, norm.result)
    return True


def _normalisation(rewriter: Rewriter, norm: DigitalOp) -> tuple[Array, Array] | None:
    """Gain and shift of a BatchNormalization with constant statistics."""
    statistics = [rewriter.constant(v) for v in norm.operands_[1:]]
    scale, bias, mean, variance = (None if v is None else v.astype(np.float64) for v in statistics)
    if scale is None or bias is None or mean is None or variance is None:
        return None
    gain = scale / np.sqrt(variance + norm.python_attributes().get("epsilon", 1e-5))
    return gain, bias - mean * gain
