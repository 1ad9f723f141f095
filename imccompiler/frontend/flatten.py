"""One forward walk that makes a graph flat and static.

Types are inferred node by node, so that every shape is known where it is read; what follows from
small constants is computed; functions are inlined, branches decided, loops unrolled. The walk
reads the model's nodes where they are and copies only what it renames, so that a model of any
size is walked in little memory.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Array, Constants
from imccompiler.frontend.domains import DEFAULT
from imccompiler.frontend.fold import Folder, is_small, may_fold
from imccompiler.frontend.inference import Inference
from imccompiler.frontend.order import describe
from imccompiler.frontend.rules import is_static, shape_of_type
from imccompiler.frontend.scope import Names, Scope
from imccompiler.frontend.skeleton import check_dims, check_elements, constant_tensor
from imccompiler.frontend.soundness import check_node

if TYPE_CHECKING:
    from onnx import (
        AttributeProto,
        FunctionProto,
        GraphProto,
        ModelProto,
        NodeProto,
        TypeProto,
    )

LIMIT_STEPS = 100_000
"""Nodes of bodies and functions, each time one is run: a loop must not be a bomb."""

LIMIT_DERIVED = 2**27
"""Elements of a tensor made of smaller constants; the largest layer of VGG-16 has some 10^8."""


@dataclass(frozen=True, slots=True)
class Body:
    """A body or a function without its constants, and the names of these in the flat graph."""

    nodes: list[NodeProto]
    constants: Mapping[str, str]


class Flattener:
    """A graph under construction: its nodes, and what is known of each tensor.

    Args:
        model: Whose functions and versions of operators count.
        opset: Version of the default domain.
        constants: Of the graph; those of bodies are added.
        types: Of the network's inputs.
        declared: Static types that the model gives, for tensors whose types cannot be inferred.
    """

    def __init__(
        self,
        model: ModelProto,
        opset: int,
        constants: Constants,
        types: Mapping[str, TypeProto],
        declared: Mapping[str, TypeProto],
    ) -> None:
        self.functions: dict[tuple[str, str], FunctionProto] = {
            (f.domain, f.name): f for f in model.functions
        }
        self.opset = opset
        self.constants = constants
        self.declared = declared
        self.types = dict(types)
        self.sequences: dict[str, tuple[str, ...]] = {}
        self.nodes: list[NodeProto] = []
        self.derived: set[str] = set()
        self.names = Names()
        self._values: dict[str, Array] = {}
        self._folder = Folder(opset)
        self._inference = Inference(opset, model.opset_import)
        self._imports = {o.domain: o.version for o in model.opset_import}
        self._ir_version = model.ir_version
        self._steps = 0

    def run(self, nodes: Sequence[NodeProto], scope: Scope) -> None:
        """Take the nodes of a graph, a body or a function, in topological order."""
        for node in nodes:
            if scope.depth:
                self._count(node)
            self._step(node, scope)

    def prepare(self, nodes: Iterable[NodeProto], path: str, body: GraphProto | None) -> Body:
        """Declare the constants of a body or a function, once however often it will run."""
        if body is not None and body.sparse_initializer:
            raise ModelError("sparse tensors are not supported", where=f"body {body.name!r}")
        found = [(t.name, t) for t in body.initializer] if body is not None else []
        left: list[NodeProto] = []
        for node in nodes:
            if node.op_type != "Constant" or any(a.ref_attr_name for a in node.attribute):
                left.append(node)
            else:
                found.append((node.output[0] if node.output else "", constant_tensor(node)))
        constants: dict[str, str] = {}
        for name, tensor in found:
            if name in constants:
                raise ModelError("is given twice", where=f"tensor {name!r} of {path}")
            check_dims(name, tensor)
            constants[name] = self.names.fresh(f"{path}/{name}")
            self.constants.declare(constants[name], tensor)
        return Body(left, constants)

    def run_body(self, body: Body, scope: Scope) -> None:
        """Run a prepared body in a scope of its own."""
        for name, flat in body.constants.items():
            scope.bind(name, flat)
        self.run(body.nodes, scope)

    def value(self, name: str) -> Array | None:
        """The values of a tensor if it is a small constant."""
        if name not in self._values and name in self.constants:
            kind = self.type_of(name)
            if kind is not None and is_small(kind) and self.constants.has_values(name):
                self._values[name] = self.constants.array(name)
        return self._values.get(name)

    def type_of(self, name: str) -> TypeProto | None:
        """The type of a tensor as far as it is known."""
        if name not in self.types and name in self.constants:
            from onnx import helper  # noqa: PLC0415

            shape, kind = self.constants.info(name)
            self.types[name] = helper.make_tensor_type_proto(kind, shape)
        return self.types.get(name)

    def shape_of(self, name: str, where: str) -> tuple[int, ...]:
        """The shape of a tensor.

        Raises:
            ModelError: It is not known before the network runs.
        """
        kind = self.type_of(name)
        if kind is None or not is_static(kind):
            raise ModelError(
                f"the shape of {name!r} is not known before the network runs",
                where=where,
                hint="bind every dynamic dimension, or export the network with fixed shapes",
            )
        return shape_of_type(kind)

    def constant(self, name: str, array: Array) -> str:
        """A new constant; returns its name."""
        name = self.names.fresh(name)
        self.constants.add(name, array)
        self._values[name] = array
        return name

    def emit(
        self, op_type: str, inputs: Sequence[str], name: str, outputs: int = 1, **attributes: Any
    ) -> list[str]:
        """A node of our own; returns its results' names, which begin with `name`."""
        from onnx import helper  # noqa: PLC0415

        made = [self.names.fresh(name) for _ in range(outputs)]
        self._settle(helper.make_node(op_type, inputs, made, name, **attributes))
        return made

    def alias(self, name: str, flat: str) -> None:
        """Give a tensor a second name, which a graph's output asks for."""
        from onnx import helper  # noqa: PLC0415

        self._settle(helper.make_node("Identity", [flat], [name], name))

    def _step(self, node: NodeProto, scope: Scope) -> None:
        from imccompiler.frontend.expand import EXPANSIONS, call  # noqa: PLC0415

        where = describe(node)
        if (node.domain, node.op_type) in self.functions:
            call(self, node, scope)
            return
        default = node.domain in DEFAULT
        if default and node.op_type == "Constant":  # whose value is an attribute of the call
            plain = self._resolved(node, scope)
            self.constants.declare(plain.output[0], constant_tensor(plain))
            return
        check_node(node, self.opset, self._imports, self._ir_version)
        expansion = EXPANSIONS.get(node.op_type) if default else None
        if expansion is not None:
            expansion(self, node, scope)
        elif default and node.op_type == "Identity":
            scope.bind(node.output[0], scope.flat(node.input[0], where))
        elif any(a.HasField("g") or a.graphs for a in node.attribute):
            raise ModelError(
                "operators with bodies are supported as If, Loop and Scan only",
                where=where,
                hint="export the network without it",
            )
        else:
            self._settle(self._resolved(node, scope))

    def _resolved(self, node: NodeProto, scope: Scope) -> NodeProto:
        """The node with names of the flat graph and without references to a call's attributes."""
        where = describe(node)
        inputs = [scope.flat(name, where) for name in node.input]
        outputs = [self._output(name, scope, where) for name in node.output]
        refers = any(a.ref_attr_name for a in node.attribute)
        same = inputs == list(node.input) and outputs == list(node.output)
        if same and not refers and not scope.depth:
            return node
        from onnx import NodeProto  # noqa: PLC0415

        name = f"{scope.path}/{node.name or node.op_type}" if scope.depth else node.name
        copy = NodeProto(op_type=node.op_type, domain=node.domain, name=name)
        copy.input.extend(inputs)
        copy.output.extend(outputs)
        copy.attribute.extend(
            found for a in node.attribute if (found := attribute(a, scope)) is not None
        )
        return copy

    def _output(self, name: str, scope: Scope, where: str) -> str:
        if not name:
            return name
        if scope.owns(name):
            raise ModelError(f"output {name!r} has two producers", where=where)
        flat = self.names.fresh(f"{scope.path}/{name}") if scope.depth else name
        scope.bind(name, flat)
        return flat

    def _settle(self, node: NodeProto) -> None:
        """Append a node, or compute its results if they follow from small constants."""
        where = describe(node)
        names = dict.fromkeys(filter(None, node.input))
        if taken := next((name for name in names if name in self.sequences), None):
            raise ModelError(f"takes the sequence {taken!r} in a way not supported", where=where)
        types = {name: kind for name in names if (kind := self.type_of(name)) is not None}
        values = {name: array for name in names if (array := self.value(name)) is not None}
        if node.domain in DEFAULT and node.op_type in {"Shape", "Size"}:
            kind = types.get(node.input[0])
            if kind is not None and is_static(kind):
                self._know(node.output[0], _size(node, shape_of_type(kind)))
                return
        results = self._inference.outputs(node, types, values)
        for name in filter(None, node.output):
            if not is_static(results.get(name)) and name in self.declared:
                results[name] = self.declared[name]
            if is_static(kind := results.get(name)):
                check_elements(shape_of_type(kind), where)
        self._derive(node, names, results)
        self.types.update(results)
        if len(values) == len(names) and may_fold(node, results):
            found = self._folder.compute(node, values)
            if found is not None:
                for name, array in zip(filter(None, node.output), found, strict=True):
                    self._know(name, array)
                return
        self.nodes.append(node)

    def _derive(
        self, node: NodeProto, names: Iterable[str], results: Mapping[str, TypeProto]
    ) -> None:
        """Note what follows from constants alone, however large, and that it is no bomb."""
        if not all(name in self.constants or name in self.derived for name in names):
            return
        kinds = [kind for name in names if is_static(kind := self.type_of(name))]
        held = sum(math.prod(shape_of_type(kind)) for kind in kinds)
        for name in filter(None, node.output):
            self.derived.add(name)
            kind = results.get(name)
            shape = shape_of_type(kind) if is_static(kind) else ()
            if math.prod(shape) > max(LIMIT_DERIVED, held):
                raise ModelError(
                    f"constant {name!r} is too large: its shape is {shape}",
                    where=describe(node),
                    hint="keep such a tensor out of the network",
                )

    def _know(self, name: str, array: Array) -> None:
        from onnx import helper  # noqa: PLC0415

        self.constants.add(name, array)
        self._values[name] = array
        kind = helper.np_dtype_to_tensor_dtype(array.dtype)
        self.types[name] = helper.make_tensor_type_proto(kind, array.shape)

    def _count(self, node: NodeProto) -> None:
        self._steps += 1
        if self._steps > LIMIT_STEPS:
            raise ModelError(
                f"loops and functions unroll to more than {LIMIT_STEPS:,} nodes",
                where=describe(node),
                hint="bind shorter dimensions, or export the network without the loop",
            )


def _size(node: NodeProto, shape: tuple[int, ...]) -> Array:
    """What `Shape` or `Size` says of a tensor of that shape."""
    if node.op_type == "Size":
        return np.array(math.prod(shape), np.int64)
    given = {a.name: a.i for a in node.attribute}
    return np.array(shape[given.get("start") or 0 : given.get("end")], np.int64)


def attribute(proto: AttributeProto, scope: Scope) -> AttributeProto | None:
    """An attribute, where it refers to one of the function's call that one; None if absent."""
    if not proto.ref_attr_name:
        return proto
    found = scope.attributes.get(proto.ref_attr_name)
    if found is None:
        return None
    from onnx import AttributeProto  # noqa: PLC0415

    copy = AttributeProto()
    copy.CopyFrom(found)
    copy.name = proto.name
    return copy
