"""QuantizeLinear and DequantizeLinear: the network's integers become the module's decisions."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, save_model

from imccompiler.errors import ModelError, PassError
from imccompiler.frontend import load_onnx
from imccompiler.ir.dialect import DigitalOp, InputOp
from imccompiler.ir.text import parse_module, print_module

RNG = np.random.default_rng(0)
KINDS = {
    "int8": (TensorProto.INT8, -128, 127),
    "uint8": (TensorProto.UINT8, 0, 255),
    "int4": (TensorProto.INT4, -8, 7),
    "uint4": (TensorProto.UINT4, 0, 15),
    "int16": (TensorProto.INT16, -32768, 32767),
    "uint16": (TensorProto.UINT16, 0, 65535),
}


def tensor(name, kind, values):
    values = np.asarray(values)
    number = TensorProto.FLOAT if kind == "float" else KINDS[kind][0]
    return helper.make_tensor(name, number, values.shape, values.ravel().tolist())


def value(name, shape, kind=TensorProto.FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


def model(nodes, inputs, outputs, tensors):
    graph = helper.make_graph(nodes, "quantised", inputs, outputs, tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


def node(op_type, inputs, output, **attributes):
    return helper.make_node(op_type, inputs.split(), [output], name=output, **attributes)


def fake(name, x, scale, zero, **attributes):
    """Quantise and dequantise."""
    return [
        node("QuantizeLinear", f"{x} {scale} {zero}", f"{name}_q", **attributes),
        node("DequantizeLinear", f"{name}_q {scale} {zero}", name, **attributes),
    ]


def qdq_conv(activation="int8", weight="int8", *, zero=3, weight_zero=0, per_channel=True):
    """x, quantised, by a Conv with integer weights, relu, quantised, pooled, by a MatMul."""
    _, low, high = KINDS[weight]
    codes = RNG.integers(low, high + 1, (8, 3, 3, 3))
    codes2 = RNG.integers(low, high + 1, (8 * 9, 10))
    spread = 127.0 / high
    scale = RNG.uniform(0.5, 1.5, 8 if per_channel else ()).astype(np.float32) * 0.004 * spread
    wide = 255.0 / (KINDS[activation][2] - KINDS[activation][1])
    zeros = np.full(scale.shape, weight_zero)
    tensors = [
        tensor("w", weight, codes),
        tensor("w_scale", "float", scale),
        tensor("w_zero", weight, zeros),
        tensor("v", weight, codes2),
        tensor("v_scale", "float", np.float32(0.003 * spread)),
        tensor("v_zero", weight, np.array(weight_zero)),
        tensor("x_scale", "float", np.float32(0.021 * wide)),
        tensor("h_scale", "float", np.float32(0.027 * wide)),
        tensor("y_scale", "float", np.float32(0.19 * wide)),
        tensor("zero", activation, np.array(zero)),
    ]
    nodes = [
        *fake("xr", "x", "x_scale", "zero"),
        node("DequantizeLinear", "w w_scale w_zero", "wr", axis=0),
        node("Conv", "xr wr", "c", pads=[1, 1, 1, 1]),
        node("Relu", "c", "r"),
        *fake("rr", "r", "h_scale", "zero"),
        node("MaxPool", "rr", "p", kernel_shape=[2, 2], strides=[2, 2]),
        *fake("pr", "p", "h_scale", "zero"),
        node("Flatten", "pr", "f"),
        node("DequantizeLinear", "v v_scale v_zero", "vr"),
        node("MatMul", "f vr", "m"),
        *fake("y", "m", "y_scale", "zero"),
    ]
    made = model(nodes, [value("x", [1, 3, 6, 6])], [value("y", [1, 10])], tensors)
    return made, codes - weight_zero, codes2 - weight_zero


def images(count=16):
    return RNG.standard_normal((count, 3, 6, 6)).astype(np.float32)


@pytest.mark.parametrize(
    ("activation", "zero"),
    [("int8", 3), ("int8", -128), ("uint8", 0), ("uint8", 120), ("int4", 1), ("uint4", 0)],
)
@pytest.mark.parametrize("per_channel", [False, True])
def test_codes_are_the_files(quantised, run_runtime, activation, zero, per_channel):
    made, codes, codes2 = qdq_conv(activation, zero=zero, per_channel=per_channel)
    x = images()
    found = quantised(made, {"x": x}, execute=True)
    np.testing.assert_array_equal(found.codes(0), codes)
    # The flattened image has become a window.
    np.testing.assert_array_equal(found.codes(1).reshape(10, -1).T, codes2)
    lowest = zero == KINDS[activation][1]
    assert found.kinds.count("Relu") == (0 if lowest else 1)
    assert "QuantizeLinear" not in found.kinds
    assert "Identity" not in found.kinds
    assert not found.context.notes
    _, low, high = KINDS[activation]
    quant = found.quant("y")
    assert quant.bits == (high - low).bit_length()
    assert quant.zero_point == (zero - (high + 1) // 2 if low == 0 else zero)
    steps = found.steps_from(run_runtime(made, {"x": x}))
    assert steps.max() < 1.01
    assert (steps > 0.5).mean() < 0.15


@pytest.mark.parametrize("weight", ["int8", "int4", "uint4"])
def test_weights_of_few_bits(quantised, weight):
    zero = 8 if weight == "uint4" else 0
    made, codes, _ = qdq_conv(weight=weight, weight_zero=zero)
    found = quantised(made, {"x": images()}, execute=True)
    np.testing.assert_array_equal(found.codes(0), codes)
    bits = 8 if weight == "int8" else 4
    assert [op.integer.weight_bits for op in found.matmuls] == [bits, bits]


@pytest.mark.parametrize(("kind", "zero"), [("uint16", 32768 + 9), ("int16", 0), ("int16", -77)])
@pytest.mark.parametrize("machine", ["isaac", "pimcomp"])
def test_codes_of_16_bits_are_near(quantised, run_runtime, machine, kind, zero):
    made, _, _ = qdq_conv(kind, zero=zero)
    x = images(4)
    found = quantised(made, {"x": x}, execute=True, machine=machine)
    steps = found.steps_from(run_runtime(made, {"x": x}))
    assert steps.max() < 6  # of 65,536


def test_zero_points_that_widen_weights(quantised, run_runtime):
    """uint8 weights less 100 take 9 bits, one more than the machine holds."""
    made, _, _ = qdq_conv(weight="uint8", weight_zero=100)
    network = load_onnx(made)
    decided = [op.codes for op in network.module.body.block.ops if getattr(op, "codes", None)]
    assert [(c.bits, c.zero_bits) for c in decided] == [(9, 1), (9, 1)]
    x = images()
    found = quantised(made, {"x": x}, execute=True)
    assert [op.integer.weight_bits for op in found.matmuls] == [8, 8]
    assert sum("quantised anew" in note for note in found.context.notes) == 2
    assert found.steps_from(run_runtime(made, {"x": x})).max() < 8
    held, _, _ = qdq_conv(weight="uint8", weight_zero=128)
    assert [op.integer.weight_bits for op in quantised(held, {"x": x}).matmuls] == [8, 8]


def test_weights_wider_than_the_machine_are_an_error(quantised):
    made, _, _ = qdq_conv(weight="int16")
    with pytest.raises(PassError, match="weights of 16 bits do not fit the machine's 8"):
        quantised(made, {"x": images(1)}, execute=True)


def test_module_prints_and_parses():
    made, _, _ = qdq_conv()
    network = load_onnx(made)
    text = print_module(network.module)
    assert "codes = #imc.codes<peaks = " in text
    assert print_module(parse_module(text)) == text


def test_clips_narrow_the_codes(quantised, run_runtime):
    """Quantise, clip, dequantise: 3 bits, and a range that is no power of two."""
    tensors = [
        tensor("s", "float", np.float32(0.3)),
        tensor("z", "int8", np.array(0)),
        tensor("low", "int8", np.array(-4)),
        tensor("low2", "int8", np.array(-3)),
        tensor("high", "int8", np.array(3)),
    ]

    def clipped(out, low):
        return [
            node("QuantizeLinear", "x s z", f"{out}_q"),
            node("Clip", f"{out}_q {low} high", f"{out}_c"),
            node("DequantizeLinear", f"{out}_c s z", out),
        ]

    x = RNG.uniform(-2, 2, (4, 20)).astype(np.float32)
    made = model(clipped("y", "low"), [value("x", [1, 20])], [value("y", [1, 20])], tensors)
    found = quantised(made, {"x": x})
    assert (found.kinds, found.quant("y").bits) == ([], 3)
    assert found.steps_from(run_runtime(made, {"x": x})).max() < 1e-5
    made = model(clipped("y", "low2"), [value("x", [1, 20])], [value("y", [1, 20])], tensors)
    found = quantised(made, {"x": x})
    assert (found.kinds, found.quant("y").bits) == (["Clip"], 3)
    assert found.steps_from(run_runtime(made, {"x": x})).max() < 1e-5


def test_requantisation_is_exact(quantised, run_runtime):
    """From one scale to another, with nothing between: one operator, no difference."""
    tensors = [
        tensor("s1", "float", np.float32(0.031)),
        tensor("z1", "int8", np.array(-7)),
        tensor("s2", "float", np.float32(0.04371)),
        tensor("z2", "uint8", np.array(131)),
    ]
    nodes = [*fake("a", "x", "s1", "z1"), *fake("y", "a", "s2", "z2")]
    made = model(nodes, [value("x", [1, 999])], [value("y", [1, 999])], tensors)
    x = RNG.uniform(-5, 5, (2, 999)).astype(np.float32)
    found = quantised(made, {"x": x}, execute=True)
    assert found.kinds == ["Identity"]
    assert found.steps_from(run_runtime(made, {"x": x})).max() < 1e-4


@pytest.mark.parametrize("swapped", [False, True])
def test_operators_between_widths(quantised, run_runtime, swapped):
    """Sums and means of 4-bit and 16-bit codes with an 8-bit result, as they are executed."""
    tensors = [
        tensor("s1", "float", np.float32(0.31)),
        tensor("z1", "uint4", np.array(7)),
        tensor("s2", "float", np.float32(0.0003)),
        tensor("z2", "int16", np.array(-12)),
        tensor("s3", "float", np.float32(0.023)),
        tensor("z3", "int8", np.array(4)),
    ]
    nodes = [
        *fake("a", "x", "s1", "z1"),
        node("Sigmoid", "a", "g"),
        *fake("b", "g", "s2", "z2"),
        node("Add", "b a" if swapped else "a b", "t"),
        *fake("u", "t", "s3", "z3"),
        node("GlobalAveragePool", "a" if swapped else "b", "p"),
        *fake("v", "p", "s3", "z3"),
    ]
    shape = [1, 3, 4, 4]
    outputs = [value("u", shape), value("v", [1, 3, 1, 1])]
    made = model(nodes, [value("x", shape)], outputs, tensors)
    x = RNG.uniform(-3, 3, (4, *shape[1:])).astype(np.float32)
    found = quantised(made, {"x": x}, execute=True)
    assert found.steps_from(run_runtime(made, {"x": x})).max() < 1.01


def test_integers_in_and_out(quantised, run_runtime):
    """A network from uint8 to int8, moves of integers between."""
    tensors = [
        tensor("s1", "float", np.float32(0.03)),
        tensor("z1", "uint8", np.array(90)),
        tensor("w", "int8", RNG.integers(-127, 128, (12, 5))),
        tensor("s2", "float", np.float32(0.01)),
        tensor("z2", "int8", np.array(5)),
        tensor("z0", "int8", np.array(0)),
        tensor("fill", "int8", np.array(9)),
        helper.make_tensor("pads", TensorProto.INT64, [4], [0, 1, 0, 2]),
    ]
    nodes = [
        node("DequantizeLinear", "x s1 z1", "xr"),
        node("DequantizeLinear", "w s2 z0", "wr"),
        node("MatMul", "xr wr", "m"),
        node("QuantizeLinear", "m s2 z2", "q"),
        node("Pad", "q pads fill", "d"),
        node("Transpose", "d", "y", perm=[1, 0]),
        node("Identity", "q", "also"),
    ]
    outputs = [value("y", [8, 1], TensorProto.INT8), value("also", [1, 5], TensorProto.INT8)]
    made = model(nodes, [value("x", [1, 12], TensorProto.UINT8)], outputs, tensors)
    x = RNG.integers(0, 256, (3, 12)).astype(np.uint8)
    found = quantised(made, {"x": x}, execute=True)
    (port,) = [op for op in found.module.body.block.ops if isinstance(op, InputOp)]
    assert (port.quant.scale, port.quant.zero_point) == (1.0, -128)
    np.testing.assert_array_equal(found.outputs["also"].reshape(3, 5) % 1, 0)
    want = run_runtime(made, {"x": x})
    for name in ("y", "also"):
        gap = found.outputs[name].reshape(want[name].shape) - want[name]
        assert np.abs(gap).max() <= 1
        assert np.count_nonzero(gap) <= 1


def test_one_tensor_with_two_codes(quantised, run_runtime):
    """The first quantiser of a tensor decides its codes, the other becomes an operator."""
    tensors = [
        tensor("s1", "float", np.float32(0.02)),
        tensor("s2", "float", np.float32(0.05)),
        tensor("z", "int8", np.array(0)),
    ]
    nodes = [
        *fake("a", "x", "s1", "z"),
        *fake("b", "x", "s2", "z"),
        node("Sigmoid", "a", "sa"),
        *fake("y", "sa", "s1", "z"),
        node("Relu", "b", "rb"),
        *fake("y2", "rb", "s2", "z"),
    ]
    outputs = [value("y", [1, 50]), value("y2", [1, 50])]
    made = model(nodes, [value("x", [1, 50])], outputs, tensors)
    x = RNG.uniform(-2, 2, (2, 50)).astype(np.float32)
    found = quantised(made, {"x": x})
    assert sorted(found.kinds) == ["Identity", "Relu", "Sigmoid"]
    assert found.steps_from(run_runtime(made, {"x": x})).max() < 1.01


def test_channels_of_activations(quantised, run_runtime):
    """Scales by channel become factors beside codes of scale 1; after a product they are free."""
    tensors = [
        tensor("w", "int8", RNG.integers(-127, 128, (3, 3, 1, 1))),
        tensor("s0", "float", np.float32(0.01)),
        tensor("s1", "float", np.array([0.02, 0.05, 0.03], np.float32)),
        tensor("z", "int8", np.array(0)),
        tensor("z3", "int8", np.zeros(3, int)),
    ]
    nodes = [
        *fake("xr", "x", "s0", "z"),
        node("DequantizeLinear", "w s0 z", "wr"),
        node("Conv", "xr wr", "c"),
        *fake("y", "c", "s1", "z3", axis=1),
    ]
    made = model(nodes, [value("x", [1, 3, 4, 4])], [value("y", [1, 3, 4, 4])], tensors)
    x = RNG.uniform(-1, 1, (2, 3, 4, 4)).astype(np.float32)
    found = quantised(made, {"x": x}, calibration={"x": x})
    assert found.kinds == ["matmul", "Mul"]
    assert found.matmuls[0].quant.scale == 1.0
    want = run_runtime(made, {"x": x})["y"]
    assert np.abs(found.outputs["y"].reshape(want.shape) - want).max() < 0.08


def test_batch_norm_keeps_the_integers(quantised, run_runtime):
    """Folded factors change the scales of channels, negative ones the signs of integers."""
    made, codes, _ = qdq_conv()
    gains = RNG.uniform(0.5, 1.5, 8).astype(np.float32)
    gains[2] = -0.7
    nodes = list(made.graph.node)
    at = next(i for i, n in enumerate(nodes) if n.op_type == "Relu")
    nodes[at].input[0] = "n"
    nodes.insert(at, node("BatchNormalization", "c gain shift mean variance", "n"))
    extra = [
        tensor("gain", "float", gains),
        tensor("shift", "float", RNG.standard_normal(8).astype(np.float32)),
        tensor("mean", "float", np.zeros(8, np.float32)),
        tensor("variance", "float", np.ones(8, np.float32)),
    ]
    graph = made.graph
    changed = model(nodes, graph.input, graph.output, [*graph.initializer, *extra])
    x = images()
    found = quantised(changed, {"x": x})
    signs = np.where(np.arange(8) == 2, -1, 1).reshape(-1, 1, 1, 1)
    np.testing.assert_array_equal(found.codes(0), codes * signs)
    assert "BatchNormalization" not in found.kinds
    assert found.steps_from(run_runtime(changed, {"x": x})).max() < 2.01


def test_blocks_of_rows_are_quantised_anew(quantised, run_runtime):
    """Weights with a scale for each block of rows have no integers of their channel."""
    tensors = [
        tensor("w", "int4", RNG.integers(-8, 8, (32, 6))),
        tensor("s", "float", RNG.uniform(0.01, 0.1, (4, 6)).astype(np.float32)),
        tensor("sx", "float", np.float32(0.02)),
        tensor("z", "int8", np.array(0)),
    ]
    nodes = [
        *fake("xr", "x", "sx", "z"),
        node("DequantizeLinear", "w s", "wr", axis=0, block_size=8),
        node("MatMul", "xr wr", "m"),
        *fake("y", "m", "sx", "z"),
    ]
    made = model(nodes, [value("x", [1, 32])], [value("y", [1, 6])], tensors)
    x = RNG.uniform(-1, 1, (8, 32)).astype(np.float32)
    found = quantised(made, {"x": x})
    assert any("several scales a channel" in note for note in found.context.notes)
    assert found.steps_from(run_runtime(made, {"x": x})).max() < 2.01


def test_each_quantisation_is_an_identity_with_codes():
    """Until canonicalize lets what is before each of them have its codes."""
    made, _, _ = qdq_conv()
    module = load_onnx(made).module
    markers = [
        op
        for op in module.body.block.ops
        if isinstance(op, DigitalOp) and op.op_type.data == "Identity"
    ]
    assert len(markers) == 4
    assert all(op.quant is not None for op in markers)


def test_float_codes_are_an_error():
    nodes = [
        node("QuantizeLinear", "x s z", "q"),
        node("DequantizeLinear", "q s z", "y"),
    ]
    tensors = [
        tensor("s", "float", np.float32(0.1)),
        helper.make_tensor("z", TensorProto.FLOAT8E4M3FN, [], [0.0]),
    ]
    made = model(nodes, [value("x", [1, 4])], [value("y", [1, 4])], tensors)
    with pytest.raises(ModelError):
        load_onnx(made)


@pytest.mark.parametrize("weight", ["int4", "uint4"])
def test_packed_integers_in_other_files(tmp_path, weight):
    made, _, _ = qdq_conv(weight=weight, weight_zero=8 if weight == "uint4" else 0)
    inside = load_onnx(made).store
    path = tmp_path / "model.onnx"
    save_model(made, path, save_as_external_data=True, size_threshold=0)
    outside = load_onnx(path).store
    assert set(outside) == set(inside)
    for name in inside:
        np.testing.assert_array_equal(outside[name], inside[name])
