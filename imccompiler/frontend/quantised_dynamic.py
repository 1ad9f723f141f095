"""Products of integers whose scales are computed while the network runs.

DynamicQuantizeLinear finds scale and zero point of each tensor it sees. A chip's codes are fixed:
the ranges are calibrated instead, and a note says so. Integers of the weights are kept.
"""

from __future__ import annotations

import numpy as np

from imccompiler.frontend.graph import Node
from imccompiler.frontend.quantised import Lowering, Rule
from imccompiler.frontend.quantised_operators import real

NOTE = (
    "dynamic ranges of activations (DynamicQuantizeLinear and the like) were replaced by static, "
    "calibrated ones"
)


def dynamic_quantize_linear(g: Lowering, node: Node) -> None:
    """Kept until it turns out that only products read it: see `integer_product`."""
    g.keep(node)


def integer_product(op_type: str, axis: int) -> Rule:
    """MatMulInteger and ConvInteger, from the quantiser before to the scale behind.

    (q - z) (w - wz) s ws = x w, if q, z and s are what a DynamicQuantizeLinear makes of x. For
    other operands the product of real values that are the integers is the same integer.
    """

    def rule(g: Lowering, node: Node) -> None:
        x, weight, zero, weight_zero = (node.input(i) for i in range(4))
        if not (g.is_constant(weight) and g.is_constant(weight_zero)):
            g.keep(node)
            return
        attributes = dict(node.attributes)
        found = _dynamic_scale(g, node)
        if found is not None:
            quantiser, cast, mul, scale = found
            operands = [quantiser.inputs[0], real(g, node, "w", (weight, scale, weight_zero), axis)]
            out, shape = mul.outputs[0], g.shape(mul.outputs[0], mul)
            g.emit(node, op_type, operands, attributes, shape=shape, out=out)
            g.absorbed.update((cast.name, mul.name))
            g.note(NOTE)
            return
        if not g.is_constant(zero):
            g.keep(node)
            return
        one = g.constant(f"{node.name}/one", np.ones((), np.float32))
        operands = [
            real(g, node, "x", (x, one, zero)),
            real(g, node, "w", (weight, one, weight_zero), axis),
        ]
        cast = g.only_user(node.outputs[0])
        shape = g.shape(node.outputs[0], node)
        if cast is not None and cast.op_type == "Cast" and cast.attributes.get("to") == 1:
            g.emit(node, op_type, operands, attributes, shape=shape, out=cast.outputs[0])
            g.absorbed.add(cast.name)
            return
        y = g.emit(node, op_type, operands, attributes, shape=shape)
        to = {"to": 6}
        g.emit(node, "Cast", [y], to, out=node.outputs[0], part="integers", dtype=np.int32)

    return rule


def _dynamic_scale(g: Lowering, node: Node) -> tuple[Node, Node, Node, str] | None:
    """The DynamicQuantizeLinear before, the Cast and the Mul behind, and the weights' scale."""
    quantiser = g.producers.get(node.input(0))
    cast = g.only_user(node.outputs[0])
    if quantiser is None or quantiser.op_type != "DynamicQuantizeLinear" or cast is None:
        return None
    if node.input(2) != quantiser.outputs[2] or cast.op_type != "Cast":
        return None
    mul = g.only_user(cast.outputs[0])
    if mul is None or mul.op_type != "Mul":
        return None
    factor = mul.inputs[1] if mul.inputs[0] == cast.outputs[0] else mul.inputs[0]
    scales = g.producers.get(factor)
    if scales is None or scales.op_type != "Mul" or quantiser.outputs[1] not in scales.inputs:
        return None
    own = scales.inputs[1] if scales.inputs[0] == quantiser.outputs[1] else scales.inputs[0]
    if not g.is_constant(own):
        return None
    flat = g.array(own).reshape(-1)  # per channel of a convolution: (1, channels, 1, 1)
    return (
        quantiser,
        cast,
        mul,
        g.constant(f"{node.name}/scale", flat if flat.size > 1 else flat[0]),
    )


