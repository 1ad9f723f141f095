"""List scheduling: one total order of all tasks, from which each core's order is projected.

A message occupies both of its cores, so that no cyclic wait can arise. Among the tasks that a
core could begin, the one that can begin first is taken; among those that could begin at
once, the one of highest priority.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import InternalError, PassError
from imccompiler.passes.durations import TaskTimes
from imccompiler.passes.taskgraph import Kind, TaskGraph


@dataclass(frozen=True, slots=True)
class Schedule:
    """An order of tasks and when each begins and ends.

    Attributes:
        order: Task numbers in order, shape (tasks,).
        start_ns, end_ns: Of each task, by task number, on its own core.
        peer_end_ns: When the sender of a message is free again.
        makespan_ns: End of the last task.
    """

    order: NDArray[np.int64]
    start_ns: NDArray[np.float64]
    end_ns: NDArray[np.float64]
    peer_end_ns: NDArray[np.float64]
    makespan_ns: float


def list_schedule(
    graph: TaskGraph,
    times: TaskTimes,
    priority: NDArray[np.int64],
    cores: int,
    patience_ns: float,
) -> Schedule:
    """Schedule all tasks.

    Args:
        graph: Tasks and predecessors.
        times: Of the tasks.
        priority: Lower is more urgent.
        cores: Number of cores.
        patience_ns: How long a more urgent task that only waits for another core may be delayed.

    Raises:
        InternalError: The predecessors form a cycle.
    """
    from imccompiler.passes import listing_kernel  # noqa: PLC0415

    count = len(graph.tasks)
    core = np.array([t.core for t in graph.tasks], np.int64)
    peer = np.array([t.peer for t in graph.tasks], np.int64)
    shared = np.array([t.kind in (Kind.LOAD, Kind.STORE) for t in graph.tasks], np.bool_)
    successor_start, successors, missing = _successors(graph)
    uses = np.bincount(core, minlength=cores) + np.bincount(peer[peer >= 0], minlength=cores)
    heap_start = np.concatenate([[0], np.cumsum(uses)])
    start, end, peer_end = np.zeros(count), np.zeros(count), np.zeros(count)
    order = np.zeros(count, np.int64)
    done = listing_kernel.run(
        core,
        peer,
        shared,
        times.own_ns,
        times.sender_ns,
        times.switch_ns,
        priority,
        successor_start,
        successors,
        missing,
        heap_start,
        cores,
        patience_ns,
        start,
        end,
        peer_end,
        order,
    )
    if done != count:
        raise InternalError(f"{count - done} tasks wait for each other in a cycle")
    makespan = max(float(end.max(initial=0.0)), float(peer_end.max(initial=0.0)))
    return Schedule(order, start, end, peer_end, makespan)


def _successors(
    graph: TaskGraph,
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Successors of every task one after the other, where each begins, and predecessor counts."""
    count = len(graph.tasks)
    lengths = np.fromiter((len(p) for p in graph.predecessors), np.int64, count)
    before = np.fromiter((b for p in graph.predecessors for b in p), np.int64, int(lengths.sum()))
    after = np.repeat(np.arange(count), lengths)
    by_before = np.argsort(before, kind="stable")
    successor_start = np.searchsorted(before[by_before], np.arange(count + 1))
    return successor_start.astype(np.int64), after[by_before], lengths.copy()


def schedule_in_order(
    graph: TaskGraph,
    times: TaskTimes,
    order: Sequence[int],
    cores: int,
) -> Schedule:
    """Times of a given total order.

    Raises:
        PassError: The order is not one of this graph's tasks, or breaks a dependence.
    """
    count = len(graph.tasks)
    if sorted(order) != list(range(count)):
        raise PassError("the order does not name every task once", where="imc.order")
    start, end, peer_end = np.zeros(count), np.full(count, -1.0), np.zeros(count)
    free = [0.0] * cores
    switch = [0.0] * cores
    global_free = 0.0
    own, sender, busy = (
        times.own_ns.tolist(),
        times.sender_ns.tolist(),
        times.switch_ns.tolist(),
    )
    for number in order:
        task = graph.tasks[number]
        before = [end[p] for p in graph.predecessors[number]]
        if min(before, default=0.0) < 0:
            raise PassError(f"task {number} stands before one it needs", where="imc.order")
        now = max(free[task.core], max(before, default=0.0))
        if task.peer >= 0:
            now = max(now, free[task.peer], switch[task.peer], switch[task.core])
        if task.kind in (Kind.LOAD, Kind.STORE):
            now = max(now, switch[task.core])
        start[number] = begin = now
        if task.kind in (Kind.LOAD, Kind.STORE):
            begin = max(now, global_free)
            global_free = switch[task.core] = begin + busy[number]
        end[number] = free[task.core] = begin + own[number]
        if task.peer >= 0:
            peer_end[number] = free[task.peer] = now + sender[number]
            switch[task.peer] = now + busy[number]
    makespan = max(float(end.max(initial=0.0)), float(peer_end.max(initial=0.0)))
    return Schedule(np.array(order, np.int64), start, end, peer_end, makespan)
