from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import helper, numpy_helper

from imccompiler.frontend import Network, load_onnx
from imccompiler.simulator.float_model import run_float

Arrays = dict[str, np.ndarray]


def _make_model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Arrays,
    weights: Arrays | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
) -> onnx.ModelProto:
    """A model of these nodes; `inputs` gives shapes and types, output shapes are inferred."""

    def value(name: str, array: np.ndarray) -> onnx.ValueInfoProto:
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        return helper.make_tensor_value_info(name, kind, array.shape)

    graph = helper.make_graph(
        nodes,
        "test",
        [value(name, array) for name, array in inputs.items()],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True, strict_mode=True)
    del inferred.graph.value_info[:]
    return inferred


def _run_reference(model: onnx.ModelProto, inputs: Arrays) -> Arrays:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def _difference(network: Network, inputs: Arrays, expected: Arrays) -> float:
    """Largest difference of any output, relative to that output's size."""
    found = run_float(network.module, network.store, inputs)
    assert found.keys() == expected.keys()
    worst = 0.0
    for name, want in expected.items():
        assert found[name].shape == want.shape
        gap = np.abs(found[name].astype(np.float64) - want.astype(np.float64)).max(initial=0.0)
        scale = max(float(want.std()), float(np.abs(want).mean()), 1e-3)
        worst = max(worst, float(gap) / scale)
    return worst


def _op_types(network: Network) -> list[str]:
    """Names of the ops in order, digital ones by their operator; constants left out."""
    names: list[str] = []
    for op in network.module.body.block.ops:
        kind = op.properties.get("op_type")
        names.append(op.name.removeprefix("imc.") if kind is None else kind.data)
    return [name for name in names if name not in {"input", "weight", "output"}]


@pytest.fixture(scope="session")
def make_model() -> Callable[..., onnx.ModelProto]:
    return _make_model


@pytest.fixture(scope="session")
def run_reference() -> Callable[[onnx.ModelProto, Arrays], Arrays]:
    return _run_reference


@pytest.fixture(scope="session")
def difference() -> Callable[[Network, Arrays, Arrays], float]:
    return _difference


@pytest.fixture(scope="session")
def op_types() -> Callable[[Network], list[str]]:
    return _op_types


@pytest.fixture(scope="session")
def check() -> Callable[..., list[str]]:
    """Import a model of nodes and compare it with ONNX Runtime; return the types of its ops."""

    def check(
        nodes: Sequence[onnx.NodeProto] | onnx.NodeProto,
        inputs: Arrays,
        weights: Arrays | None = None,
        **options: Any,
    ) -> list[str]:
        nodes = [nodes] if isinstance(nodes, onnx.NodeProto) else nodes
        model = _make_model(nodes, inputs, weights, **options)
        network = load_onnx(model)
        assert _difference(network, inputs, _run_reference(model, inputs)) < 1e-5
        return _op_types(network)

    return check
