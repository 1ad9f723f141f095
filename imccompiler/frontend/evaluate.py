"""Constants that follow from constants: computed when something has to know them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Array
from imccompiler.frontend.fold import RANDOM
from imccompiler.frontend.graph import Graph, Node
from imccompiler.frontend.inference import IR_VERSION

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

LIMIT_BYTES = 2**29  # folding must not be a memory bomb
LIMIT_FILLED_BYTES = 2**31  # of a tensor of one value: old test models have such weights


class Evaluator:
    """Values of tensors that do not depend on the network's inputs."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._producers: dict[str, Node] = {}
        for node in graph.nodes:
            if (
                not node.domain
                and node.op_type not in RANDOM
                and all(not name or self.is_constant(name) for name in node.inputs)
            ):
                self._producers |= {name: node for name in node.outputs if name}

    def is_constant(self, name: str) -> bool:
        """Whether `array` knows the tensor."""
        return name in self._graph.constants or name in self._producers

    def array(self, name: str) -> Array:
        """The values of a constant tensor.

        Raises:
            ModelError: Computing them takes too much memory or fails.
        """
        constants = self._graph.constants
        if name not in constants:
            node = self._producers[name]
            filled = node.op_type == "ConstantOfShape"
            constants.add(name, self._filled(node) if filled else self._computed(name))
        return constants.array(name)

    def _filled(self, node: Node) -> Array:
        """A tensor of one value, as a view of that value."""
        from onnx import numpy_helper  # noqa: PLC0415

        info = self._graph.type_of(node.outputs[0], node.where)
        if math.prod(info.shape) * info.dtype.itemsize > LIMIT_FILLED_BYTES:
            raise ModelError(
                f"constant {node.outputs[0]!r} is too large: its shape is {info.shape}",
                where=node.where,
                hint="keep such a tensor out of the network",
            )
        value = node.attributes.get("value")
        fill = np.zeros(1, info.dtype) if value is None else numpy_helper.to_array(value)
        if fill.size != 1 or fill.dtype != info.dtype:
            raise ModelError(
                f"its value has shape {fill.shape} and type {fill.dtype}, not one {info.dtype}",
                where=node.where,
            )
        return np.broadcast_to(fill.reshape(()), info.shape)

    def _computed(self, name: str) -> Array:
        """Run the nodes that a tensor needs with ONNX Runtime."""
        import onnxruntime  # noqa: PLC0415

        nodes = self._needed(name)
        for node in nodes:
            for output in filter(None, node.outputs):
                info = self._graph.type_of(output, node.where)
                if math.prod(info.shape) * info.dtype.itemsize > LIMIT_BYTES:
                    raise ModelError(f"constant {output!r} is too large", where=node.where)
        made = {output for node in nodes for output in node.outputs}
        read = dict.fromkeys(i for node in nodes for i in node.inputs if i and i not in made)
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        model = self._model(nodes, list(read), name)
        try:
            session = onnxruntime.InferenceSession(
                model.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
            feeds = {each: self._graph.constants.array(each) for each in read}
            return np.asarray(session.run([name], feeds)[0])
        except ModelError:
            raise
        except Exception as error:  # onnxruntime's errors have no common base but this
            where = self._producers[name].where
            raise ModelError(f"cannot be computed: {error}", where=where) from error

    def _needed(self, name: str) -> list[Node]:
        """Nodes that compute a tensor from constants of the model, in topological order."""
        needed: set[str] = set()
        pending = [name]
        while pending:
            node = self._producers.get(pending.pop())
            if node is not None and node.name not in needed:
                needed.add(node.name)
                pending += node.inputs
        return [node for node in self._graph.nodes if node.name in needed]

    def _model(self, nodes: Sequence[Node], inputs: Sequence[str], output: str) -> ModelProto:
        from onnx import helper  # noqa: PLC0415

        def value(name: str) -> ValueInfoProto:
            info = self._graph.type_of(name, self._producers[output].where)
            kind = helper.np_dtype_to_tensor_dtype(info.dtype)
            return helper.make_tensor_value_info(name, kind, info.shape)

        graph = helper.make_graph(
            [helper.make_node(n.op_type, n.inputs, n.outputs, **n.attributes) for n in nodes],
            "constants",
            [value(name) for name in inputs],
            [value(output)],
        )
        opset = helper.make_opsetid("", self._graph.opset)
        return helper.make_model(graph, opset_imports=[opset], ir_version=IR_VERSION)
