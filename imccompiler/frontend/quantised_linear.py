"""QuantizeLinear and DequantizeLinear: of constants, of activations, and the clips between."""

from __future__ import annotations

import math

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Array
from imccompiler.frontend.graph import Node
from imccompiler.frontend.quantised import Lowering
from imccompiler.frontend.quantised_code import (
    Code,
    ConstantCodes,
    along,
    constant_bits,
    dequantised,
    integer_range,
    quantised,
)

WIDEST = 16  # bits of an activation's codes


def quantize_linear(g: Lowering, node: Node) -> None:
    """Real values become codes."""
    x, scale_name, zero_name = node.input(0), node.input(1), node.input(2)
    if not (g.is_constant(scale_name) and g.is_constant(zero_name)):
        g.keep(node)
        return
    low, high = _declared(g, node, zero_name)
    axis, block = _axis(node)
    scale = g.array(scale_name)
    zero = g.array(zero_name) if zero_name else np.zeros((), np.int64)
    if g.is_constant(x):
        shape = g.shape(x, node)
        full = [along(v, shape, axis, block) for v in (scale, zero)]
        g.constants.add(node.outputs[0], quantised(g.array(x), full[0], full[1], low, high))
        return
    if np.unique(zero).size != 1 or not np.all(scale > 0):
        raise ModelError(
            "has zero points that differ by channel, or scales that are not above 0",
            where=node.where,
            hint="quantise activations with one zero point a tensor",
        )
    zero_point = int(zero.reshape(-1)[0])
    if scale.size == 1:
        code = Code(float(scale.reshape(())), zero_point, low, high)
        name, code = _through_clips(g, node, code)
        g.define(node, name, x, code)
        return
    gains = along(scale, g.shape(x, node), axis, block).astype(np.float32)
    steps = g.affine(node, "Div", x, gains, part="channels")
    g.define(node, node.outputs[0], steps, Code(1.0, zero_point, low, high), gains)


def dequantize_linear(g: Lowering, node: Node) -> None:
    """Codes become real values."""
    x, scale_name, zero_name = node.input(0), node.input(1), node.input(2)
    if not (g.is_constant(scale_name) and g.is_constant(zero_name)):
        g.keep(node)
        return
    axis, block = _axis(node)
    scale = g.array(scale_name)
    zero = g.array(zero_name) if zero_name else np.zeros((), np.int64)
    shape = g.shape(x, node)
    full_scale, full_zero = (along(v, shape, axis, block) for v in (scale, zero))
    if g.is_constant(x):
        codes = g.array(x)
        g.constants.add(node.outputs[0], dequantised(codes, full_scale, full_zero))
        bits = constant_bits(codes, full_zero, *_range_of(g, x, node))
        blocked = block or scale.ndim > 1
        known = np.asarray(full_scale if blocked else scale, np.float64)
        g.codes[node.outputs[0]] = ConstantCodes(known, *bits)
        return
    if np.unique(zero).size != 1:
        raise ModelError("has zero points that differ by channel", where=node.where)
    zero_point = int(zero.reshape(-1)[0])
    if x in g.coded and _matches(g, x, full_scale, zero_point):
        coded = g.coded[x]
        if coded.channels is None:
            g.alias(node, node.outputs[0], coded.real)
            return
        gain = g.constant(f"{node.name}/scale", coded.channels)
        g.emit(node, "Mul", [coded.real, gain], out=node.outputs[0])
        return
    _from_integers(g, node, full_scale, zero_point)


def _from_integers(g: Lowering, node: Node, scale: Array, zero_point: int) -> None:
    """Real values of integers that no quantiser has made, such as an input of the network."""
    x = node.input(0)
    source = g.integers(x, node) if x in g.coded else x
    low, high = _range_of(g, x, node)
    narrow = (high - low).bit_length() <= WIDEST
    if narrow and x in g.graph.inputs:
        g.inputs[x] = Code(1.0, 0, low, high)
    if zero_point:
        source = g.affine(node, "Sub", source, zero_point, part="steps")
        if narrow:
            source = g.requantize(
                node, source, Code(1.0, zero_point, low, high), part="steps/codes"
            )
    if scale.size != 1 or not narrow:
        gain = g.constant(f"{node.name}/scale", scale.astype(np.float32))
        g.emit(node, "Mul", [source, gain], out=node.outputs[0])
        return
    y = g.affine(node, "Mul", source, scale, part="real")
    code = Code(float(scale.reshape(())), zero_point, low, high)
    g.requantize(node, y, code, out=node.outputs[0], part="")


def _matches(g: Lowering, x: str, scale: Array, zero_point: int) -> bool:
    coded = g.coded[x]
    if coded.code.zero_point != zero_point:
        return False
    if coded.channels is None:
        return scale.size == 1 and float(scale.reshape(())) == coded.code.scale
    return np.array_equal(coded.channels, scale)


def _through_clips(g: Lowering, node: Node, code: Code) -> tuple[str, Code]:
    """The tensor and the code after Clips of the integers, which narrow the range of codes."""
    name = node.outputs[0]
    while (clip := g.only_user(name)) is not None and clip.op_type == "Clip" and not clip.domain:
        if not all(map(g.is_constant, clip.inputs[1:])):
            break
        bounds = [
            g.scalar(clip.input(i), clip, float(clip.attributes.get(key, default)))
            for i, key, default in ((1, "min", -math.inf), (2, "max", math.inf))
        ]
        name, code = clip.outputs[0], code.narrowed(max(bounds[0], -1e9), min(bounds[1], 1e9))
        g.absorbed.add(clip.name)
    return name, code


def _declared(g: Lowering, node: Node, zero_name: str) -> tuple[int, int]:
    """The integers that a quantiser's result can be: its zero point's type, or an attribute's."""
    if zero_name:
        return _range_of(g, zero_name, node)
    kind = node.attributes.get("output_dtype")
    return _range_of_type(int(kind), node) if kind else integer_range(8, signed=False)


def _range_of(g: Lowering, name: str, node: Node) -> tuple[int, int]:
    """The integers that a tensor's elements can be."""
    from onnx import helper  # noqa: PLC0415

    if name in g.coded:
        code = g.coded[name].code
        return code.low, code.high
    if name in g.constants:
        return _range_of_type(g.constants.info(name)[1], node)
    dtype = g.types[name].dtype
    return _range_of_type(helper.np_dtype_to_tensor_dtype(dtype), node)


def _range_of_type(kind: int, node: Node) -> tuple[int, int]:
    from onnx import TensorProto  # noqa: PLC0415

    name = TensorProto.DataType.Name(kind)
    signed, digits = not name.startswith("U"), name.lower().lstrip("uint")
    if "INT" not in name or not digits.isdigit():
        raise ModelError(
            f"quantises to elements of type {name}, not to integers",
            where=node.where,
            hint="quantise the network to integers of 2 to 16 bits",
        )
    return integer_range(int(digits), signed=signed)


def _axis(node: Node) -> tuple[int, int]:
    return int(node.attributes.get("axis", 1)), int(node.attributes.get("block_size", 0))
