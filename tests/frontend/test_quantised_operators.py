"""Operators on quantised tensors, of ONNX and of com.microsoft, against ONNX Runtime."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from imccompiler.frontend import load_onnx
from imccompiler.ir.dialect import DigitalOp

RNG = np.random.default_rng(0)
MICROSOFT = "com.microsoft"
CONSTANTS = {
    "s1": np.float32(0.02),
    "s2": np.float32(0.035),
    "sy": np.float32(0.041),
    "z1": np.uint8(120),
    "z2": np.uint8(133),
    "zy": np.uint8(100),
}


def microsoft(op_type, inputs, **attributes):
    return helper.make_node(
        op_type, inputs.split(), ["q"], name=op_type, domain=MICROSOFT, **attributes
    )


def run_model(nodes, shape, arrays, out_shape):
    """Two quantised inputs `a` and `b` of the real ones, the operator, its result dequantised."""
    quantise = [
        helper.make_node("QuantizeLinear", [x, f"s{i}", f"z{i}"], [name], name=f"quantise_{name}")
        for i, (x, name) in enumerate((("x1", "a"), ("x2", "b")), start=1)
    ]
    used = {name for node in nodes for name in node.input}
    quantise = [node for node in quantise if node.output[0] in used]
    back = helper.make_node("DequantizeLinear", ["q", "sy", "zy"], ["y"], name="back")
    graph = helper.make_graph(
        [*quantise, *nodes, back],
        "operators",
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name in (node.input[0] for node in quantise)
        ],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, out_shape)],
        [
            numpy_helper.from_array(np.asarray(array), name)
            for name, array in {**CONSTANTS, **arrays}.items()
        ],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def feeds(made, count=4):
    ports = {i.name: [d.dim_value for d in i.type.tensor_type.shape.dim] for i in made.graph.input}
    return {
        name: RNG.uniform(-2.2, 2.2, (count, *shape[1:])).astype(np.float32)
        for name, shape in ports.items()
    }


IMAGE = [1, 4, 6, 6]


@pytest.mark.parametrize(
    ("node", "kind", "out"),
    [
        (microsoft("QLinearAdd", "a s1 z1 b s2 z2 sy zy"), "Add", IMAGE),
        (microsoft("QLinearMul", "a s1 z1 b s2 z2 sy zy"), "Mul", IMAGE),
        (microsoft("QLinearSigmoid", "a s1 z1 sy zy"), "Sigmoid", IMAGE),
        (microsoft("QLinearLeakyRelu", "a s1 z1 sy zy", alpha=0.2), "LeakyRelu", IMAGE),
        (microsoft("QLinearSoftmax", "a s1 z1 sy zy", opset=17, axis=-1), "Softmax", IMAGE),
        (
            microsoft("QLinearGlobalAveragePool", "a s1 z1 sy zy", channels_last=0),
            "GlobalAveragePool",
            [1, 4, 1, 1],
        ),
        (
            microsoft("QLinearAveragePool", "a s1 z1 sy zy", kernel_shape=[2, 2], strides=[2, 2]),
            "AveragePool",
            [1, 4, 3, 3],
        ),
        (microsoft("QLinearConcat", "sy zy a s1 z1 b s2 z2", axis=1), "Concat", [1, 8, 6, 6]),
    ],
    ids=lambda value: getattr(value, "op_type", None),
)
def test_operator(quantised, run_runtime, node, kind, out):
    made = run_model([node], IMAGE, {}, out)
    inputs = feeds(made)
    found = quantised(made, inputs, execute=True)
    assert found.kinds == [kind]
    assert (found.quant("y").scale, found.quant("y").zero_point) == (pytest.approx(0.041), -28)
    assert not found.context.notes
    steps = found.steps_from(run_runtime(made, inputs))
    assert steps.max() < 1.01
    assert (steps > 0.5).mean() < 0.05


@pytest.mark.parametrize("per_channel", [False, True])
def test_convolution(quantised, run_runtime, per_channel):
    codes = RNG.integers(-127, 128, (5, 4, 3, 3)).astype(np.int8)
    scale = RNG.uniform(0.002, 0.006, 5 if per_channel else ()).astype(np.float32)
    arrays = {
        "w": codes,
        "sw": scale,
        "zw": np.zeros(scale.shape, np.int8),
        "bias": RNG.integers(-5000, 5000, 5).astype(np.int32),
    }
    node = helper.make_node(
        "QLinearConv",
        ["a", "s1", "z1", "w", "sw", "zw", "sy", "zy", "bias"],
        ["q"],
        name="conv",
        pads=[1, 1, 1, 1],
    )
    made = run_model([node], IMAGE, arrays, [1, 5, 6, 6])
    inputs = feeds(made)
    found = quantised(made, inputs, execute=True)
    assert found.kinds == ["matmul"]
    np.testing.assert_array_equal(found.codes(0), codes)
    assert found.steps_from(run_runtime(made, inputs)).max() < 1.01


@pytest.mark.parametrize("form", ["QLinearMatMul", "QGemm"])
def test_products(quantised, run_runtime, form):
    codes = RNG.integers(-127, 128, (30, 7)).astype(np.int8)
    arrays = {"w": codes, "sw": np.float32(0.004), "zw": np.int8(0)}
    if form == "QGemm":
        arrays |= {"w": codes.T.copy(), "bias": RNG.integers(-900, 900, 7).astype(np.int32)}
        node = microsoft("QGemm", "a s1 z1 w sw zw bias sy zy", alpha=1.5, transB=1)
    else:
        inputs = ["a", "s1", "z1", "w", "sw", "zw", "sy", "zy"]
        node = helper.make_node("QLinearMatMul", inputs, ["q"], name="product")
    made = run_model([node], [1, 30], arrays, [1, 7])
    values = feeds(made, 16)
    found = quantised(made, values, execute=True)
    np.testing.assert_array_equal(found.codes(0), codes)
    assert found.steps_from(run_runtime(made, values)).max() < 1.01


def test_product_of_two_activations(quantised, run_runtime):
    inputs = ["a", "s1", "z1", "bt", "s2", "z2", "sy", "zy"]
    nodes = [
        helper.make_node("Transpose", ["b"], ["bt"], perm=[0, 2, 1]),
        helper.make_node("QLinearMatMul", inputs, ["q"], name="product"),
    ]
    made = run_model(nodes, [1, 6, 9], {}, [1, 6, 6])
    values = feeds(made)
    found = quantised(made, values)
    assert found.kinds == ["Transpose", "dynamic_matmul"]
    assert found.steps_from(run_runtime(made, values)).max() < 1.01


def test_channels_last_is_left_alone():
    """What has another layout is no plain operator of the default domain."""
    node = microsoft("QLinearGlobalAveragePool", "a s1 z1 sy zy", channels_last=1)
    made = run_model([node], IMAGE, {}, [1, 1, 1, 6])
    ops = load_onnx(made).module.body.block.ops
    kinds = [op.op_type.data for op in ops if isinstance(op, DigitalOp)]
    assert "GlobalAveragePool" not in kinds
    assert any("QLinearGlobalAveragePool" in kind for kind in kinds)
