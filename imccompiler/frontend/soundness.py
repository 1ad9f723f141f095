"""Soundness of a model: operators that exist, nodes in order, ONNX's own rules."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.errors import ModelError
from imccompiler.frontend.order import describe, sort_nodes

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto


def check_sound(model: ModelProto, opset: int) -> None:
    """Check a light model (`skeleton.py`), and put its nodes in topological order.

    Raises:
        ModelError: An operator is unknown, a tensor has no producer or two, the graph has a
            cycle, or a rule of ONNX is broken.
    """
    own = {(function.domain, function.name) for function in model.functions}
    for node in model.graph.node:
        if (node.domain, node.op_type) not in own:
            check_known(node, opset)
    sort_nodes(model.graph)
    _check_rules(model)


def check_known(proto: NodeProto, opset: int) -> None:
    """Check that a node is of an operator of ONNX's default domain.

    Raises:
        ModelError: It is not.
    """
    from onnx import defs  # noqa: PLC0415

    if proto.domain not in {"", "ai.onnx"}:
        raise ModelError(
            f"operators of the domain {proto.domain!r} are not supported",
            where=describe(proto),
            hint="export the network with the operators of ONNX itself",
        )
    if not defs.has(proto.op_type, opset, ""):
        raise ModelError(
            f"version {opset} of ONNX (domain 'ai.onnx') has no operator {proto.op_type!r}",
            where=describe(proto),
        )


def _check_rules(model: ModelProto) -> None:
    """Check numbers of inputs and kinds of attributes of each node, with ONNX's own checker."""
    from onnx import checker  # noqa: PLC0415

    context = checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {o.domain: o.version for o in model.opset_import}
    for node in model.graph.node:
        if any(attribute.HasField("g") for attribute in node.attribute):
            continue  # a body refers to tensors around it, of which a lone node knows nothing
        try:
            checker.check_node(node, context)
        except (checker.ValidationError, ValueError, RuntimeError) as error:
            raise ModelError(f"is not sound: {error}", where=describe(node)) from error
