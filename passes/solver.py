"""Models for CP-SAT: the one place that knows OR-Tools."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from imccompiler.passes.durations import TaskTimes
from imccompiler.passes.replay import Schedule
from imccompiler.passes.taskgraph import Kind, TaskGraph

DETERMINISTIC_SECONDS = {1: 0.5, 2: 10.0, 3: 60.0}
"""Budget by effort, in CP-SAT's deterministic time: the same on every machine."""
HAIR_NS = 1e-6  # so that sums of times round down to what they are


@dataclass(frozen=True, slots=True)
class SolvedOrder:
    """What CP-SAT found: `optimal`, `feasible` or `infeasible` (nothing better than the hint)."""

    status: str
    order: tuple[int, ...]
    makespan_ns: float
    bound_ns: float


def solve_order(
    graph: TaskGraph, times: TaskTimes, hint: Schedule, *, effort: int, seed: int
) -> SolvedOrder:
    """Least makespan of a task graph, starting from a schedule.

    Every core does one task at a time, the receiver of a message comes no later than its lead, and
    the global memory and each sender's switch serve one transfer at a time. Times are rounded
    down, so that a bound that is proven holds for the unrounded times, too.
    """
    from ortools.sat.python import cp_model  # noqa: PLC0415

    # data
    scale = 1 if hint.makespan_ns < 1e9 else 1000  # whole ns, or us for very long schedules
    own, sent, switched, lead, asked, begun = (
        [int(t // scale) for t in array.tolist()]
        for array in (
            times.own_ns,
            times.sender_ns,
            times.switch_ns,
            np.ceil(times.lead_ns / scale) * scale,
            np.ceil(times.request_ns / scale) * scale,
            hint.end_ns - times.own_ns + HAIR_NS,  # a load may have waited since its start
        )
    )
    horizon = int(hint.makespan_ns // scale) + len(own)
    # variables
    model = cp_model.CpModel()
    start = [model.new_int_var(0, horizon, f"s{i}") for i in range(len(own))]
    makespan = model.new_int_var(0, horizon, "makespan")
    on_core: dict[int, list[cp_model.IntervalVar]] = {}
    on_switch: dict[int, list[cp_model.IntervalVar]] = {}
    tasks, predecessors = graph.tasks, graph.predecessors
    for i, task in enumerate(tasks):
        interval = model.new_fixed_size_interval_var(start[i] + lead[i], own[i] - lead[i], f"t{i}")
        on_core.setdefault(task.core, []).append(interval)
        if task.kind is Kind.MESSAGE:
            side = model.new_fixed_size_interval_var(start[i], sent[i], f"p{i}")
            on_core.setdefault(task.peer, []).append(side)
            travel = model.new_fixed_size_interval_var(start[i], switched[i], f"w{i}")
            on_switch.setdefault(task.peer, []).append(travel)
        elif task.kind in (Kind.LOAD, Kind.STORE):
            served = switched[i] - asked[i]
            travel = model.new_fixed_size_interval_var(start[i] + asked[i], served, f"w{i}")
            on_switch.setdefault(-1, []).append(travel)
    # constraints
    for intervals in (*on_core.values(), *on_switch.values()):
        model.add_no_overlap(intervals)
    for i, before in enumerate(predecessors):
        for p in before:
            same_core = tasks[p].core == tasks[i].core
            model.add(start[i] >= start[p] + own[p] - (lead[i] if same_core else 0))
        model.add(makespan >= start[i] + own[i])
        model.add_hint(start[i], begun[i])
    # objective
    model.minimize(makespan)
    # solve
    solver = cp_model.CpSolver()
    solver.parameters.num_workers = 1
    solver.parameters.random_seed = seed
    solver.parameters.max_deterministic_time = DETERMINISTIC_SECONDS[effort]
    status = solver.solve(model)
    bound = solver.best_objective_bound * scale
    if status not in (cp_model.OPTIMAL, cp_model.FEASIBLE):
        return SolvedOrder("infeasible", (), hint.makespan_ns, max(0.0, bound))
    begins = [solver.value(s) for s in start]
    order = _topological(predecessors, begins)
    name = "optimal" if status == cp_model.OPTIMAL else "feasible"
    return SolvedOrder(name, order, solver.objective_value * scale, bound)


def _topological(predecessors: Sequence[tuple[int, ...]], begins: Sequence[int]) -> tuple[int, ...]:
    """Tasks by begin, but never before what they need: rounded times can coincide or cross."""
    successors: list[list[int]] = [[] for _ in begins]
    missing = [len(set(before)) for before in predecessors]
    for task, before in enumerate(predecessors):
        for p in set(before):
            successors[p].append(task)
    ready = [(begins[i], i) for i, count in enumerate(missing) if count == 0]
    heapq.heapify(ready)
    order: list[int] = []
    while ready:
        _, task = heapq.heappop(ready)
        order.append(task)
        for s in successors[task]:
            missing[s] -= 1
            if missing[s] == 0:
                heapq.heappush(ready, (begins[s], s))
    return tuple(order)
