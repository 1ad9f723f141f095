"""Integer products with dynamic or given scales, and networks of ONNX Runtime's own quantisers."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, helper, load, numpy_helper, save
from onnxruntime.quantization import (
    CalibrationDataReader,
    QuantFormat,
    QuantType,
    quantize_dynamic,
    quantize_static,
)

from imccompiler import models

RNG = np.random.default_rng(0)


class Reader(CalibrationDataReader):
    def __init__(self, port, samples):
        self._each = iter([{port: samples[i : i + 1]} for i in range(len(samples))])

    def get_next(self):
        return next(self._each, None)


def model(nodes, inputs, outputs, arrays, *, microsoft=False):
    graph = helper.make_graph(
        nodes,
        "dynamic",
        [helper.make_tensor_value_info(*i) for i in inputs],
        [helper.make_tensor_value_info(*o) for o in outputs],
        [numpy_helper.from_array(np.asarray(a), n) for n, a in arrays.items()],
    )
    opsets = [helper.make_opsetid("", 17)]
    opsets += [helper.make_opsetid("com.microsoft", 1)] if microsoft else []
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def node(op_type, inputs, outputs, **attributes):
    return helper.make_node(
        op_type, inputs.split(), outputs.split(), name=outputs.split()[0], **attributes
    )


def test_integer_product_is_exact_integers(quantised, run_runtime):
    """MatMulInteger of an integer input: 32-bit integers, the same as ONNX Runtime's."""
    codes = RNG.integers(-3, 4, (20, 6)).astype(np.int8)
    nodes = [
        node("MatMulInteger", "x w zx zw", "m"),
        node("Cast", "m", "f", to=TensorProto.FLOAT),
        node("Mul", "f s", "r"),
        node("QuantizeLinear", "r sy zy", "q"),
        node("DequantizeLinear", "q sy zy", "y"),
    ]
    arrays = {
        "w": codes,
        "zx": np.uint8(7),
        "zw": np.int8(0),
        "s": np.float32(0.001),
        "sy": np.float32(0.03),
        "zy": np.int8(3),
    }
    inputs = [("x", TensorProto.UINT8, [1, 20])]
    made = model(nodes, inputs, [("y", TensorProto.FLOAT, [1, 6])], arrays)
    x = RNG.integers(0, 256, (8, 20)).astype(np.uint8)
    found = quantised(made, {"x": x}, execute=True)
    np.testing.assert_array_equal(found.codes(0), codes)
    assert found.steps_from(run_runtime(made, {"x": x})).max() < 1.01


@pytest.mark.parametrize("form", ["pattern", "DynamicQuantizeMatMul", "MatMulIntegerToFloat"])
def test_dynamic_ranges_are_calibrated(quantised, run_runtime, form):
    codes = RNG.integers(-127, 128, (40, 6)).astype(np.int8)
    arrays = {"w": codes, "sw": np.float32(0.004), "zw": np.int8(0)}
    arrays["b"] = RNG.standard_normal(6).astype(np.float32)
    nodes = [node("DynamicQuantizeLinear", "x", "q s z")]
    if form == "pattern":
        nodes += [
            node("MatMulInteger", "q w z zw", "m"),
            node("Cast", "m", "f", to=TensorProto.FLOAT),
            node("Mul", "s sw", "scales"),
            node("Mul", "f scales", "r"),
            node("Add", "r b", "y"),
        ]
    elif form == "MatMulIntegerToFloat":
        nodes += [node(form, "q w s sw z zw b", "y", domain="com.microsoft")]
    else:
        nodes = [node(form, "x w sw zw b", "y", domain="com.microsoft")]
    sizes = [("x", TensorProto.FLOAT, [1, 40])], [("y", TensorProto.FLOAT, [1, 6])]
    made = model(nodes, *sizes, arrays, microsoft=form != "pattern")
    x = RNG.standard_normal((8, 40)).astype(np.float32)
    found = quantised(made, {"x": x}, calibration={"x": x}, execute=True)
    assert found.kinds == ["matmul"]
    np.testing.assert_array_equal(found.codes(0), codes)
    assert any("dynamic ranges" in note for note in found.context.notes)
    assert found.steps_from(run_runtime(made, {"x": x})).max() < 3


def test_integer_convolution(quantised, run_runtime):
    codes = RNG.integers(-127, 128, (5, 2, 3, 3)).astype(np.int8)
    arrays = {"w": codes, "sw": np.float32(0.01), "zw": np.int8(0)}
    nodes = [
        node("DynamicQuantizeLinear", "x", "q s z"),
        node("ConvInteger", "q w z zw", "m", pads=[1, 1, 1, 1]),
        node("Cast", "m", "f", to=TensorProto.FLOAT),
        node("Mul", "s sw", "scales"),
        node("Mul", "f scales", "y"),
    ]
    sizes = [("x", TensorProto.FLOAT, [1, 2, 6, 6])], [("y", TensorProto.FLOAT, [1, 5, 6, 6])]
    made = model(nodes, *sizes, arrays)
    x = RNG.standard_normal((4, 2, 6, 6)).astype(np.float32)
    found = quantised(made, {"x": x}, calibration={"x": x})
    np.testing.assert_array_equal(found.codes(0), codes)
    assert found.steps_from(run_runtime(made, {"x": x})).max() < 3