def dynamic_matmul(g: Lowering, node: Node) -> None:
    """DynamicQuantizeMatMul: A, B, the scale of B, its zero point, bias."""
    weight, scale, zero, bias = (node.input(i) for i in (1, 2, 3, 4))
    if not all(map(g.is_constant, (weight, scale, zero, bias))):
        g.keep(node)
        return
    g.note(NOTE)
    _float_result(g, node, node.input(0), real(g, node, "w", (weight, scale, zero), -1), bias)


def matmul_integer_to_float(g: Lowering, node: Node) -> None:
    """MatMulIntegerToFloat: A, B, their scales, their zero points, bias."""
    a, b, a_scale, b_scale, a_zero, b_zero, bias = (node.input(i) for i in range(7))
    quantiser = g.producers.get(a)
    if not all(map(g.is_constant, (b, b_scale, b_zero, bias))):
        g.keep(node)
    elif quantiser is not None and quantiser.op_type == "DynamicQuantizeLinear":
        g.note(NOTE)
        _float_result(
            g, node, quantiser.inputs[0], real(g, node, "w", (b, b_scale, b_zero), -1), bias
        )
    elif g.is_constant(a_scale) and g.is_constant(a_zero):
        x = real(g, node, "x", (a, a_scale, a_zero))
        _float_result(g, node, x, real(g, node, "w", (b, b_scale, b_zero), -1), bias)
    else:
        g.keep(node)


def _float_result(g: Lowering, node: Node, x: str, weight: str, bias: str) -> None:
    out, shape = node.outputs[0], g.shape(node.outputs[0], node)
    if not bias:
        g.emit(node, "MatMul", [x, weight], shape=shape, out=out)
        return
    y = g.emit(node, "MatMul", [x, weight], shape=shape)
    g.emit(node, "Add", [y, bias], shape=shape, out=out, part="bias")


def matmul_n_bits(g: Lowering, node: Node) -> None:
    """MatMulNBits: weights of 2 to 8 bits, packed in blocks along the rows of the product."""
    k, n, bits, block = (
        int(node.attributes.get(name, default))
        for name, default in (("K", 0), ("N", 0), ("bits", 4), ("block_size", 32))
    )
    rest = node.inputs[1:]
    packed, scale, zero = (node.input(i) for i in (1, 2, 3))
    plain = not node.input(4) and not (
        zero and g.is_constant(zero) and g.array(zero).dtype != np.uint8
    )
    if not all(map(g.is_constant, rest)) or not plain or bits not in {2, 4, 8}:
        g.keep(node)
        return
    blocks = -(-k // block)
    codes = _unpacked(g.array(packed).reshape(n, -1), bits)[:, : blocks * block]
    zeros = np.full((n, blocks), 1 << (bits - 1), np.int64)
    if zero:
        zeros = _unpacked(g.array(zero).reshape(n, -1), bits)[:, :blocks].astype(np.int64)
    shifted = codes.reshape(n, blocks, block).astype(np.int64) - zeros[:, :, None]
    matrix = np.ascontiguousarray(shifted.reshape(n, -1)[:, :k].T.astype(np.int16))
    factors = np.repeat(g.array(scale).reshape(n, blocks), block, axis=1)[:, :k].T
    values = g.constant(f"{node.name}/weight", (matrix * factors).astype(np.float32))
    _float_result(g, node, node.input(0), values, node.input(5))


def _unpacked(packed: np.ndarray, bits: int) -> np.ndarray:
    """Numbers that share bytes, the first in the lowest bits."""
    shifts = np.arange(0, 8, bits, dtype=np.uint8)
    numbers = (packed[..., None] >> shifts) & np.uint8((1 << bits) - 1)
    return numbers.reshape(*packed.shape[:-1], -1)


DYNAMIC = {
    "DynamicQuantizeLinear": dynamic_quantize_linear,
    "MatMulInteger": integer_product("MatMul", -1),
    "ConvInteger": integer_product("Conv", 0),
    "DynamicQuantizeMatMul": dynamic_matmul,
    "MatMulIntegerToFloat": matmul_integer_to_float,
    "MatMulNBits": matmul_n_bits,
}
