"""Making a graph static: shape computations folded, control flow decided, shapes inferred.

The models that get here have no large tensors (`skeleton.py`), so every step is cheap. A graph
that computes no shapes skips the folding, and with it the import of onnxscript.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from imccompiler.errors import ModelError
from imccompiler.frontend.order import describe, sort_nodes

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

CONTROL_FLOW = frozenset({"If", "Loop", "Scan"})
SHAPE_READERS = frozenset({"Shape", "Size"})
ROUNDS = 8  # a round decides the conditions that the one before made constant
LIMIT_ELEMENTS = 2**20  # no folded tensor may be larger: folding must not be a memory bomb


def normalise(model: ModelProto) -> ModelProto:
    """The same network with static shapes and without control flow, its nodes in order.

    Raises:
        ModelError: Control flow depends on data, or shapes contradict each other.
    """
    if model.functions or _remaining(model):
        model = _fold(model)
    if _remaining(model):
        model = _fold_by_runtime(model)
    for node in model.graph.node:
        if node.op_type in CONTROL_FLOW:
            raise ModelError(
                "which nodes run depends on the data",
                where=describe(node),
                hint="bind the inputs that decide it, or export the network without control flow",
            )
    return _infer_shapes(model)


def _remaining(model: ModelProto) -> list[NodeProto]:
    return [n for n in model.graph.node if n.op_type in CONTROL_FLOW | SHAPE_READERS]


def _fold(model: ModelProto) -> ModelProto:
    """Inline functions and fold constants with onnxscript."""
    from onnx_ir import serde  # noqa: PLC0415
    from onnx_ir.passes.common import InlinePass  # noqa: PLC0415
    from onnxscript import optimizer  # noqa: PLC0415

    try:
        network = serde.deserialize_model(model)
        if network.functions:
            InlinePass()(network)
        for _ in range(ROUNDS):
            result = optimizer.fold_constants(
                network,
                onnx_shape_inference=True,
                input_size_limit=LIMIT_ELEMENTS,
                output_size_limit=LIMIT_ELEMENTS,
            )
            if not result.modified:
                break
        optimizer.remove_unused_nodes(network)
        folded = serde.serialize_model(network)
    except Exception as error:  # onnxscript raises of every kind on a malformed graph
        raise ModelError(f"the graph cannot be simplified: {error}") from error
    sort_nodes(folded.graph)
    return folded


def _fold_by_runtime(model: ModelProto) -> ModelProto:
    """What ONNX Runtime's basic optimisations leave: it follows more shapes than onnxscript."""
    import onnx  # noqa: PLC0415
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "folded.onnx"
        options.optimized_model_filepath = str(path)
        try:
            onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # onnxruntime's errors have no common base but this
            raise ModelError(f"the graph cannot be simplified: {error}") from error
        folded = onnx.load(path)
    sort_nodes(folded.graph)
    return folded


def _infer_shapes(model: ModelProto) -> ModelProto:
    from onnx import shape_inference  # noqa: PLC0415

    try:
        return shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except (shape_inference.InferenceError, RuntimeError, ValueError) as error:
        raise ModelError(f"the shapes do not fit each other: {error}") from error
