"""Operators on the host: ONNX Runtime's own, several results, element types, and what they cost."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import imccompiler
from imccompiler.errors import ModelError, UserInputError
from imccompiler.frontend import load_onnx
from imccompiler.hardware.load import load, vary
from imccompiler.ir.host import OUTPUTS, TYPES, VERSION, host_name, on_host, split_name
from imccompiler.simulator.host import evaluate_host

MICROSOFT = "com.microsoft"


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def compiled(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, np.ndarray],
    weights: dict[str, np.ndarray] | None = None,
    hardware: Any = "isaac",
) -> Any:
    graph = helper.make_graph(
        nodes,
        "host",
        [
            helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
            for n, a in inputs.items()
        ],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(a, n) for n, a in (weights or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=8)
    return imccompiler.compile(model, hardware, calibration=inputs, check=True, effort=0)


def own(
    op_type: str, names: list[str], outputs: tuple[str, ...] = ("y",), **attributes: Any
) -> Any:
    return helper.make_node(op_type, names, outputs, domain=MICROSOFT, **attributes)


X, W = noise(1, 6, 16), noise(16, 48, seed=1) * 0.3
RUNTIME = {
    "FusedMatMul": (own("FusedMatMul", ["x", "w"], alpha=0.5), {"w": W}),
    "Gelu": (own("Gelu", ["x"]), {}),
    "BiasGelu": (own("BiasGelu", ["x", "b"]), {"b": noise(16)}),
    "FastGelu": (own("FastGelu", ["x"]), {}),
    "QuickGelu": (own("QuickGelu", ["x"]), {}),
    "SkipLayerNormalization": (
        own("SkipLayerNormalization", ["x", "s", "g", "b"]),
        {"s": noise(1, 6, 16, seed=2), "g": noise(16), "b": noise(16, seed=3)},
    ),
    "Attention": (own("Attention", ["x", "w", "b"], num_heads=2), {"w": W, "b": noise(48)}),
}


@pytest.mark.parametrize("op_type", RUNTIME)
def test_operators_of_onnx_runtime(op_type: str) -> None:
    node, weights = RUNTIME[op_type]
    report = compiled([node], {"x": X}, weights).report
    assert report.check.bit_exact
    assert report.check.onnxruntime_sqnr_db > 25
    assert [o.unit for o in report.coverage.operators] == ["host"]


def test_macs_on_the_host_are_counted() -> None:
    node, weights = RUNTIME["FusedMatMul"]
    coverage = compiled([node], {"x": X}, weights).report.coverage
    assert coverage.host_macs == 6 * 16 * 48
    assert coverage.host_share == 1.0


def test_several_results_and_integers() -> None:
    nodes = [
        helper.make_node("TopK", ["x", "k"], ["values", "indices"], axis=1),
        helper.make_node("Cast", ["indices"], ["real"], to=1),
        helper.make_node("Add", ["values", "real"], ["y"]),
    ]
    report = compiled(nodes, {"x": X}, {"k": np.array([2])}).report
    assert report.check.bit_exact
    assert {(o.op_type, o.unit, o.count) for o in report.coverage.operators} >= {
        ("TopK", "host", 2)
    }


@pytest.mark.parametrize("dtype", [np.float16, np.float64, np.int32, np.uint8, np.bool_])
def test_element_types(dtype: Any) -> None:
    x = (np.arange(12).reshape(3, 4) % 2).astype(dtype)
    node = helper.make_node("ReverseSequence", ["x", "n"], ["y"], batch_axis=0, time_axis=1)
    report = compiled([node], {"x": x}, {"n": np.array([4, 2, 3])}).report
    assert report.check.bit_exact
    assert report.check.onnxruntime_max_abs_diff == 0


def test_the_way_there_and_back_is_timed_and_charged() -> None:
    node = helper.make_node("Tan", ["x"], ["y"])
    x = noise(4, 4) * 0.3
    slow = vary(load("isaac"), {"host.latency_ns": 10_547.0, "host.pj_per_byte": 812.5})
    near, far = (compiled([node], {"x": x}, hardware=h) for h in ("isaac", slow))
    later = far.report.latency_ns - near.report.latency_ns
    assert later == pytest.approx(10_000)
    energy = [c.report.energy_pj.by_component["host"] for c in (near, far)]
    assert energy[0] == pytest.approx(2 * 16 * 406.25)
    assert energy[1] == pytest.approx(2 * energy[0])


def test_plan_and_simulation_agree_on_the_host() -> None:
    node = helper.make_node("Tan", ["x"], ["y"])
    done = compiled([node], {"x": noise(4, 4) * 0.3})
    found = imccompiler.simulate(done, images=1).latency_ns
    assert found == pytest.approx(done.report.latency_ns, rel=0.01)  # clock edges


def test_names_say_where_an_operator_runs() -> None:
    assert host_name("", "Tan") == "ai.onnx.Tan"
    assert split_name("ai.onnx.Tan") == ("", "Tan")
    assert split_name(host_name(MICROSOFT, "Gelu")) == (MICROSOFT, "Gelu")
    assert on_host("ai.onnx.Tan")
    assert not on_host("Tanh")


def test_what_the_host_cannot_run_is_said() -> None:
    attributes = {VERSION: 13, TYPES: (1, 7), OUTPUTS: (1,), "axis": 0}
    with pytest.raises(UserInputError, match=r"the host cannot run ai\.onnx\.Gather"):
        evaluate_host("ai.onnx.Gather", attributes, [noise(3), np.array([7])])


def test_sizes_that_depend_on_data_are_refused(make_model: Any) -> None:
    nodes = [
        helper.make_node("NonZero", ["x"], ["n"], "found"),
        helper.make_node("Cast", ["n"], ["y"], to=1),
    ]
    with pytest.raises(ModelError, match=r"'found'.*depends on data"):
        load_onnx(make_model(nodes, {"x": noise(3)}))