def test_packed_blocks_of_four_bits(quantised, run_runtime):
    """MatMulNBits: its blocks have scales of their own, so the values are kept, not the codes."""
    packed = RNG.integers(0, 256, (6, 2, 16)).astype(np.uint8)
    arrays = {"w": packed, "s": RNG.uniform(0.02, 0.04, 12).astype(np.float32)}
    arrays["zp"] = RNG.integers(0, 256, (6, 1)).astype(np.uint8)
    nodes = [
        node(
            "MatMulNBits", "x w s zp", "y", domain="com.microsoft", K=64, N=6, bits=4, block_size=32
        )
    ]
    sizes = [("x", TensorProto.FLOAT, [1, 64])], [("y", TensorProto.FLOAT, [1, 6])]
    made = model(nodes, *sizes, arrays, microsoft=True)
    x = RNG.standard_normal((8, 64)).astype(np.float32)
    found = quantised(made, {"x": x}, calibration={"x": x})
    want = run_runtime(made, {"x": x})["y"]
    assert found.kinds == ["matmul"]
    error = found.outputs["y"].reshape(want.shape) - want
    assert np.square(error).mean() < 1e-3 * np.square(want).mean()


# ---- networks quantised by ONNX Runtime


def static(tmp_path, name, samples, *, port, options=None, **more):
    source, target = tmp_path / "float.onnx", tmp_path / "quantised.onnx"
    save(models.build(name, **(options or {})), source)
    quantize_static(source, target, Reader(port, samples), **more)
    return load(target)


def integer_initialisers(made):
    arrays = [numpy_helper.to_array(t) for t in made.graph.initializer]
    return [a.astype(int) for a in arrays if a.size > 1 and a.dtype.itemsize == 1]


def holds(pool, codes):
    """Whether the codes are an initialiser, its rows and columns perhaps in another order."""
    flat = np.sort(codes.astype(int).ravel())
    return any(np.array_equal(flat, np.sort(p.ravel())) for p in pool)


@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn"])
@pytest.mark.parametrize("form", ["qdq", "qoperator", "four bits", "symmetric"])
def test_digits_as_in_runtime(tmp_path, quantised, run_runtime, name, form):
    made = static(
        tmp_path,
        name,
        models.digits.calibration()[:32],
        port="image",
        quant_format=QuantFormat.QOperator if form == "qoperator" else QuantFormat.QDQ,
        per_channel=form in {"qdq", "symmetric"},
        activation_type=QuantType.QUInt8 if form == "qoperator" else QuantType.QInt8,
        weight_type=QuantType.QInt4 if form == "four bits" else QuantType.QInt8,
        extra_options={"ActivationSymmetric": form == "symmetric"},
    )
    images, labels = models.digits.heldout()
    found = quantised(made, {"image": images})
    pool = integer_initialisers(made)
    assert all(holds(pool, found.codes(i)) for i in range(len(found.matmuls)))
    assert not found.context.notes
    want = run_runtime(made, {"image": images})["logits"]
    ours = found.outputs["logits"].reshape(want.shape)
    assert np.array_equal(ours.argmax(1), want.argmax(1))
    assert (ours.argmax(1) == labels).mean() > 0.97
    assert found.steps_from({"logits": want}).max() < (4.01 if name == "digits-cnn" else 2.01)


@pytest.mark.parametrize(
    ("name", "port", "shape", "options"),
    [("lenet", "image", (1, 28, 28), {}), ("bert-tiny", "input_ids", (16,), {"tokens": 16})],
)
def test_executed_networks(tmp_path, quantised, run_runtime, name, port, shape, options):
    samples = (
        RNG.integers(0, 1000, (6, *shape))
        if name == "bert-tiny"
        else RNG.random((6, *shape), dtype=np.float32)
    )
    ports = {i.name for i in models.build(name, **options).graph.input}
    assert port in ports
    made = static(tmp_path, name, samples, port=port, options=options, per_channel=True)
    found = quantised(made, {port: samples}, calibration={port: samples}, execute=True)
    pool = integer_initialisers(made)
    assert all(holds(pool, found.codes(i)) for i in range(len(found.matmuls)))
    for output, want in run_runtime(made, {port: samples}).items():
        error = found.outputs[output].reshape(want.shape) - want
        assert np.square(error).mean() < 1e-3 * np.square(want).mean()


def test_dynamic_network(tmp_path, quantised, run_runtime):
    source, target = tmp_path / "float.onnx", tmp_path / "quantised.onnx"
    save(models.build("digits-cnn"), source)
    quantize_dynamic(source, target, per_channel=True)
    made = load(target)
    images, _ = models.digits.heldout()
    calibration = {"image": models.digits.calibration()}
    found = quantised(made, {"image": images}, calibration=calibration)
    pool = integer_initialisers(made)
    assert all(holds(pool, found.codes(i)) for i in range(len(found.matmuls)))
    want = run_runtime(made, {"image": images})["logits"]
    ours = found.outputs["logits"].reshape(want.shape)
    assert np.count_nonzero(ours.argmax(1) != want.argmax(1)) <= 1
