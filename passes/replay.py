"""What an order of tasks means in time: every core does its tasks in it, image after image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import PassError
from imccompiler.passes.durations import TaskTimes
from imccompiler.passes.taskgraph import TaskGraph

STEADY_IMAGES = 6
"""Images after which a stream is taken as steady."""


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


def replay(
    graph: TaskGraph, times: TaskTimes, order: Sequence[int] | NDArray[np.int64], cores: int
) -> Schedule:
    """Times of a given total order.

    Raises:
        PassError: The order is not one of this graph's tasks, or breaks a dependence.
    """
    sequence = np.array(order, np.int64)
    if not np.array_equal(np.sort(sequence), np.arange(len(graph))):
        raise PassError("the order does not name every task once", where="imc.order")
    start, end, peer_end, _ = _run(graph, times, sequence, cores, 1)
    makespan = max(float(end.max(initial=0.0)), float(peer_end.max(initial=0.0)))
    return Schedule(sequence, start, end, peer_end, makespan)


def steady_interval_ns(graph: TaskGraph, times: TaskTimes, schedule: Schedule, cores: int) -> float:
    """Time between images when the schedule's order is repeated without a pause."""
    from imccompiler.simulator.timing import steady_interval  # noqa: PLC0415

    image_end = _run(graph, times, schedule.order, cores, STEADY_IMAGES)[3]
    return steady_interval(image_end)


def _run(
    graph: TaskGraph, times: TaskTimes, order: NDArray[np.int64], cores: int, images: int
) -> tuple[NDArray[np.float64], ...]:
    """Starts, ends and ends of senders of the last image, and the end of every image."""
    from imccompiler.passes import replay_kernel  # noqa: PLC0415

    count = len(graph)
    place = np.empty(count, np.int64)
    place[order] = np.arange(count)
    after = np.repeat(np.arange(count), graph.before.counts)
    early = after[place[after] < place[graph.before.values]]
    if len(early):
        raise PassError(f"task {early[0]} stands before one it needs", where="imc.order")
    successor_start, successors = graph.successors()
    start, end, peer_end = np.zeros(count), np.zeros(count), np.zeros(count)
    image_end = np.zeros(images)
    replay_kernel.run(
        order,
        graph.core,
        graph.peer,
        graph.uses_memory,
        times.own_ns,
        times.sender_ns,
        times.switch_ns,
        times.lead_ns + times.request_ns,
        successor_start,
        successors,
        graph.before.counts,
        cores,
        images,
        start,
        end,
        peer_end,
        image_end,
    )
    return start, end, peer_end, np.maximum.accumulate(image_end)
