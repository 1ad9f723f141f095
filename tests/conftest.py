"""ONNX models of a few nodes, and their comparison with ONNX Runtime; imported when needed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

    from imccompiler.frontend import Network

Arrays = dict[str, np.ndarray]

# How long an example takes says how busy the machine is, not whether the code is right.
settings.register_profile(
    "imccompiler", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("imccompiler")


def _make_model(
    nodes: Sequence[NodeProto],
    inputs: Arrays,
    weights: Arrays | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
) -> ModelProto:
    import onnx  # noqa: PLC0415
    from onnx import helper, numpy_helper  # noqa: PLC0415

    graph = helper.make_graph(
        nodes,
        "test",
        [
            helper.make_tensor_value_info(
                name, helper.np_dtype_to_tensor_dtype(array.dtype), array.shape
            )
            for name, array in inputs.items()
        ],
        [onnx.ValueInfoProto(name=name) for name in outputs],
        [numpy_helper.from_array(array, name) for name, array in (weights or {}).items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True, strict_mode=True)
    del inferred.graph.value_info[:]
    return inferred


def _run_reference(model: ModelProto, inputs: Arrays) -> Arrays:
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, inputs), strict=True))


def _difference(network: Network, inputs: Arrays, expected: Arrays) -> float:
    from imccompiler.simulator.float_model import run_float  # noqa: PLC0415

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
    names: list[str] = []
    for op in network.module.body.block.ops:
        kind = op.properties.get("op_type")
        names.append(op.name.removeprefix("imc.") if kind is None else kind.data)
    return [name for name in names if name not in {"input", "weight", "output"}]


@pytest.fixture(scope="session")
def make_model() -> Callable[..., ModelProto]:
    """A model of nodes; `inputs` gives shapes and types, those of outputs are inferred."""
    return _make_model


@pytest.fixture(scope="session")
def run_reference() -> Callable[[ModelProto, Arrays], Arrays]:
    """Outputs of a model in ONNX Runtime."""
    return _run_reference


@pytest.fixture(scope="session")
def difference() -> Callable[[Network, Arrays, Arrays], float]:
    """Largest difference of a network's outputs, relative to each output's size."""
    return _difference


@pytest.fixture(scope="session")
def op_types() -> Callable[[Network], list[str]]:
    """Names of the ops in order, digital ones by their operator; constants left out."""
    return _op_types


@pytest.fixture(scope="session")
def check() -> Callable[..., list[str]]:
    """Import a model of nodes, run passes on it, and compare it with ONNX Runtime.

    Returns the types of its ops.
    """

    def check(
        nodes: Sequence[NodeProto] | NodeProto,
        inputs: Arrays,
        weights: Arrays | None = None,
        passes: str = "",
        tolerance: float = 1e-5,
        **options: Any,
    ) -> list[str]:
        from imccompiler.frontend import load_onnx  # noqa: PLC0415

        nodes = list(nodes) if isinstance(nodes, (list, tuple)) else [nodes]
        model = _make_model(nodes, inputs, weights, **options)
        network = load_onnx(model)
        _run_passes(network, passes)
        assert _difference(network, inputs, _run_reference(model, inputs)) < tolerance
        return _op_types(network)

    return check


@pytest.fixture(scope="session")
def run_passes() -> Callable[[Network, str], None]:
    """Run a pipeline on a network, in place, and verify it."""
    return _run_passes


def _run_passes(network: Network, pipeline: str) -> None:
    from imccompiler.hardware.load import load  # noqa: PLC0415
    from imccompiler.ir.verify import verify  # noqa: PLC0415
    from imccompiler.passes.base import CompileContext, XdslContext  # noqa: PLC0415
    from imccompiler.passes.registry import parse  # noqa: PLC0415

    context = XdslContext(CompileContext(load("isaac"), network.store))
    for each in parse(pipeline) if pipeline else ():
        each.apply(context, network.module)
        verify(network.module)
