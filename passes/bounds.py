"""Lower bounds of a task graph: what no order of its tasks can beat."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imccompiler.passes.durations import TaskTimes
from imccompiler.passes.taskgraph import Kind, TaskGraph


@dataclass(frozen=True, slots=True)
class Bound:
    """Lower bounds and what binds them."""

    latency_ns: float
    binds: str
    interval_ns: float
    interval_binds: str


def lower_bound(graph: TaskGraph, times: TaskTimes, cores: int) -> Bound:
    """Bounds for one image and for the interval between images.

    Latency: the critical path, and for each core (and for the global memory) the least head of
    its tasks, plus all its work, plus the least tail. Interval: the work of the busiest
    of them. Heads and tails are longest paths to and from a task.
    """
    count = len(graph.tasks)
    if count == 0:
        return Bound(0.0, "nothing", 0.0, "nothing")
    head = _longest_heads(graph.predecessors, times.own_ns.tolist())
    tail = longest_tails(graph.predecessors, times.own_ns.tolist())
    own, sent = times.own_ns, times.sender_ns
    path = float((head + own + tail).max())
    best = (path, "critical path")
    core = np.array([t.core for t in graph.tasks])
    peer = np.array([t.peer for t in graph.tasks])
    shared = np.array([t.kind in (Kind.LOAD, Kind.STORE) for t in graph.tasks])
    # one row for every (resource, task, time on it)
    messages = peer >= 0
    resource = np.concatenate([core, peer[messages], np.full(int(shared.sum()), cores)])
    task = np.concatenate([np.arange(count), np.flatnonzero(messages), np.flatnonzero(shared)])
    work = np.concatenate([own, sent[messages], own[shared]])
    # a sender may be done before its receiver: the tail of its side is what is left of the task
    after = np.concatenate([tail, (tail + own - sent).clip(min=0)[messages], tail[shared]])
    load = np.bincount(resource, work, cores + 1)
    least_head = np.full(cores + 1, np.inf)
    least_tail = np.full(cores + 1, np.inf)
    np.minimum.at(least_head, resource, head[task])
    np.minimum.at(least_tail, resource, after)
    used = load > 0
    total = np.where(used, least_head + load + least_tail, 0.0)
    index = int(total.argmax())
    if total[index] > best[0]:
        best = (float(total[index]), _name(index, cores))
    index = int(load.argmax())
    busiest = (float(load[index]), _name(index, cores))
    return Bound(best[0], best[1], busiest[0], busiest[1])


def longest_tails(predecessors: list[tuple[int, ...]], own_ns: list[float]) -> NDArray[np.float64]:
    """Longest path behind each task; tasks are numbered in topological order."""
    tail = [0.0] * len(own_ns)
    for task in range(len(own_ns) - 1, -1, -1):
        reach = tail[task] + own_ns[task]
        for p in predecessors[task]:
            if reach > tail[p]:
                tail[p] = reach
    return np.array(tail)


def _longest_heads(predecessors: list[tuple[int, ...]], own_ns: list[float]) -> NDArray[np.float64]:
    """Longest path before each task."""
    head = [0.0] * len(own_ns)
    for task, before in enumerate(predecessors):
        for p in before:
            reach = head[p] + own_ns[p]
            if reach > head[task]:
                head[task] = reach
    return np.array(head)


def _name(index: int, cores: int) -> str:
    return "global memory" if index == cores else f"core {index}"
