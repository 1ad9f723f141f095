"""QONNX: Quant, BipolarQuant, Trunc and FloatQuant, against the formulas of the qonnx package.

The package itself, where it is installed, runs its own small networks for comparison.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from imccompiler.errors import ModelError
from imccompiler.frontend import load_onnx
from imccompiler.frontend.qonnx_reference import qonnx_operators
from imccompiler.frontend.quantised_qonnx import minifloat

DOMAIN = "qonnx.custom_op.general"
RNG = np.random.default_rng(0)
F = np.float32


def q(op_type, inputs, output, **attributes):
    names = inputs.split()
    return helper.make_node(op_type, names, [output], name=output, domain=DOMAIN, **attributes)


def plain(op_type, inputs, output, **attributes):
    return helper.make_node(op_type, inputs.split(), [output], name=output, **attributes)


def model(nodes, x_shape, y_shape, domain=DOMAIN, **arrays):
    for node in nodes:
        if node.domain:
            node.domain = domain
    graph = helper.make_graph(
        nodes,
        "qonnx",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, x_shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, y_shape)],
        [numpy_helper.from_array(np.asarray(a, F), n) for n, a in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 13), helper.make_opsetid(domain, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


# ---- the package's formulas, in single precision


def quant(x, scale, zero, bits, *, signed, narrow, rounding=np.rint):
    low = -(2 ** (bits - 1)) + narrow if signed else 0
    high = 2 ** (bits - 1) - 1 if signed else 2**bits - 1 - narrow
    steps = np.clip(F(x) / F(scale) + F(zero), low, high)
    return (rounding(steps) - F(zero)) * F(scale)


def bipolar(x, scale):
    return np.where(x >= 0, F(1), F(-1)) * F(scale)


SIGNED = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
UNSIGNED = {"signed": 0, "narrow": 0, "rounding_mode": "ROUND"}
NARROW = {"signed": 1, "narrow": 1, "rounding_mode": "ROUND"}


@pytest.mark.parametrize("domain", [DOMAIN, "onnx.brevitas", "finn.custom_op.general"])
@pytest.mark.parametrize("bits", [2, 3, 4, 8])
def test_convolution_of_few_bits(quantised, domain, bits):
    """As Brevitas exports it: weights a channel, BatchNormalization, relu, unsigned codes."""
    w = RNG.standard_normal((6, 2, 1, 1)).astype(F)
    scale = np.abs(w).max((1, 2, 3), keepdims=True) / F(2 ** (bits - 1) - 1)
    norm = {
        "gain": RNG.uniform(0.5, 1.5, 6),
        "shift": RNG.standard_normal(6),
        "mean": RNG.standard_normal(6),
        "variance": RNG.uniform(0.5, 1.5, 6),
    }
    nodes = [
        q("Quant", "x sx zero eight", "xq", **SIGNED),
        q("Quant", "w sw zero bits", "wq", **NARROW),
        plain("Conv", "xq wq", "c"),
        plain("BatchNormalization", "c gain shift mean variance", "n"),
        plain("Relu", "n", "r"),
        q("Quant", "r sy zero bits", "y", **UNSIGNED),
    ]
    numbers = {"sx": 0.02, "zero": 0, "eight": 8, "bits": bits, "sw": scale, "sy": 0.5}
    shapes = ([1, 2, 5, 5], [1, 6, 5, 5])
    made = model(nodes, *shapes, domain=domain, w=w, **numbers, **norm)
    x = RNG.standard_normal((4, 2, 5, 5)).astype(F)
    found = quantised(made, {"x": x}, execute=True)
    assert found.kinds == ["matmul"]
    assert found.matmuls[0].integer.weight_bits == bits
    assert (found.quant("y").bits, found.quant("y").scale) == (bits, pytest.approx(0.5))
    integers = np.rint(w / scale)
    np.testing.assert_array_equal(found.codes(0), integers)
    xq = quant(x, 0.02, 0, 8, signed=True, narrow=False)
    c = np.einsum("nchw,mc->nmhw", xq, (integers * scale)[:, :, 0, 0])
    gain, shift, mean, variance = (v.reshape(-1, 1, 1) for v in norm.values())
    r = np.maximum((c - mean) / np.sqrt(variance + 1e-5) * gain + shift, 0)
    want = quant(r, 0.5, 0, bits, signed=False, narrow=False)
    steps = found.steps_from({"y": want})
    assert steps.max() < 1.01
    assert (steps > 0.5).mean() < 0.02


@pytest.mark.parametrize("bias", [0.0, 3.0])
def test_bipolar_network_is_exact(quantised, bias):
    """Signs of inputs and of sums, zero counting as positive, are found without error."""
    w1, w2 = RNG.standard_normal((40, 32)).astype(F), RNG.standard_normal((32, 10)).astype(F)
    b = RNG.standard_normal(32).astype(F) * F(bias)
    nodes = [
        q("BipolarQuant", "x one", "xq"),
        q("BipolarQuant", "w1 s1", "w1q"),
        plain("MatMul", "xq w1q", "m1"),
        plain("Add", "m1 b", "m1b"),
        q("BipolarQuant", "m1b half", "h"),
        q("BipolarQuant", "w2 one", "w2q"),
        plain("MatMul", "h w2q", "m2"),
        q("Quant", "m2 sy zero eight", "y", **SIGNED),
    ]
    numbers = {"one": 1, "half": 0.5, "s1": 0.25, "sy": 0.5, "zero": 0, "eight": 8}
    made = model(nodes, [1, 40], [1, 10], w1=w1, w2=w2, b=b, **numbers)
    x = RNG.standard_normal((64, 40)).astype(F)
    found = quantised(made, {"x": x}, execute=True)
    assert not found.context.notes
    np.testing.assert_array_equal(found.codes(0), bipolar(w1, 1))
    np.testing.assert_array_equal(found.codes(1), bipolar(w2, 1))
    sums = bipolar(x, 1) @ bipolar(w1, 0.25) + b
    assert bias or np.any(sums == 0)
    h = bipolar(sums, 0.5)
    want = quant(h @ bipolar(w2, 1), 0.5, 0, 8, signed=True, narrow=False)
    assert found.steps_from({"y": want}).max() < 1e-5


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize(("mode", "rounding"), [("FLOOR", np.floor), ("ROUND", np.rint)])
@pytest.mark.parametrize("zero", [0, 16])
def test_trunc(quantised, later, mode, rounding, zero):
    """Four of eight bits dropped; the old form keeps the scale, the new one has another."""
    inputs = "xq s zero eight four" if not later else "xq s zero eight s4 four"
    nodes = [
        q("Quant", "x s zero eight", "xq", **SIGNED),
        q("Trunc", inputs, "y", rounding_mode=mode, **({"signed": 1} if later else {})),
    ]
    numbers = {"s": 0.25, "s4": 4.0, "zero": zero, "eight": 8, "four": 4}
    made = model(nodes, [1, 500], [1, 500], **numbers)
    x = RNG.uniform(-30, 30, (2, 500)).astype(F)
    found = quantised(made, {"x": x}, execute=True)
    steps = np.rint(quant(x, 0.25, zero, 8, signed=True, narrow=False) / F(0.25) + zero) / F(16)
    if later:
        want = (rounding(np.clip(steps, -8, 7)) - F(zero / 16)) * F(4)
    else:
        want = (rounding(steps) - F(zero)) * F(0.25)
    assert found.steps_from({"y": want}).max() < 1e-5


@pytest.mark.parametrize(("mode", "rounding"), [("FLOOR", np.floor), ("CEIL", np.ceil)])
def test_other_roundings_of_activations(quantised, mode, rounding):
    nodes = [
        q("Quant", "x s zero eight", "xq", **SIGNED),
        plain("Sigmoid", "xq", "g"),
        q("Quant", "g s zero four", "y", **{**UNSIGNED, "rounding_mode": mode}),
    ]
    made = model(nodes, [1, 256], [1, 256], s=0.07, zero=0, eight=8, four=4)
    x = ((np.arange(256, dtype=F) - 128) * F(0.07)).reshape(1, 256)
    found = quantised(made, {"x": x}, calibration={"x": x})
    want = quant(1 / (1 + np.exp(-x)), 0.07, 0, 4, signed=False, narrow=False, rounding=rounding)
    steps = found.steps_from({"y": want})
    assert steps.max() < 1.01
    assert (steps > 0.5).mean() < 0.02
    node = q("Quant", "x s zero four", "y", **{**SIGNED, "rounding_mode": "UP"})
    bad = model([node], [1, 4], [1, 4], s=1, zero=0, four=4)
    with pytest.raises(ModelError, match="rounds activations in mode UP"):
        load_onnx(bad)


def test_small_minifloats_are_integers(quantised):
    """FP4 (E2M1) has the values 0, 0.5, 1, 1.5, 2, 3, 4 and 6: of 5 bits, in halves."""
    w = RNG.uniform(-0.9, 0.9, (24, 5)).astype(F)
    nodes = [
        q("Quant", "x sx zero eight", "xq", **SIGNED),
        q("FloatQuant", "w sw two one one six", "wq", has_inf=0, has_nan=0, has_subnormal=1),
        plain("MatMul", "xq wq", "m"),
        q("Quant", "m sx zero eight", "y", **SIGNED),
    ]
    numbers = {"sx": 0.03, "zero": 0, "eight": 8, "sw": 0.15, "two": 2, "one": 1, "six": 6}
    made = model(nodes, [1, 24], [1, 5], w=w, **numbers)
    x = RNG.standard_normal((8, 24)).astype(F)
    found = quantised(made, {"x": x}, execute=True)
    assert found.matmuls[0].integer.weight_bits == 5
    codes = found.codes(0)
    assert set(np.abs(codes).ravel()) <= {0, 1, 2, 3, 4, 6, 8, 12}
    table = np.array([0, 0.5, 1, 1.5, 2, 3, 4, 6])
    table = np.concatenate([-table[::-1], table])
    nearest = np.abs(table[:, None, None] - w / F(0.15)).min(axis=0)
    np.testing.assert_allclose(np.abs(codes / 2 - w / F(0.15)), nearest, atol=1e-6)
    xq = quant(x, 0.03, 0, 8, signed=True, narrow=False)
    want = quant(xq @ (codes * F(0.075)), 0.03, 0, 8, signed=True, narrow=False)
    assert found.steps_from({"y": want}).max() < 1.01


def test_minifloat_saturates_and_rounds_to_even():
    x = np.array([0.2, 0.25, 0.75, 2.5, 3.5, 5.0, 7.0, -9.0], F)
    found = minifloat(x, 1, 0.5, 6.0, np.rint)
    np.testing.assert_array_equal(found, [0, 0, 1, 2, 4, 4, 6, -6])


def test_evaluator_has_the_formulas():
    """ONNX's own evaluator with these operators is what `imcc run` compares with."""
    nodes = [
        q("Quant", "x s zero eight", "a", **SIGNED),
        q("Trunc", "a s zero eight s4 four", "t", rounding_mode="FLOOR"),
        q("BipolarQuant", "a half", "b"),
        q("FloatQuant", "x half two one one six", "f", has_inf=0, has_nan=0, has_subnormal=1),
        q("IntQuant", "x half zero one", "i", **SIGNED),
        plain("Sum", "t b f i", "y"),
    ]
    numbers = {"s": 0.25, "s4": 4.0, "zero": 0, "eight": 8, "four": 4, "half": 0.5}
    made = model(nodes, [1, 50], [1, 50], two=2, one=1, six=6, **numbers)
    x = RNG.uniform(-30, 30, (1, 50)).astype(F)
    (found,) = ReferenceEvaluator(made, new_ops=qonnx_operators()).run(None, {"x": x})
    a = quant(x, 0.25, 0, 8, signed=True, narrow=False)
    t = np.clip(np.floor(a / F(4)), -8, 7) * F(4)
    want = (
        t + bipolar(a, 0.5) + minifloat(x / F(0.5), 1, 0.5, 6, np.rint) * F(0.5) + bipolar(x, 0.5)
    )
    np.testing.assert_allclose(found, want, rtol=1e-6)


