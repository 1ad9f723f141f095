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

STEADY_IMAGES = 6
"""Images after which a stream is taken as steady; the interval is that of the second half."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """An order of tasks and when each begins and ends.

    Attributes:
        order: Task numbers in order, shape (tasks,).
        start_ns, end_ns: Of each task, by task number, on its own core. A message starts when
            its sender asks; its receiver may come up to `lead_ns` later.
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
    core, peer, shared = _places(graph)
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
        times.lead_ns + times.request_ns,
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
    graph: TaskGraph, times: TaskTimes, order: Sequence[int], cores: int
) -> Schedule:
    """Times of a given total order.

    Raises:
        PassError: The order is not one of this graph's tasks, or breaks a dependence.
    """
    count = len(graph.tasks)
    if sorted(order) != list(range(count)):
        raise PassError("the order does not name every task once", where="imc.order")
    sequence = np.array(order, np.int64)
    start, end, peer_end, _ = _replay(graph, times, sequence, cores, 1)
    makespan = max(float(end.max(initial=0.0)), float(peer_end.max(initial=0.0)))
    return Schedule(sequence, start, end, peer_end, makespan)


def steady_interval_ns(graph: TaskGraph, times: TaskTimes, schedule: Schedule, cores: int) -> float:
    """Time between images when the schedule's order is repeated without a pause."""
    image_end = _replay(graph, times, schedule.order, cores, STEADY_IMAGES)[3]
    last, first = STEADY_IMAGES - 1, STEADY_IMAGES // 2 - 1
    return float(image_end[last] - image_end[first]) / (last - first)


def _replay(
    graph: TaskGraph, times: TaskTimes, order: NDArray[np.int64], cores: int, images: int
) -> tuple[NDArray[np.float64], ...]:
    """Starts, ends and ends of senders of the last image, and the end of every image."""
    from imccompiler.passes import listing_kernel  # noqa: PLC0415

    count = len(graph.tasks)
    core, peer, shared = _places(graph)
    lengths = np.fromiter((len(p) for p in graph.predecessors), np.int64, count)
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    before = np.fromiter((b for p in graph.predecessors for b in p), np.int64, int(starts[-1]))
    start, end, peer_end = np.zeros(count), np.zeros(count), np.zeros(count)
    image_end = np.zeros(images)
    early = listing_kernel.replay(
        order,
        core,
        peer,
        shared,
        times.own_ns,
        times.sender_ns,
        times.switch_ns,
        times.lead_ns + times.request_ns,
        starts,
        before,
        cores,
        images,
        start,
        end,
        peer_end,
        image_end,
    )
    if early >= 0:
        raise PassError(f"task {early} stands before one it needs", where="imc.order")
    return start, end, peer_end, image_end


def _places(graph: TaskGraph) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Core and sender of every task, and whether it uses the global memory."""
    return (
        np.array([t.core for t in graph.tasks], np.int64),
        np.array([t.peer for t in graph.tasks], np.int64),
        np.array([t.kind in (Kind.LOAD, Kind.STORE) for t in graph.tasks], np.bool_),
    )
