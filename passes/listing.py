"""List scheduling: one total order of all tasks, from which each core's order is projected.

A message occupies both of its cores, so that no cyclic wait can arise. Among the tasks that a
core could begin, the one that can begin first is taken; among those that could begin at
once, the one of highest priority.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import InternalError
from imccompiler.passes.durations import TaskTimes
from imccompiler.passes.taskgraph import TaskGraph


def list_order(
    graph: TaskGraph,
    times: TaskTimes,
    priority: NDArray[np.int64],
    cores: int,
    patience_ns: float,
) -> NDArray[np.int64]:
    """Order all tasks; returns their numbers.

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

    count, core, peer = len(graph), graph.core, graph.peer
    successor_start, successors = graph.successors()
    uses = np.bincount(core, minlength=cores) + np.bincount(peer[peer >= 0], minlength=cores)
    heap_start = np.concatenate([[0], np.cumsum(uses)])
    order = np.zeros(count, np.int64)
    done = listing_kernel.run(
        core,
        peer,
        graph.uses_memory,
        times.own_ns,
        times.sender_ns,
        times.switch_ns,
        times.lead_ns + times.request_ns,
        priority,
        successor_start,
        successors,
        graph.before.counts.copy(),
        heap_start,
        cores,
        patience_ns,
        order,
    )
    if done != count:
        raise InternalError(f"{count - done} tasks wait for each other in a cycle")
    return order
