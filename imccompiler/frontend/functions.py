"""Functions of a model whose nodes are of another version of ONNX than the model's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.errors import ModelError
from imccompiler.frontend.domains import DEFAULT
from imccompiler.frontend.flatten import Flattener, attribute
from imccompiler.frontend.inference import IR_VERSION
from imccompiler.frontend.read import OLDEST_OPSET, default_version
from imccompiler.frontend.scope import Scope

if TYPE_CHECKING:
    from onnx import FunctionProto, NodeProto


def compatible_nodes(
    f: Flattener, function: FunctionProto, inner: Scope, where: str
) -> list[NodeProto]:
    """The function's nodes, converted to the model's version where operators changed since.

    Args:
        f: The flat graph, which has the types of what is passed.
        function: That is called.
        inner: Its scope, inputs bound.
        where: The call.

    Raises:
        ModelError: They cannot be converted.
    """
    version = default_version(function.opset_import) or f.opset
    nodes = list(function.node)
    if version == f.opset or not any(_changed(node, version, f.opset) for node in nodes):
        return nodes
    return _converted(f, function, inner, version, where)


def _changed(node: NodeProto, old: int, new: int) -> bool:
    from onnx import defs  # noqa: PLC0415

    if node.domain not in DEFAULT or not defs.has(node.op_type, old, ""):
        return False
    if not defs.has(node.op_type, new, ""):
        return True
    found = [defs.get_schema(node.op_type, version, "").since_version for version in (old, new)]
    return found[0] != found[1]


def _converted(
    f: Flattener, function: FunctionProto, inner: Scope, version: int, where: str
) -> list[NodeProto]:
    from onnx import NodeProto, ValueInfoProto, helper, version_converter  # noqa: PLC0415

    nodes: list[NodeProto] = []
    for node in function.node:
        copy = NodeProto()
        copy.CopyFrom(node)
        del copy.attribute[:]
        copy.attribute.extend(
            found for a in node.attribute if (found := attribute(a, inner)) is not None
        )
        nodes.append(copy)
    flat = {name: inner.flat(name, where) for name in function.input}
    inputs = [
        ValueInfoProto(name=name, type=f.type_of(passed)) for name, passed in flat.items() if passed
    ]
    graph = helper.make_graph(
        nodes, "function", inputs, [ValueInfoProto(name=name) for name in function.output]
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", version)], ir_version=IR_VERSION
    )
    try:
        if version < OLDEST_OPSET:
            raise ValueError(f"versions before {OLDEST_OPSET} are not supported")  # noqa: TRY301
        return list(version_converter.convert_version(model, f.opset).graph.node)
    except Exception as error:  # the converter raises of several kinds
        raise ModelError(
            f"its function {function.name!r} is of version {version} of ONNX's operators, the "
            f"model of {f.opset}, and it cannot be converted: {error}",
            where=where,
            hint="export both for the same version",
        ) from error
