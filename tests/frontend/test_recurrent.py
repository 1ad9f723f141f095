"""LSTM, GRU and RNN unrolled: end to end, against ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import imccompiler
from imccompiler.frontend import load_onnx
from imccompiler.simulator.float_model import run_float

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STEPS, BATCH, INPUTS, HIDDEN = 4, 2, 5, 6
ENOUGH_DB = 28.0


def recurrent(
    op_type: str,
    *,
    bias: bool = True,
    lengths: list[int] | None = None,
    initial: str = "",
    peepholes: bool = False,
    **attributes: Any,
) -> tuple[onnx.ModelProto, dict[str, np.ndarray]]:
    """A model of one node and its inputs; `initial` states are `constant` or `input`."""
    rng = np.random.default_rng(0)

    def noise(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * 0.5).astype(np.float32)

    directions = 2 if attributes.get("direction") == "bidirectional" else 1
    batch_first = bool(attributes.get("layout", 0))
    rows = GATES[op_type] * HIDDEN
    weights = {"W": noise(directions, rows, INPUTS), "R": noise(directions, rows, HIDDEN)}
    inputs = {"x": noise(*((BATCH, STEPS) if batch_first else (STEPS, BATCH)), INPUTS)}
    names = ["x", "W", "R", "B" if bias else "", "L" if lengths else ""]
    if bias:
        weights["B"] = noise(directions, 2 * rows)
    if lengths:
        weights["L"] = np.array(lengths, np.int32)
    for state in ("h", "c")[: 2 if op_type == "LSTM" else 1]:
        shape = (BATCH, directions) if batch_first else (directions, BATCH)
        if initial:
            (weights if initial == "constant" else inputs)[state] = noise(*shape, HIDDEN)
        names.append(state if initial else "")
    if peepholes:
        weights["P"] = noise(directions, 3 * HIDDEN)
        names.append("P")
    outputs = ["Y", "Yh", "Yc"][: 3 if op_type == "LSTM" else 2]
    node = helper.make_node(op_type, names, outputs, "layer", hidden_size=HIDDEN, **attributes)
    graph = helper.make_graph(
        [node],
        "recurrent",
        [helper.make_tensor_value_info(n, 1, a.shape) for n, a in inputs.items()],
        [onnx.ValueInfoProto(name=n) for n in outputs],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    opset = helper.make_opsetid("", 22)
    return helper.make_model(graph, opset_imports=[opset], ir_version=8), inputs


COMMON: list[dict[str, Any]] = [
    {},
    {"bias": False},
    {"direction": "reverse"},
    {"direction": "bidirectional"},
    {"initial": "constant"},
    {"initial": "input", "direction": "bidirectional"},
    {"lengths": [4, 2]},
    {"lengths": [3, 1], "direction": "bidirectional"},
    {"clip": 0.3},
]
CASES: list[tuple[str, dict[str, Any]]] = [
    *((op_type, case) for op_type in GATES for case in COMMON),
    ("LSTM", {"peepholes": True}),
    ("LSTM", {"peepholes": True, "initial": "input"}),
    ("LSTM", {"input_forget": 1, "initial": "constant"}),
    ("LSTM", {"peepholes": True, "input_forget": 1, "direction": "bidirectional", "clip": 0.5}),
    (
        "LSTM",
        {
            "activations": ["HardSigmoid", "Softsign", "Relu"],
            "activation_alpha": [0.3],
            "activation_beta": [0.4],
        },
    ),
    ("GRU", {"linear_before_reset": 1}),
    ("GRU", {"linear_before_reset": 1, "initial": "input"}),
    ("GRU", {"linear_before_reset": 1, "initial": "constant"}),
    ("GRU", {"linear_before_reset": 1, "direction": "bidirectional", "bias": False}),
    ("GRU", {"activations": ["LeakyRelu", "Elu"], "activation_alpha": [0.3, 0.7]}),
    ("RNN", {"activations": ["Relu"]}),
    ("RNN", {"activations": ["Affine"], "activation_alpha": [0.4], "activation_beta": [0.1]}),
    ("RNN", {"activations": ["ScaledTanh"], "activation_alpha": [0.8], "activation_beta": [0.9]}),
    ("RNN", {"activations": ["ThresholdedRelu"], "activation_alpha": [0.3]}),
    ("RNN", {"activations": ["Softplus"]}),
]


@pytest.mark.parametrize(("op_type", "case"), CASES)
def test_compiles_exactly(op_type: str, case: dict[str, Any]) -> None:
    model, inputs = recurrent(op_type, **case)
    compiled = imccompiler.compile(model, "isaac", calibration=inputs, check=True, effort=0)
    check = compiled.report.check
    assert check is not None
    assert check.bit_exact
    assert check.onnxruntime_sqnr_db is not None
    assert check.onnxruntime_sqnr_db > ENOUGH_DB
    assert {o.unit for o in compiled.report.coverage.operators} == {"crossbar", "digital"}


@pytest.mark.parametrize(("op_type", "case"), CASES)
def test_equals_onnx_runtime_in_floats(
    run_reference: Any, op_type: str, case: dict[str, Any]
) -> None:
    model, inputs = recurrent(op_type, **case)
    network = load_onnx(model)
    found = run_float(network.module, network.store, inputs)
    for name, value in run_reference(model, inputs).items():
        assert found[name].shape == value.shape
        np.testing.assert_allclose(found[name], value, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("op_type", GATES)
@pytest.mark.parametrize("direction", ["reverse", "bidirectional"])
def test_batch_first_is_the_same_turned(op_type: str, direction: str) -> None:
    case: dict[str, Any] = {"direction": direction, "lengths": [4, 2]}
    first, last = recurrent(op_type, layout=1, **case), recurrent(op_type, **case)
    x = last[1]["x"]
    (a, b) = (load_onnx(model) for model, _ in (first, last))
    turned = run_float(a.module, a.store, {"x": np.ascontiguousarray(x.transpose(1, 0, 2))})
    plain = run_float(b.module, b.store, {"x": x})
    np.testing.assert_allclose(turned["Y"].transpose(1, 2, 0, 3), plain["Y"], rtol=1e-5)
    np.testing.assert_allclose(turned["Yh"].transpose(1, 0, 2), plain["Yh"], rtol=1e-5)


def test_steps_share_the_recurrent_weights() -> None:
    network = load_onnx(recurrent("LSTM")[0])
    products = [op for op in network.module.body.block.ops if op.name == "imc.matmul"]
    assert len(products) == STEPS  # one with the inputs, none of the first step's zero state
    assert len({op.operands[1] for op in products}) == 2


def test_weights_that_are_data_run_on_the_host() -> None:
    model, inputs = recurrent("RNN", activations=["Sigmoid"])
    model.graph.initializer.remove(next(t for t in model.graph.initializer if t.name == "R"))
    model.graph.input.append(helper.make_tensor_value_info("R", 1, (1, HIDDEN, HIDDEN)))
    inputs["R"] = np.eye(HIDDEN, dtype=np.float32)[None]
    compiled = imccompiler.compile(model, "isaac", calibration=inputs, check=True, effort=0)
    assert {o.unit for o in compiled.report.coverage.operators} == {"host"}
    assert compiled.report.check is not None
    assert compiled.report.check.bit_exact
