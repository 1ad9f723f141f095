"""A matmul that reads a whole flattened image becomes one window over the image."""

from __future__ import annotations

import numpy as np
from xdsl.ir import Operation, SSAValue

from imccompiler.ir.attributes import to_attributes
from imccompiler.ir.decisions import Window
from imccompiler.ir.dialect import DigitalOp, InputOp, MatmulOp
from imccompiler.ir.types import dtype_of, shape_of, tensor_type
from imccompiler.passes.rewriting import Rewriter, producer

IMAGES = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})
KEEP_IMAGES = frozenset({"Relu", "Clip", "Add", "Sub", "Concat", "LeakyRelu", "HardSwish"})


def flatten_into_window(rewriter: Rewriter, op: Operation) -> bool:
    """Flattening (1, C, H, W) and multiplying is a window of H x W at its one position.

    Images lie channels last, so flattening in ONNX order would move every element; the weights
    are put in the image's order instead.
    """
    if not isinstance(op, MatmulOp) or op.window.kernel or op.integer is not None:
        return False
    reshape = producer(op.input, DigitalOp)
    if reshape is None or reshape.op_type.data != "Reshape" or not _keeps_codes(reshape):
        return False
    image = reshape.operands_[0]
    shape = shape_of(image)
    if len(shape) != 4 or shape[0] != 1 or shape[2] * shape[3] == 1 or not _is_image(image):
        return False
    weight = rewriter.constant(op.weight)
    if weight is None or shape_of(op.input) != (1, int(np.prod(shape))):
        return False
    channels = weight.shape[1]
    kernel = np.ascontiguousarray(weight.T).reshape(channels, *shape[1:])
    name = op.source.node if op.source is not None else "matmul"
    window = Window(kernel=shape[2:], strides=(1, 1), pads=(0, 0, 0, 0), dilations=(1, 1))
    kind = dtype_of(op.result)
    product = MatmulOp(
        image,
        rewriter.weight(op, f"{name}.window", kernel),
        op.bias,
        tensor_type((1, channels, 1, 1), kind),
        window=window,
        activation=op.activation.data,
        source=op.source,
    )
    product.codes, product.quant, product.kind = op.codes, op.quant, op.kind
    result = DigitalOp(
        "Reshape",
        [product.result],
        tensor_type((1, channels), kind),
        to_attributes({"shape": (1, channels)}),
        reshape.source,
    )
    result.quant = op.quant
    rewriter.module.body.block.insert_ops_before([product, result], op)
    rewriter.replace(op, result.result)
    return True


def _keeps_codes(reshape: DigitalOp) -> bool:
    """Whether no codes are decided for the flattened image, or those that the image has."""
    held = getattr(reshape.operands_[0].owner, "quant", None)
    return reshape.quant is None or reshape.quant == held


def _is_image(value: SSAValue) -> bool:
    """Whether a tensor has channels and two spatial axes, by what made it."""
    owner = value.owner
    if isinstance(owner, InputOp):
        return True
    if isinstance(owner, MatmulOp):
        return bool(owner.window.kernel)
    if isinstance(owner, DigitalOp):
        kind = owner.op_type.data
        return kind in IMAGES or (kind in KEEP_IMAGES and _is_image(owner.operands_[0]))
    return False
