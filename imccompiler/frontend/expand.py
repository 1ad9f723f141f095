"""Expansion of what holds other nodes: functions inlined, branches decided, loops unrolled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import element_type
from imccompiler.frontend.flatten import Body, Flattener, attribute
from imccompiler.frontend.functions import compatible_nodes
from imccompiler.frontend.order import describe
from imccompiler.frontend.scope import Scope
from imccompiler.frontend.sequences import SEQUENCES

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, ValueInfoProto

LIMIT_ITERATIONS = 20_000  # of one loop
ENDLESS = 2**63 - 1


def call(f: Flattener, node: NodeProto, scope: Scope) -> None:
    """Inline a call of a function of the model."""
    where = describe(node)
    function = f.functions[node.domain, node.op_type]
    if len(node.input) > len(function.input) or len(node.output) > len(function.output):
        raise ModelError(
            f"has {len(node.input)} inputs and {len(node.output)} outputs; its function takes "
            f"{len(function.input)} and gives {len(function.output)}",
            where=where,
        )
    given = {a.name: found for a in node.attribute if (found := attribute(a, scope)) is not None}
    inner = scope.function(_label(node), {**{a.name: a for a in function.attribute_proto}, **given})
    passed = [scope.flat(name, where) for name in node.input]
    passed += [""] * (len(function.input) - len(passed))
    for name, flat in zip(function.input, passed, strict=True):
        inner.bind(name, flat)
    nodes = compatible_nodes(f, function, inner, where)
    f.run_body(f.prepare(nodes, inner.path, None), inner)
    for name, result in zip(node.output, function.output, strict=False):
        if name:
            scope.bind(name, inner.flat(result, where))


def _if(f: Flattener, node: NodeProto, scope: Scope) -> None:
    where = describe(node)
    condition = f.value(scope.flat(node.input[0], where))
    if condition is None:
        raise _undecided(where)
    if condition.size != 1:
        raise ModelError(f"its condition has shape {condition.shape}", where=where)
    body = _body(node, "then_branch" if condition.item() else "else_branch")
    inner = scope.body(_label(node))
    f.run_body(f.prepare(body.node, inner.path, body), inner)
    results = [inner.flat(output.name, where) for output in body.output]
    _hand_out(node, results, scope)


def _loop(f: Flattener, node: NodeProto, scope: Scope) -> None:
    where = describe(node)
    body = _body(node, "body")
    given = [scope.flat(name, where) for name in node.input]
    trips = _trips(f, given[0] if given else "", where)
    condition = given[1] if len(given) > 1 else ""
    state, count = given[2:], len(given[2:])
    if len(body.input) != 2 + count or len(body.output) < 1 + count:
        raise _signature(where)
    path = scope.body(_label(node)).path
    prepared = f.prepare(body.node, path, body)
    collected: list[list[str]] = [[] for _ in body.output[1 + count :]]
    iteration = 0
    while iteration < trips and _goes_on(f, condition, where):
        _check_iterations(iteration + 1, where)
        number = f.constant(f"{path}/{iteration}/trip", np.array(iteration, np.int64))
        going = condition or f.constant(f"{path}/{iteration}/going", np.array(True))
        inner = scope.body(f"{_label(node)}/{iteration}")
        outputs = _run(f, prepared, body, inner, [number, going, *state], where)
        condition, state = outputs[0], outputs[1 : 1 + count]
        for parts, name in zip(collected, outputs[1 + count :], strict=True):
            parts.append(name)
        iteration += 1
    stacked = [
        _stack(f, parts, 0, path, where) if parts else _empty(f, output, path)
        for parts, output in zip(collected, body.output[1 + count :], strict=True)
    ]
    _hand_out(node, [*state, *stacked], scope)


def _scan(f: Flattener, node: NodeProto, scope: Scope) -> None:
    where = describe(node)
    if f.opset < 9:
        raise ModelError(
            f"Scan of version {f.opset} is not supported",
            where=where,
            hint="convert the network to version 9 or newer (onnx.version_converter)",
        )
    body, given = _body(node, "body"), [scope.flat(name, where) for name in node.input]
    options = {a.name: list(a.ints) or a.i for a in node.attribute if a.name != "body"}
    scanned = int(options.get("num_scan_inputs", 0))  # type: ignore[arg-type]
    count = len(given) - scanned
    results = len(body.output) - count
    if count < 0 or results < 0 or scanned < 1 or len(body.input) != len(given):
        raise _signature(where)
    state, sequences = given[:count], given[count:]
    axes = _listed(options, "scan_input_axes", scanned, where)
    backwards = _listed(options, "scan_input_directions", scanned, where)
    lengths = {_length(f, name, axis, where) for name, axis in zip(sequences, axes, strict=True)}
    if len(lengths) != 1:
        raise ModelError(f"its inputs have different lengths {sorted(lengths)}", where=where)
    length = lengths.pop()
    if length < 1:
        raise ModelError("scans empty tensors", where=where, hint="bind a longer dimension")
    _check_iterations(length, where)
    path = scope.body(_label(node)).path
    prepared = f.prepare(body.node, path, body)
    collected: list[list[str]] = [[] for _ in range(results)]
    for step in range(length):
        parts = [
            _slice(f, name, axis, length - 1 - step if back else step, f"{path}/{step}")
            for name, axis, back in zip(sequences, axes, backwards, strict=True)
        ]
        inner = scope.body(f"{_label(node)}/{step}")
        outputs = _run(f, prepared, body, inner, [*state, *parts], where)
        state = outputs[:count]
        for made, name in zip(collected, outputs[count:], strict=True):
            made.append(name)
    stacked = [
        _stack(f, parts[::-1] if back else parts, axis, path, where)
        for parts, axis, back in zip(
            collected,
            _listed(options, "scan_output_axes", results, where),
            _listed(options, "scan_output_directions", results, where),
            strict=True,
        )
    ]
    _hand_out(node, [*state, *stacked], scope)


def _run(
    f: Flattener,
    prepared: Body,
    body: GraphProto,
    inner: Scope,
    inputs: Sequence[str],
    where: str,
) -> list[str]:
    """One iteration; returns its outputs' names in the flat graph."""
    for declared, flat in zip(body.input, inputs, strict=True):
        inner.bind(declared.name, flat)
    f.run_body(prepared, inner)
    return [inner.flat(output.name, where) for output in body.output]


