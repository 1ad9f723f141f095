"""Builds the module: values by tensor name, weights in the store, sources that are unique."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Array
from imccompiler.frontend.evaluate import Evaluator
from imccompiler.frontend.graph import Graph, Node, TensorInfo
from imccompiler.ir.attributes import to_attributes
from imccompiler.ir.decisions import Source, Window
from imccompiler.ir.dialect import (
    DigitalOp,
    DynamicMatmulOp,
    InputOp,
    MatmulOp,
    OutputOp,
    WeightOp,
)
from imccompiler.ir.shapes import matmul_output_shape
from imccompiler.ir.store import WeightStore
from imccompiler.ir.types import dtype_of, shape_of, tensor_type


class ModuleBuilder:
    """A module under construction for one graph; what node importers work on."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.store = WeightStore()
        self._evaluator = Evaluator(graph)
        self._ops: list[Operation] = []
        self._values: dict[str, SSAValue] = {}
        self._sources: set[str] = {node.name for node in graph.nodes}
        for name in graph.inputs:
            info = graph.type_of(name, f"input {name!r}")
            self.define(name, self._append(InputOp(name, tensor_type(info.shape, info.dtype))))

    def finish(self) -> ModuleOp:
        """The module, with the outputs and without what nothing needs."""
        for name in self.graph.outputs:
            self._ops.append(OutputOp(name, self.value(name)))
        module = ModuleOp(self._ops)
        for op in reversed(self._ops):
            if op.results and not isinstance(op, InputOp) and not op.results[0].uses:
                op.detach()
                op.erase()
        return module

    def is_constant(self, name: str) -> bool:
        """Whether a tensor is known before the network runs."""
        return self._evaluator.is_constant(name)

    def constant(self, name: str, node: Node) -> Array:
        """The values of a tensor that has to be constant.

        Raises:
            ModelError: It is not.
        """
        if not self.is_constant(name):
            raise ModelError(
                f"input {name!r} depends on data, and has to be known before the network runs",
                where=node.where,
            )
        return self._evaluator.array(name)

    def info(self, name: str, node: Node) -> TensorInfo:
        """Shape and element type of a tensor."""
        return self.graph.type_of(name, node.where)

    def value(self, name: str) -> SSAValue:
        """The value of a tensor: an activation, or a weight of the tensor's name."""
        if name not in self._values:
            if not self.is_constant(name):  # of an unknown shape, so that nothing was made of it
                self.graph.type_of(name, f"tensor {name!r}")
            self.define(name, self._weight(name, self._evaluator.array(name)))
        return self._values[name]

    def define(self, name: str, value: SSAValue) -> None:
        """Say which value a tensor has."""
        self._values[name] = value

    def known(self, value: SSAValue) -> Array | None:
        """The values of a constant; None of an activation."""
        return self.store[value.owner.key.data] if isinstance(value.owner, WeightOp) else None

    def weight(self, name: str, array: Array) -> SSAValue:
        """A constant computed by the importer; its key begins with `name`."""
        key, count = name, 1
        while key in self.store or self.is_constant(key):
            count += 1
            key = f"{name}.{count}"
        return self._weight(key, array)

    def named_weight(self, name: str, array: Array) -> SSAValue:
        """The tensor of this name if it is this constant, else a constant like `weight`."""
        if self.is_constant(name) and self._evaluator.array(name) is array:
            return self.value(name)
        return self.weight(name, array)

    def matmul(
        self,
        node: Node,
        x: SSAValue,
        weight: SSAValue,
        bias: SSAValue | None = None,
        *,
        window: Window,
        part: str = "",
    ) -> SSAValue:
        """Append the product of `x` with static weights; `part` as of `digital`."""
        shape = matmul_output_shape(shape_of(x), shape_of(weight), window)
        source = self._source(node, part)
        kind = tensor_type(shape, dtype_of(x))
        return self._append(MatmulOp(x, weight, bias, kind, window=window, source=source))

    def dynamic_matmul(
        self, node: Node, lhs: SSAValue, rhs: SSAValue, *, part: str = ""
    ) -> SSAValue:
        """Append the product of two activations; `part` as of `digital`."""
        a, b = shape_of(lhs), shape_of(rhs)
        shape = (*np.broadcast_shapes(a[:-2], b[:-2]), a[-2], b[-1])
        source = self._source(node, part)
        return self._append(DynamicMatmulOp(lhs, rhs, tensor_type(shape, dtype_of(lhs)), source))

    def digital(
        self,
        node: Node,
        op_type: str,
        operands: Sequence[SSAValue],
        shape: Sequence[int],
        attributes: Mapping[str, Any] | None = None,
        *,
        dtype: np.dtype[Any] | None = None,
        part: str = "",
    ) -> SSAValue:
        """Append a digital operator; `part` names it among the several ops of one node."""
        kind = tensor_type(shape, dtype_of(operands[0]) if dtype is None else dtype)
        source = self._source(node, part)
        encoded = to_attributes(attributes or {})
        return self._append(DigitalOp(op_type, operands, kind, encoded, source))

    def reshape(self, node: Node, x: SSAValue, shape: Sequence[int], part: str) -> SSAValue:
        """Append a Reshape, unless `x` has that shape."""
        if shape_of(x) == tuple(shape):
            return x
        return self.digital(node, "Reshape", [x], shape, {"shape": list(shape)}, part=part)

    def transpose(self, node: Node, x: SSAValue, part: str) -> SSAValue:
        """Append a Transpose of the last two axes."""
        shape = shape_of(x)
        perm = [*range(len(shape) - 2), len(shape) - 1, len(shape) - 2]
        return self.digital(
            node, "Transpose", [x], [shape[i] for i in perm], {"perm": perm}, part=part
        )

    def _weight(self, key: str, array: Array) -> SSAValue:
        self.store.add(key, array)
        return self._append(WeightOp(key, tensor_type(array.shape, array.dtype)))

    def _append(self, op: InputOp | WeightOp | MatmulOp | DynamicMatmulOp | DigitalOp) -> SSAValue:
        self._ops.append(op)
        return op.result

    def _source(self, node: Node, part: str) -> Source:
        name = self._unique(f"{node.name}/{part}") if part else node.name
        return Source(node=name, op_type=node.op_type)

    def _unique(self, name: str) -> str:
        candidate, count = name, 1
        while candidate in self._sources:
            count += 1
            candidate = f"{name}.{count}"
        self._sources.add(candidate)
        return candidate
