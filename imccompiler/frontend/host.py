"""Import of operators that run on the host: nodes as they are, in ONNX's own form."""

from __future__ import annotations

from typing import Any

from imccompiler.errors import ModelError
from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.canonical import ATTRIBUTE_INPUTS, REDUCTIONS
from imccompiler.frontend.fold import DATA_DEPENDENT
from imccompiler.frontend.graph import Node
from imccompiler.ir.host import OUTPUTS, TYPES, VERSION, host_name
from imccompiler.ir.types import dtype_of
from imccompiler.simulator.digital import is_supported

LOWERED = frozenset({"CastLike", "Split"})
"""Operators that become others at import."""

INTEGERS_DIFFER = frozenset(
    {"Div", "Mean", "Pow", "ReduceL2", "ReduceLogSumExp", "ReduceMean", "Reciprocal", "Sqrt"}
)
"""Operators that round where their operands are integers; the vector unit takes them as reals."""

SIZED_BY_DATA = frozenset({"ConstantOfShape", "ImageDecoder", "Range"})
"""Operators whose results are as large as their inputs' values say, without any bound."""

_KNOWN_BY_SHAPE = frozenset({"Expand", "Reshape", "Upsample"})
_RESIZED = frozenset({"antialias", "exclude_outside"})


def needs_host(b: ModuleBuilder, node: Node) -> bool:
    """Whether the vector unit cannot do what a node of ONNX's own domain asks for."""
    if node.op_type in LOWERED:
        return False
    first = b.info(node.input(0), node) if node.input(0) else None
    integers = first is not None and first.dtype.kind in "iu"
    if not is_supported(node.op_type) or (integers and node.op_type in INTEGERS_DIFFER):
        return True
    return _has_moving_parameters(b, node) or _is_odd(b, node)


def _is_odd(b: ModuleBuilder, node: Node) -> bool:
    """Whether a mode is asked for that the vector unit does not have."""
    first = b.info(node.input(0), node) if node.input(0) else None
    match node.op_type:
        case "Resize":
            return _resizes_oddly(node)
        case "GroupNormalization" if first is not None:  # before version 21: one scale a group
            return b.info(node.input(1), node).shape != first.shape[1:2]
        case name if name in REDUCTIONS:
            return bool(node.attributes.get("noop_with_empty_axes")) and not _axes(b, node)
        case _:
            return False


def _has_moving_parameters(b: ModuleBuilder, node: Node) -> bool:
    """Whether what has to be an attribute depends on data."""
    moved = ATTRIBUTE_INPUTS.get(node.op_type, {})
    return node.op_type not in _KNOWN_BY_SHAPE and any(
        node.input(position) and not b.is_constant(node.input(position)) for position in moved
    )


def _resizes_oddly(node: Node) -> bool:
    given = node.attributes
    return (
        given.get("mode", "nearest") not in {"nearest", "linear"}
        or given.get("coordinate_transformation_mode") == "tf_crop_and_resize"
        or given.get("keep_aspect_ratio_policy", "stretch") != "stretch"
        or any(given.get(name) for name in _RESIZED)
    )


def _axes(b: ModuleBuilder, node: Node) -> bool:
    """Whether a reduction names axes."""
    if node.input(1):
        return b.constant(node.input(1), node).size > 0
    return bool(node.attributes.get("axes"))


def import_on_host(b: ModuleBuilder, node: Node, outputs: tuple[int, ...] | None = None) -> None:
    """One op on the host for each output of a node that is used, or for some of them.

    Raises:
        ModelError: The shape of a result depends on data, or an attribute is a tensor or a graph.
    """
    from onnx import helper  # noqa: PLC0415

    names = list(node.inputs)
    while names and not names[-1]:
        names.pop()
    operands = [b.value(name) for name in names if name]
    kinds = iter(int(helper.np_dtype_to_tensor_dtype(dtype_of(v))) for v in operands)
    attributes: dict[str, Any] = {
        **node.attributes,
        VERSION: _version(b, node),
        TYPES: [next(kinds) if name else 0 for name in names],
        OUTPUTS: [int(bool(name)) for name in node.outputs],
    }
    if absent := [i for i, name in enumerate(names) if not name]:
        attributes["absent"] = absent
    for index, output in enumerate(node.outputs):
        if output and (outputs is None or index in outputs) and _has_shape(b, node, output):
            info = b.info(output, node)
            own = {**attributes, "output": index} if index else attributes
            part = str(index) if index else ""
            op_type = host_name(node.domain, node.op_type)
            y = b.digital(node, op_type, operands, info.shape, own, dtype=info.dtype, part=part)
            b.define(output, y)


def _version(b: ModuleBuilder, node: Node) -> int:
    """The first version of the domain in which the operator means what it means here."""
    from onnx import defs  # noqa: PLC0415

    if node.domain:
        return 1  # ONNX Runtime's own domain has no other
    return int(defs.get_schema(node.op_type, b.graph.opset, "").since_version)


def _has_shape(b: ModuleBuilder, node: Node, output: str) -> bool:
    """Whether an output can have an op; one of an unknown shape may be one that nothing reads."""
    if node.domain == "" and _sizes_depend_on_data(b, node):
        raise ModelError(
            f"how many elements its result {output!r} has depends on data",
            where=node.where,
            hint="export the network without it: memories are laid out for fixed shapes",
        )
    return output in b.graph.types


def _sizes_depend_on_data(b: ModuleBuilder, node: Node) -> bool:
    """Whatever the model declares: another input gives another shape."""
    if node.op_type == "Compress":
        return not b.is_constant(node.input(1))
    return node.op_type in DATA_DEPENDENT | SIZED_BY_DATA
