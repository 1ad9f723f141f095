"""Topological order of ONNX nodes, and what is wrong where there is none."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from imccompiler.errors import ModelError

if TYPE_CHECKING:
    from onnx import NodeProto, ValueInfoProto


def ordered(
    nodes: Sequence[NodeProto], known: set[str], outputs: Iterable[ValueInfoProto]
) -> list[NodeProto]:
    """The nodes of a graph in topological order.

    Args:
        nodes: In any order.
        known: Tensors that are there before any node runs: inputs and constants.
        outputs: Of the graph.

    Raises:
        ModelError: A tensor has two producers or none, or the graph has a cycle.
    """
    producers = _producers(nodes, known)
    for output in outputs:
        if output.name not in producers and output.name not in known:
            raise ModelError("is not produced by any node", where=f"output {output.name!r}")
    if _is_sorted(nodes, known):
        return list(nodes)
    return [nodes[i] for i in _order(nodes, producers, known)]


def describe(node: NodeProto) -> str:
    """How errors name a node."""
    label = node.name or (node.output[0] if node.output else "")
    return f"node {label!r} ({node.op_type})"


def _order(nodes: Sequence[NodeProto], producers: dict[str, int], known: set[str]) -> list[int]:
    sorter: TopologicalSorter[int] = TopologicalSorter()
    for index, node in enumerate(nodes):
        needs = {name for name in _needs(node) if name not in known}
        for name in sorted(needs - producers.keys()):
            raise ModelError(f"input {name!r} is not produced by any node", where=describe(node))
        sorter.add(index, *sorted(producers[name] for name in needs))
    try:
        return list(sorter.static_order())
    except CycleError as error:
        raise ModelError(
            "the graph has a cycle", where=describe(nodes[error.args[1][0]])
        ) from error


def _producers(nodes: Iterable[NodeProto], known: set[str]) -> dict[str, int]:
    producers: dict[str, int] = {}
    for index, node in enumerate(nodes):
        for name in filter(None, node.output):
            if name in producers or name in known:
                raise ModelError(f"output {name!r} has two producers", where=describe(node))
            producers[name] = index
    return producers


def _is_sorted(nodes: Iterable[NodeProto], known: set[str]) -> bool:
    seen = set(known)
    for node in nodes:
        if any(name not in seen for name in _needs(node)):
            return False
        seen.update(node.output)
    return True


def _needs(node: NodeProto) -> Iterator[str]:
    """Tensors of the graph that a node reads, those of its bodies included."""
    yield from filter(None, node.input)
    for attribute in node.attribute:
        for body in (attribute.g, *attribute.graphs):
            inner = {i.name for i in body.input} | {t.name for t in body.initializer}
            for each in body.node:
                yield from (name for name in _needs(each) if name not in inner)
                inner.update(each.output)
            yield from (o.name for o in body.output if o.name and o.name not in inner)
