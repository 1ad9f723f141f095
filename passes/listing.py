"""List scheduling: one total order of all tasks, from which each core's order is projected.

A message occupies both of its cores, so that no cyclic wait can arise. Among the tasks that a
core could begin, the one that can begin first is taken; among those that could begin at
once, the one of highest priority.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import InternalError, PassError
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
    own_ns: Sequence[float],
    sender_ns: Sequence[float],
    priority: Sequence[int],
    cores: int,
) -> Schedule:
    """Schedule all tasks.

    Args:
        graph: Tasks and predecessors.
        own_ns: Busy time on the task's core.
        sender_ns: Busy time on the sender's core, for messages.
        priority: Lower is more urgent.
        cores: Number of cores.

    Raises:
        InternalError: The predecessors form a cycle.
    """
    count = len(graph.tasks)
    core_of = [t.core for t in graph.tasks]
    peer_of = [t.peer for t in graph.tasks]
    on_global = [t.kind in (Kind.LOAD, Kind.STORE) for t in graph.tasks]
    successors: list[list[int]] = [[] for _ in range(count)]
    missing = [0] * count
    for task, before in enumerate(graph.predecessors):
        unique = set(before)
        missing[task] = len(unique)
        for b in unique:
            successors[b].append(task)
    ready = [0.0] * count
    start = [0.0] * count
    end = [0.0] * count
    peer_end = [0.0] * count
    free = [0.0] * cores
    global_free = 0.0
    future: list[list[tuple[float, int, int]]] = [[] for _ in range(cores)]
    available: list[list[tuple[int, int]]] = [[] for _ in range(cores)]
    queue: list[tuple[float, int]] = []
    order: list[int] = []
    push, pop = heapq.heappush, heapq.heappop

    def enter(task: int) -> None:
        core = core_of[task]
        push(future[core], (ready[task], priority[task], task))
        push(queue, (max(ready[task], free[core]), core))

    for task in range(count):
        if missing[task] == 0:
            enter(task)

    while queue:
        at, core = pop(queue)
        now = max(at, free[core])
        waiting, able = future[core], available[core]
        while waiting and waiting[0][0] <= now:
            _, p, task = pop(waiting)
            push(able, (p, task))
        if able:
            if now > at:
                push(queue, (now, core))
                continue
            p, task = able[0]
            peer = peer_of[task]
            hold = free[peer] if peer >= 0 else (global_free if on_global[task] else 0.0)
            if hold > now:  # cannot begin yet: others of this core go first
                pop(able)
                push(waiting, (hold, p, task))
                push(queue, (now, core))
                continue
            pop(able)
        elif waiting:
            first = waiting[0][0]
            if first > at:
                push(queue, (first, core))
            continue
        else:
            continue
        start[task] = now
        finish = now + own_ns[task]
        end[task] = finish
        free[core] = finish
        if peer >= 0:
            peer_end[task] = free[peer] = now + sender_ns[task]
            if future[peer] or available[peer]:
                push(queue, (free[peer], peer))
        if on_global[task]:
            global_free = finish
        order.append(task)
        push(queue, (finish, core))
        for s in successors[task]:
            if finish > ready[s]:
                ready[s] = finish
            missing[s] -= 1
            if missing[s] == 0:
                enter(s)
    if len(order) != count:
        raise InternalError(f"{count - len(order)} tasks wait for each other in a cycle")
    return Schedule(
        np.array(order, np.int64),
        np.array(start),
        np.array(end),
        np.array(peer_end),
        max(max(end, default=0.0), max(peer_end, default=0.0)),
    )


def schedule_in_order(
    graph: TaskGraph,
    own_ns: Sequence[float],
    sender_ns: Sequence[float],
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
    global_free = 0.0
    for number in order:
        task = graph.tasks[number]
        before = [end[p] for p in graph.predecessors[number]]
        if min(before, default=0.0) < 0:
            raise PassError(f"task {number} stands before one it needs", where="imc.order")
        now = max(free[task.core], max(before, default=0.0))
        if task.peer >= 0:
            now = max(now, free[task.peer])
        if task.kind in (Kind.LOAD, Kind.STORE):
            now = max(now, global_free)
            global_free = now + own_ns[number]
        start[number] = now
        end[number] = free[task.core] = now + own_ns[number]
        if task.peer >= 0:
            peer_end[number] = free[task.peer] = now + sender_ns[number]
    makespan = max(float(end.max(initial=0.0)), float(peer_end.max(initial=0.0)))
    return Schedule(np.array(order, np.int64), start, end, peer_end, makespan)
