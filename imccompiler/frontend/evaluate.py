"""Constants that follow from constants: computed when something has to know them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Array
from imccompiler.frontend.graph import Graph, Node

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

RANDOM = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"}
    | {"RandomUniformLike"}
)
LIMIT_BYTES = 2**29  # folding must not be a memory bomb


class Evaluator:
    """Values of tensors that do not depend on the network's inputs."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._producers: dict[str, Node] = {}
        for node in graph.nodes:
            if node.op_type not in RANDOM and all(
                not name or self.is_constant(name) for name in node.inputs
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
        pending = [name]
        while pending:
            current = pending[-1]
            if current in self._graph.constants:
                pending.pop()
                continue
            node = self._producers[current]
            missing = [n for n in node.inputs if n and n not in self._graph.constants]
            if missing:
                pending += missing
            else:
                self._compute(node)
        return self._graph.constants.array(name)

    def _compute(self, node: Node) -> None:
        constants = self._graph.constants
        for output in filter(None, node.outputs):
            info = self._graph.type_of(output, node.where)
            if math.prod(info.shape) * info.dtype.itemsize > LIMIT_BYTES:
                raise ModelError(f"constant {output!r} is too large", where=node.where)
        feeds = {name: constants.array(name) for name in node.inputs if name}
        if node.op_type == "ConstantOfShape":
            constants.add(node.outputs[0], self._filled(node))
            return
        from onnx.reference import ReferenceEvaluator  # noqa: PLC0415

        try:
            values = ReferenceEvaluator(self._model(node)).run(None, feeds)
        except Exception as error:  # the reference evaluator raises of every kind
            raise ModelError(f"cannot be computed: {error}", where=node.where) from error
        for output, value in zip(filter(None, node.outputs), values, strict=True):
            info = self._graph.type_of(output, node.where)
            constants.add(output, np.asarray(value, info.dtype).reshape(info.shape))

    def _filled(self, node: Node) -> Array:
        from onnx import numpy_helper  # noqa: PLC0415

        info = self._graph.type_of(node.outputs[0], node.where)
        value = node.attributes.get("value")
        fill = np.zeros(1, info.dtype) if value is None else numpy_helper.to_array(value)
        return np.broadcast_to(fill.reshape(()), info.shape)

    def _model(self, node: Node) -> ModelProto:
        """A model of this one node."""
        from onnx import helper  # noqa: PLC0415

        def value(name: str) -> ValueInfoProto:
            info = self._graph.type_of(name, node.where)
            kind = helper.np_dtype_to_tensor_dtype(info.dtype)
            return helper.make_tensor_value_info(name, kind, info.shape)

        graph = helper.make_graph(
            [helper.make_node(node.op_type, node.inputs, node.outputs, **node.attributes)],
            "constant",
            [value(name) for name in dict.fromkeys(filter(None, node.inputs))],
            [value(name) for name in node.outputs if name],
        )
        opset = helper.make_opsetid("", self._graph.opset)
        return helper.make_model(graph, opset_imports=[opset])
