"""Lower bounds of a task graph: what no order of its tasks can beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imccompiler.passes import paths_kernel
from imccompiler.passes.durations import TaskTimes
from imccompiler.passes.loads import Loads
from imccompiler.passes.ragged import starts_of
from imccompiler.passes.taskgraph import TaskGraph
from imccompiler.passes.template import Template
from imccompiler.program.isa import OP, Op


@dataclass(frozen=True, slots=True)
class Bound:
    """Lower bounds and what binds them."""

    latency_ns: float
    binds: str
    interval_ns: float
    interval_binds: str


def serial_bound(graph: TaskGraph, times: TaskTimes, loads: Loads) -> Bound:
    """Bounds for cores that do one operation at a time.

    Latency: the critical path, and for each resource the least head of its tasks, plus all its
    work, plus the least tail. Heads and tails are longest paths to and from a task. Interval: the
    work of the busiest resource.
    """
    head, tail = _longest_heads(graph, times), longest_tails(graph, times)
    path = float((head + times.own_ns + tail).max(initial=0.0))
    return _bound(loads, head, tail, (path, "critical path"))


def overlapping_bound(graph: TaskGraph, loads: Loads) -> Bound:
    """Bounds for cores with several operations in flight.

    Tasks that follow each other overlap there, since one can begin with the first results of the
    other. So the head of a task is the shortest path to it, from first result to first result,
    and there is no tail. Interval: the work of the busiest unit.
    """
    head = _shortest_heads(graph, loads.through_ns)
    path = float((head + loads.through_ns).max(initial=0.0))
    return _bound(loads, head, np.zeros(len(head)), (path, "path of first results"))


def _bound(
    loads: Loads, head: NDArray[np.float64], tail: NDArray[np.float64], path: tuple[float, str]
) -> Bound:
    count = len(loads.names)
    if len(loads.task) == 0:
        return Bound(0.0, "nothing", 0.0, "nothing")
    work = np.bincount(loads.resource, loads.work_ns, count)
    least_head, least_tail = np.full(count, np.inf), np.full(count, np.inf)
    np.minimum.at(least_head, loads.resource, head[loads.task] + loads.before_ns)
    np.minimum.at(least_tail, loads.resource, tail[loads.task] + loads.after_ns)
    total = np.where(work > 0, least_head + work + least_tail, 0.0)
    slowest, busiest = int(total.argmax()), int(work.argmax())
    latency = max(path, (float(total[slowest]), loads.names[slowest]))
    return Bound(*latency, float(work[busiest]), loads.names[busiest])


def longest_tails(graph: TaskGraph, times: TaskTimes) -> NDArray[np.float64]:
    """Longest path behind each task; tasks are numbered in topological order."""
    return paths_kernel.longest_tails(*_edges(graph), graph.core, times.own_ns, times.lead_ns)


def _longest_heads(graph: TaskGraph, times: TaskTimes) -> NDArray[np.float64]:
    """Longest path before each task."""
    return paths_kernel.longest_heads(*_edges(graph), graph.core, times.own_ns, times.lead_ns)


def _shortest_heads(graph: TaskGraph, through_ns: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shortest path of first results before each task; padding is no result."""
    fills = np.array([_only_fills(t) for t in graph.templates])[graph.own_template]
    return paths_kernel.shortest_heads(*_edges(graph), through_ns, fills)


def _edges(graph: TaskGraph) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The tasks before each task, and where those of each begin."""
    return starts_of(graph.before.counts), graph.before.values


def _only_fills(template: Template) -> bool:
    op = template.code[:, OP]
    return bool((op[op > Op.LOOP] == Op.LLDI).all())
