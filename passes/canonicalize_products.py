"""Canonical forms around matmuls: rectification, and scalar factors in the weights."""

from __future__ import annotations

import numpy as np
from xdsl.ir import Operation, SSAValue

from imccompiler.ir.dialect import DigitalOp, DynamicMatmulOp, MatmulOp
from imccompiler.ir.types import shape_of
from imccompiler.passes import matmul_edits as edits
from imccompiler.passes.fold_products import linear_producer, split_constant
from imccompiler.passes.rewriting import Rewriter, digital, is_decided, producer

# A factor passes through these unharmed: they only move data, and invent none.
MOVEMENTS = frozenset(
    {"Expand", "Flatten", "Identity", "Reshape", "Slice", "Squeeze", "Tile", "Transpose"}
    | {"Unsqueeze"}
)


def fuse_relu(rewriter: Rewriter, op: Operation) -> bool:
    """Relu, or a Clip or Max that is one, of a matmul becomes the matmul's activation."""
    relu = digital(op, "Relu", "Clip", "Max")
    data = None if relu is None else _rectified(rewriter, relu)
    matmul = None if data is None else linear_producer(data)
    if relu is None or matmul is None:
        return False
    edits.rectify(matmul)
    rewriter.replace(relu, matmul.result)
    return True


def scalar_into_weights(rewriter: Rewriter, op: Operation) -> bool:
    """Mul or Div by a scalar goes back into the weights that it follows from.

    On the way there may be movements and products of two activations, each used only here.
    """
    scale = digital(op, "Mul", "Div")
    if scale is None:
        return False
    data, constant = split_constant(rewriter, scale)
    if data is None or constant is None or constant.size != 1:
        return False
    factor = float(constant.reshape(()))
    if scale.op_type.data == "Div":
        factor = 1.0 / factor if data is scale.operands_[0] and factor else 0.0
    matmul = _origin(data)
    if matmul is None or not np.isfinite(factor) or factor == 0.0:
        return False
    if shape_of(scale.result) != shape_of(data):
        return False
    channels = matmul.output_channels
    edits.affine_outputs(rewriter, matmul, np.full(channels, factor), np.zeros(channels))
    rewriter.replace(scale, data)
    return True


def _rectified(rewriter: Rewriter, op: DigitalOp) -> SSAValue | None:
    """What the op is the Relu of."""
    kind = op.op_type.data
    if kind == "Max":
        data, constant = split_constant(rewriter, op)
        zero = constant is not None and not np.any(constant)
        return data if data is not None and zero and shape_of(data) == shape_of(op.result) else None
    if kind == "Clip" and (op.python_attributes() != {"min": 0.0} or len(op.operands_) != 1):
        return None
    return op.operands_[0]


def _origin(value: SSAValue) -> MatmulOp | None:
    """The matmul from whose result `value` follows in a linear way, each step used only once."""
    while True:
        if (matmul := linear_producer(value)) is not None:
            return matmul
        moved = producer(value, DigitalOp)
        if moved is not None and moved.op_type.data in MOVEMENTS and not is_decided(moved):
            value = moved.operands_[0]
            continue
        product = producer(value, DynamicMatmulOp)
        if product is None or is_decided(product):
            return None
        return _origin(product.lhs) or _origin(product.rhs)
