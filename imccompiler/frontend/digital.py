"""Import of everything that is not a product: digital operators in their one form."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from imccompiler.errors import ModelError
from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.canonical import ATTRIBUTE_INPUTS, canonical_attributes
from imccompiler.frontend.evaluate import RANDOM
from imccompiler.frontend.graph import Node
from imccompiler.frontend.host import import_on_host, needs_host
from imccompiler.ir.types import shape_of

VARIADIC = frozenset({"Concat", "Max", "Mean", "Min", "Sum"})
_RENAMED = {"CastLike": "Cast", "Upsample": "Resize"}
SOFTMAXES = frozenset({"Hardmax", "LogSoftmax", "Softmax"})


def import_digital(b: ModuleBuilder, node: Node) -> None:
    """One ONNX node as digital ops; one that does nothing at inference vanishes."""
    if node.op_type in RANDOM:
        raise ModelError(
            "its results are random, so the network cannot be checked", where=node.where
        )
    if node.op_type == "Split":
        _split(b, node)
        return
    if node.attributes.get("training_mode") or _drops_out(b, node):
        raise ModelError("is in training mode", where=node.where, hint="export for inference")
    if needs_host(b, node):
        import_on_host(b, node)
        return
    if further := tuple(i for i, name in enumerate(node.outputs) if i and name):
        import_on_host(b, node, further)
    attributes = _attributes(b, node)
    if _vanishes(b, node, attributes):
        b.define(node.outputs[0], b.value(node.inputs[0]))
    elif node.op_type == "Sum":
        _sum(b, node)
    elif node.op_type in SOFTMAXES and b.graph.opset < 13:
        _flat_softmax(b, node, attributes["axis"])
    else:
        _import_first(b, node, attributes)


def _drops_out(b: ModuleBuilder, node: Node) -> bool:
    """Whether a Dropout is, or may be, in training mode, by its third input."""
    mode = node.input(2) if node.op_type == "Dropout" else ""
    return bool(mode) and (not b.is_constant(mode) or bool(np.any(b.constant(mode, node))))


def _attributes(b: ModuleBuilder, node: Node) -> dict[str, Any]:
    shapes = [b.info(name, node).shape if name else () for name in node.inputs]
    result = b.info(next(filter(None, node.outputs)), node).shape
    return canonical_attributes(
        node, b.graph.opset, shapes, result, lambda name: b.constant(name, node)
    )


def _vanishes(b: ModuleBuilder, node: Node, attributes: dict[str, Any]) -> bool:
    if node.op_type in {"Dropout", "Identity"} or (
        node.op_type in VARIADIC and len(node.inputs) == 1
    ):
        return True
    if node.op_type in {"Cast", "CastLike"}:
        return b.info(node.inputs[0], node) == b.info(node.outputs[0], node)
    return node.op_type == "Slice" and not attributes["axes"]


def _import_first(b: ModuleBuilder, node: Node, attributes: dict[str, Any]) -> None:
    """The op of the first output; the vector unit computes no other."""
    moved = ATTRIBUTE_INPUTS.get(node.op_type, {})
    names = [name for i, name in enumerate(node.inputs) if i not in moved]
    while names and not names[-1]:
        names.pop()
    absent = [i for i, name in enumerate(names) if not name]
    if absent:
        attributes = {**attributes, "absent": absent}
    op_type = _RENAMED.get(node.op_type, node.op_type)
    if op_type != node.op_type and op_type == "Cast":
        names, attributes = names[:1], {"to": _element_number(b, node)}
    operands = [b.value(name) for name in names if name]
    if output := node.outputs[0]:
        info = b.info(output, node)
        y = b.digital(node, op_type, operands, info.shape, attributes, dtype=info.dtype)
        b.define(output, y)


def _element_number(b: ModuleBuilder, node: Node) -> int:
    """ONNX's number of the element type of a node's result."""
    from onnx import helper  # noqa: PLC0415

    return int(helper.np_dtype_to_tensor_dtype(b.info(node.outputs[0], node).dtype))


def _split(b: ModuleBuilder, node: Node) -> None:
    """Split is a Slice for each output."""
    x = b.value(node.inputs[0])
    axis = int(node.attributes.get("axis", 0)) % len(shape_of(x))
    start = 0
    for index, output in enumerate(node.outputs):
        shape = b.info(output, node).shape
        end = start + shape[axis]
        lists = {"axes": [axis], "starts": [start], "ends": [end], "steps": [1]}
        b.define(output, b.digital(node, "Slice", [x], shape, lists, part=str(index)))
        start = end
    if start != shape_of(x)[axis]:
        raise ModelError("the parts do not add up to the whole", where=node.where)


def _sum(b: ModuleBuilder, node: Node) -> None:
    """Sum is a chain of Adds."""
    total: SSAValue = b.value(node.inputs[0])
    for index, name in enumerate(node.inputs[1:], start=1):
        part = "" if index == len(node.inputs) - 1 else str(index)
        addend = b.value(name)
        shape = np.broadcast_shapes(shape_of(total), shape_of(addend))
        total = b.digital(node, "Add", [total, addend], shape, part=part)
    b.define(node.outputs[0], total)


def _flat_softmax(b: ModuleBuilder, node: Node, axis: int) -> None:
    """Before version 13, Softmax ran over all axes from `axis` on as if they were one."""
    x = b.value(node.inputs[0])
    shape = shape_of(x)
    if axis < len(shape) - 1:
        x = b.reshape(node, x, (*shape[:axis], math.prod(shape[axis:])), "flat")
    y = b.digital(node, node.op_type, [x], shape_of(x), {"axis": len(shape_of(x)) - 1})
    b.define(node.outputs[0], b.reshape(node, y, shape, "back"))
