"""Sequences and optionals: which tensors they hold is known, so none is left in the flat graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.flatten import Flattener
from imccompiler.frontend.order import describe
from imccompiler.frontend.scope import Scope

if TYPE_CHECKING:
    from onnx import NodeProto


def _construct(f: Flattener, node: NodeProto, scope: Scope) -> None:
    where = describe(node)
    _define(f, node, scope, tuple(scope.flat(name, where) for name in node.input))


def _insert(f: Flattener, node: NodeProto, scope: Scope) -> None:
    items = _items(f, node, scope)
    given = _index(f, node, 2, scope)
    at = len(items) if given is None else _position(node, given, len(items) + 1, len(items))
    tensor = scope.flat(node.input[1], describe(node))
    _define(f, node, scope, (*items[:at], tensor, *items[at:]))


def _erase(f: Flattener, node: NodeProto, scope: Scope) -> None:
    items = _items(f, node, scope)
    given = _index(f, node, 1, scope)
    at = _position(node, -1 if given is None else given, len(items), len(items))
    _define(f, node, scope, items[:at] + items[at + 1 :])


def _at(f: Flattener, node: NodeProto, scope: Scope) -> None:
    items = _items(f, node, scope)
    at = _position(node, _index(f, node, 1, scope) or 0, len(items), len(items))
    scope.bind(node.output[0], items[at])


def _length(f: Flattener, node: NodeProto, scope: Scope) -> None:
    length = np.array(len(_items(f, node, scope)), np.int64)
    scope.bind(node.output[0], f.constant(_name(node, scope), length))


def _concat(f: Flattener, node: NodeProto, scope: Scope) -> None:
    where, items = describe(node), list(_items(f, node, scope))
    options = {a.name: a.i for a in node.attribute}
    axis, name = options.get("axis", 0), _name(node, scope)
    if not items:
        raise ModelError("concatenates an empty sequence", where=where)
    if options.get("new_axis"):
        rank = len(f.shape_of(items[0], where)) + 1
        axis = axis + rank if axis < 0 else axis
        for i, item in enumerate(items):
            shape = list(f.shape_of(item, where))
            shape.insert(axis, 1)
            target = f.constant(f"{name}/shape", np.array(shape, np.int64))
            items[i] = f.emit("Reshape", [item, target], f"{name}/{i}")[0]
    scope.bind(node.output[0], f.emit("Concat", items, name, axis=axis)[0])


def _split(f: Flattener, node: NodeProto, scope: Scope) -> None:
    where, name = describe(node), _name(node, scope)
    whole = scope.flat(node.input[0], where)
    shape = f.shape_of(whole, where)
    options = {a.name: a.i for a in node.attribute}
    axis = options.get("axis", 0)
    if not -len(shape) <= axis < len(shape):
        raise ModelError(f"axis {axis} of a tensor of shape {shape}", where=where)
    axis %= len(shape)
    sizes = _sizes(f, node, scope, shape[axis])
    items: list[str] = []
    for i, size in enumerate(sizes):
        begin = sum(sizes[:i])
        positions = f.constant(f"{name}/{i}/index", np.arange(begin, begin + size))
        part = f.emit("Gather", [whole, positions], f"{name}/{i}", axis=axis)[0]
        if len(node.input) < 2 and options.get("keepdims", 1) == 0:
            rest = np.array([*shape[:axis], *shape[axis + 1 :]], np.int64)
            target = f.constant(f"{name}/shape", rest)
            part = f.emit("Reshape", [part, target], f"{name}/{i}/flat")[0]
        items.append(part)
    _define(f, node, scope, tuple(items))


def _sizes(f: Flattener, node: NodeProto, scope: Scope, length: int) -> list[int]:
    """Lengths of the parts of a `SplitToSequence`: given, all but the last equal, or 1."""
    where = describe(node)
    if len(node.input) < 2 or not node.input[1]:
        return [1] * length
    given = f.value(scope.flat(node.input[1], where))
    if given is None:
        raise ModelError("how it splits depends on the data", where=where)
    if given.ndim == 0 and given.item() >= 1:
        step = int(given.item())
        return [min(step, length - begin) for begin in range(0, length, step)]
    if given.ndim != 1 or given.min(initial=0) < 0 or given.sum() != length:
        raise ModelError(f"splits {length} into {given.tolist()}", where=where)
    return [int(size) for size in given]


def _optional(_f: Flattener, node: NodeProto, scope: Scope) -> None:
    if not node.input or not node.input[0]:
        raise ModelError("an optional without a value is not supported", where=describe(node))
    scope.bind(node.output[0], scope.flat(node.input[0], describe(node)))


def _has_element(f: Flattener, node: NodeProto, scope: Scope) -> None:
    here = bool(node.input and scope.flat(node.input[0], describe(node)))
    scope.bind(node.output[0], f.constant(_name(node, scope), np.array(here)))


def _define(f: Flattener, node: NodeProto, scope: Scope, items: tuple[str, ...]) -> None:
    name = f.names.fresh(_name(node, scope))
    f.sequences[name] = items
    scope.bind(node.output[0], name)


def _items(f: Flattener, node: NodeProto, scope: Scope) -> tuple[str, ...]:
    where = describe(node)
    name = scope.flat(node.input[0], where)
    if name not in f.sequences:
        raise ModelError(f"{node.input[0]!r} is not a sequence known before", where=where)
    return f.sequences[name]


def _index(f: Flattener, node: NodeProto, position: int, scope: Scope) -> int | None:
    if len(node.input) <= position or not node.input[position]:
        return None
    where = describe(node)
    value = f.value(scope.flat(node.input[position], where))
    if value is None or value.size != 1:
        raise ModelError("its position depends on the data", where=where)
    return int(value.item())


def _position(node: NodeProto, index: int, places: int, length: int) -> int:
    at = index + length if index < 0 else index
    if not 0 <= at < places:
        raise ModelError(f"position {index} of a sequence of {length}", where=describe(node))
    return at


def _name(node: NodeProto, scope: Scope) -> str:
    name = node.name or node.output[0]
    return f"{scope.path}/{name}" if scope.path else name


SEQUENCES: Mapping[str, Callable[[Flattener, NodeProto, Scope], None]] = {
    "ConcatFromSequence": _concat,
    "Optional": _optional,
    "OptionalGetElement": _optional,
    "OptionalHasElement": _has_element,
    "SequenceAt": _at,
    "SequenceConstruct": _construct,
    "SequenceEmpty": _construct,
    "SequenceErase": _erase,
    "SequenceInsert": _insert,
    "SequenceLength": _length,
    "SplitToSequence": _split,
}