def _stack(f: Flattener, parts: Sequence[str], axis: int, path: str, where: str) -> str:
    """The parts along a new axis."""
    rank = len(f.shape_of(parts[0], where)) + 1
    axis = axis + rank if axis < 0 else axis
    rows: list[str] = []
    for part in parts:
        shape = list(f.shape_of(part, where))
        target = f.constant(f"{path}/shape", np.array([*shape[:axis], 1, *shape[axis:]], np.int64))
        rows += f.emit("Reshape", [part, target], f"{path}/row")
    return f.emit("Concat", rows, f"{path}/stack", axis=axis)[0]


def _empty(f: Flattener, output: ValueInfoProto, path: str) -> str:
    """What a loop that does not run collects: no rows of the declared shape."""
    dims = [dim.dim_value for dim in output.type.tensor_type.shape.dim]
    dtype = element_type(output.type.tensor_type.elem_type, f"output {output.name!r} of {path}")
    return f.constant(f"{path}/{output.name}", np.zeros([0, *dims], dtype))


def _slice(f: Flattener, name: str, axis: int, index: int, path: str) -> str:
    position = f.constant(f"{path}/index", np.array(index, np.int64))
    return f.emit("Gather", [name, position], f"{path}/part", axis=axis)[0]


def _length(f: Flattener, name: str, axis: int, where: str) -> int:
    shape = f.shape_of(name, where)
    if not -len(shape) <= axis < len(shape):
        raise ModelError(f"scans axis {axis} of a tensor of shape {shape}", where=where)
    return shape[axis]


def _listed(options: Mapping[str, Any], name: str, count: int, where: str) -> list[int]:
    numbers = options.get(name) or [0] * count
    if not isinstance(numbers, list) or len(numbers) != count:
        raise ModelError(f"attribute {name!r} needs {count} numbers", where=where)
    return numbers


def _trips(f: Flattener, name: str, where: str) -> int:
    if not name:
        return ENDLESS
    trips = f.value(name)
    if trips is None:
        raise _undecided(where)
    if trips.size != 1:
        raise ModelError(f"its trip count has shape {trips.shape}", where=where)
    return int(trips.item())


def _goes_on(f: Flattener, condition: str, where: str) -> bool:
    if not condition:
        return True
    value = f.value(condition)
    if value is None:
        raise _undecided(where)
    return value.size == 1 and bool(value.item())


def _check_iterations(count: int, where: str) -> None:
    if count > LIMIT_ITERATIONS:
        raise ModelError(
            f"runs more than {LIMIT_ITERATIONS:,} times, which is too much to unroll",
            where=where,
            hint="bind shorter dimensions, or export the network without the loop",
        )


def _hand_out(node: NodeProto, results: Sequence[str], scope: Scope) -> None:
    where = describe(node)
    if len(node.output) > len(results):
        raise _signature(where)
    for name, flat in zip(node.output, results, strict=False):
        if name:
            scope.bind(name, flat)


def _body(node: NodeProto, name: str) -> GraphProto:
    for each in node.attribute:
        if each.name == name and each.HasField("g"):
            return each.g
    raise ModelError(f"has no {name!r}", where=describe(node))


def _label(node: NodeProto) -> str:
    return node.name or (node.output[0] if node.output else "") or node.op_type


def _undecided(where: str) -> ModelError:
    return ModelError(
        "which nodes run depends on the data",
        where=where,
        hint="bind the inputs that decide it, or export the network without control flow",
    )


def _signature(where: str) -> ModelError:
    return ModelError(
        "its inputs and outputs do not fit those of its body",
        where=where,
        hint="export the network again",
    )


EXPANSIONS: Mapping[str, Callable[[Flattener, NodeProto, Scope], None]] = {
    "If": _if,
    "Loop": _loop,
    "Scan": _scan,
    **SEQUENCES,
}
