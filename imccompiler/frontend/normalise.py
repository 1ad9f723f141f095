"""Making a graph static: what the importer reads, from the parts of a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Constants
from imccompiler.frontend.flatten import Flattener
from imccompiler.frontend.order import describe
from imccompiler.frontend.rules import is_static, shape_of_type
from imccompiler.frontend.scope import Scope
from imccompiler.frontend.skeleton import check_elements

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TypeProto, ValueInfoProto


def normalise(
    model: ModelProto,
    nodes: Sequence[NodeProto],
    inputs: Sequence[ValueInfoProto],
    constants: Constants,
    opset: int,
    *,
    bound: bool,
) -> ModelProto:
    """The network with static shapes and without control flow, functions, sequences or dead nodes.

    Args:
        model: The model, for its outputs, functions and versions.
        nodes: Of its graph in topological order, without `Constant`s.
        inputs: The network's inputs, static.
        constants: Of the graph; those of bodies, and computed ones, are added.
        opset: Version of the default domain.
        bound: Whether dimensions were bound, so that declared types may not hold any more.

    Returns:
        A model with the constants that are used as inputs, and types of all tensors.

    Raises:
        ModelError: Control flow depends on data, or shapes contradict each other.
    """
    declared = {} if bound else _declared(model)
    f = Flattener(model, opset, constants, {i.name: i.type for i in inputs}, declared)
    for value in inputs:
        check_elements(shape_of_type(value.type), f"input {value.name!r}")
    scope = Scope()
    for name in (*(i.name for i in inputs), *constants.names()):
        scope.bind(f.names.reserve(name), name)
    for node in nodes:
        for name in node.output:
            f.names.reserve(name)
    f.run(nodes, scope)
    outputs = _outputs(f, scope, model, bound=bound)
    return _static(f, inputs, outputs, model)


def _declared(model: ModelProto) -> dict[str, TypeProto]:
    """Types that the model itself gives its tensors."""
    values = (*model.graph.value_info, *model.graph.output)
    return {value.name: value.type for value in values if is_static(value.type)}


def _outputs(f: Flattener, scope: Scope, model: ModelProto, *, bound: bool) -> list[str]:
    """Names of the outputs, each a tensor of the flat graph of that name."""
    names: list[str] = []
    for output in model.graph.output:
        where = f"output {output.name!r}"
        if output.name in names:
            raise ModelError("is declared twice", where=where, hint="rename one of the two")
        flat = scope.flat(output.name, where)
        if flat in f.sequences:
            raise ModelError(
                "is a sequence", where=where, hint="export the network with tensors as outputs"
            )
        if flat != output.name:
            f.alias(output.name, flat)
        names.append(output.name)
        if not bound:
            _check_declared(output.type, f.type_of(output.name), where)
    return names


def _check_declared(declared: TypeProto, found: TypeProto | None, where: str) -> None:
    if found is None or not is_static(found) or not declared.tensor_type.HasField("shape"):
        return
    dims = [d.dim_value if d.dim_value > 0 else None for d in declared.tensor_type.shape.dim]
    shape = shape_of_type(found)
    if len(dims) != len(shape) or any(d not in (None, n) for d, n in zip(dims, shape, strict=True)):
        raise ModelError(
            f"the shapes do not fit each other: declared as {tuple(dims)}, "
            f"but its node gives {shape}",
            where=where,
            hint="export the network again, or drop the shape of the output",
        )


def _live(nodes: Sequence[NodeProto], outputs: Sequence[str]) -> list[NodeProto]:
    """The nodes that the outputs need."""
    needed = set(outputs)
    live: list[NodeProto] = []
    for node in reversed(nodes):
        if not needed.isdisjoint(node.output):
            needed.update(node.input)
            live.append(node)
    return live[::-1]


def _check_live(
    live: Sequence[NodeProto],
    f: Flattener,
    inputs: Sequence[ValueInfoProto],
    outputs: Sequence[str],
) -> None:
    """Check that something is computed, and of each tensor at least one element."""
    free = {value.name for value in inputs}
    if free.isdisjoint(outputs) and all(free.isdisjoint(node.input) for node in live):
        raise ModelError(
            "no output depends on an input",
            where="the network",
            hint="leave a dimension or an input to the network, or export another part of it",
        )
    for node in live:
        for name in filter(None, node.output):
            kind = f.type_of(name)
            if is_static(kind) and 0 in shape_of_type(kind) and name not in f.derived:
                raise ModelError(
                    f"its result {name!r} has no elements: shape {shape_of_type(kind)}",
                    where=describe(node),
                    hint="bind larger dimensions, or export the network without it",
                )


def _static(
    f: Flattener, inputs: Sequence[ValueInfoProto], outputs: Sequence[str], model: ModelProto
) -> ModelProto:
    from onnx import ModelProto, ValueInfoProto  # noqa: PLC0415

    def values(names: Mapping[str, None]) -> list[ValueInfoProto]:
        return [ValueInfoProto(name=n, type=kind) for n in names if (kind := f.type_of(n))]

    static = ModelProto(ir_version=model.ir_version)
    static.opset_import.extend(model.opset_import)
    graph = static.graph
    graph.name = model.graph.name or "network"
    live = _live(f.nodes, outputs)
    _check_live(live, f, inputs, outputs)
    graph.node.extend(live)
    made = dict.fromkeys(name for node in live for name in node.output if name)
    read = dict.fromkeys(name for node in live for name in node.input if name in f.constants)
    read |= dict.fromkeys(name for name in outputs if name in f.constants)
    graph.input.extend(inputs)
    graph.input.extend(values(read))
    graph.value_info.extend(values(made))
    graph.output.extend(ValueInfoProto(name=name, type=f.type_of(name)) for name in outputs)
    return static
