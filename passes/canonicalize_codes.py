"""Codes that a quantised network brings: an `Identity` with a `quant` goes into what is before.

The importer puts one where the network quantises a tensor. Its producer takes the codes over, if
nothing is decided about it; else the Identity stays, as a requantisation from one code to another.
"""

from __future__ import annotations

from typing import cast

from xdsl.dialects.builtin import StringAttr
from xdsl.ir import Operation

from imccompiler.ir.decisions import Quant
from imccompiler.ir.dialect import DigitalOp, DynamicMatmulOp, InputOp, MatmulOp
from imccompiler.passes.rewriting import Rewriter
from imccompiler.simulator.integer import code_range, same_code

Producer = InputOp | MatmulOp | DynamicMatmulOp | DigitalOp


def adopt_codes(rewriter: Rewriter, op: Operation) -> bool:
    """Let the producer of a quantised value hold it by the codes of the quantisation."""
    if not isinstance(op, DigitalOp) or op.op_type.data != "Identity" or op.quant is None:
        return False
    value = op.operands_[0]
    owner = value.owner
    if not isinstance(owner, Producer) or value.type != op.result.type:
        return False
    quant = op.quant
    if owner.quant is not None:
        if not same_code(owner.quant, quant):
            return False
    elif _rectifies_inside(owner, quant):
        return _relu_apart(rewriter, cast("MatmulOp", owner), op)
    else:
        owner.quant = quant
    rewriter.replace(op, value)
    return True


def _rectifies_inside(op: Operation, quant: Quant) -> bool:
    """Whether a product's relu cuts off codes that saturation would keep."""
    relu = isinstance(op, MatmulOp) and op.activation.data == "relu"
    return relu and quant.zero_point != code_range(quant.bits)[0]


def _relu_apart(rewriter: Rewriter, matmul: MatmulOp, op: DigitalOp) -> bool:
    """Turn the Identity into the Relu, of a product that has the same codes."""
    matmul.properties["activation"] = StringAttr("none")
    matmul.quant = op.quant
    op.properties["op_type"] = StringAttr("Relu")
    matmul.result.replace_uses_with_if(op.result, lambda use: use.operation is not op)
    rewriter.module.body.block.detach_op(op)
    rewriter.module.body.block.insert_op_after(op, matmul)
    return True