def test_scales_have_to_be_constants():
    nodes = [plain("ReduceMax", "x", "s"), q("Quant", "x s zero eight", "y", **SIGNED)]
    made = model(nodes, [1, 4], [1, 4], zero=0, eight=8)
    with pytest.raises(ModelError, match="not known before the network runs"):
        load_onnx(made)


@pytest.mark.parametrize(
    ("path", "largest", "mean"),
    [
        ("bsd300x3-espcn/nn_resize/quant_model.onnx", 8, 1),
        ("eltwise_chanlast_testcase.onnx", 12, 2),
    ],
)
def test_networks_of_the_package(quantised, path, largest, mean):
    qonnx = pytest.importorskip("qonnx")
    from qonnx.core.modelwrapper import ModelWrapper  # noqa: PLC0415
    from qonnx.core.onnx_exec import execute_onnx  # noqa: PLC0415
    from qonnx.transformation.infer_shapes import InferShapes  # noqa: PLC0415

    file = Path(qonnx.__file__).parent / "data" / "onnx" / path
    wrapped = ModelWrapper(str(file)).transform(InferShapes())
    port = wrapped.graph.input[0].name
    shape = wrapped.get_tensor_shape(port)
    x = RNG.integers(0, 256, shape).astype(F)
    x = x / F(255) if "espcn" in path else x
    want = execute_onnx(wrapped, {port: x})
    found = quantised(file, {port: x}, calibration={port: x})
    steps = found.steps_from(want)
    assert steps.max() <= largest
    assert steps.mean() <= mean
