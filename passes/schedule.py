"""`schedule`: the grain of the work and the order of all tasks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from imccompiler.errors import PassError
from imccompiler.ir.decisions import Grain, Order
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, ImcPass, SolverRecord
from imccompiler.passes.bounds import Bound, latency_bound
from imccompiler.passes.build import Built, build
from imccompiler.passes.durations import Durations, TaskTimes
from imccompiler.passes.listing import Schedule, list_schedule, schedule_in_order
from imccompiler.passes.taskgraph import Kind

ORDER = "imc.order"


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A task graph with its times and its schedule."""

    built: Built
    times: TaskTimes
    schedule: Schedule
    bound: Bound


@dataclass(frozen=True)
class SchedulePass(ImcPass):
    """Decides `grain` of every matrix product and the module's `imc.order`.

    List scheduling orders all tasks of one image; on small graphs, from effort 1 on, CP-SAT
    improves that order within its budget and proves a bound.

    Options:
        grain: Pieces of each part; 0 chooses.
        solver_tasks: Largest graph that is given to CP-SAT.

    On entry: every `imc.matmul` has a placement. On exit: each has a grain, and the module has
    an order that is valid for its task graph.
    """

    name: ClassVar[str] = "schedule"
    grain: int = 0
    solver_tasks: int = 800

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Set the grain, list, improve."""
        began = time.perf_counter()
        for op in module.body.block.ops:
            if isinstance(op, MatmulOp):
                if op.placement is None:
                    raise PassError("is not placed", where="schedule", hint="run `place` first")
                if op.grain is None:
                    op.properties["grain"] = Grain(self.grain or 6)
        if ORDER in module.attributes:
            planned(context, module)  # verifies the order that stands
            return
        policy = "throughput" if context.objective == "throughput" else "latency"
        module.attributes[ORDER] = Order(policy, 0.0, 0.0)
        plan = planned(context, module)
        value, bound = plan.schedule.makespan_ns, plan.bound.latency_ns
        status, solver = "heuristic", "list scheduling"
        tasks: tuple[int, ...] = ()
        if context.effort > 0 and len(plan.built.graph.tasks) <= self.solver_tasks:
            from imccompiler.passes.improve import improve_order  # noqa: PLC0415

            better = improve_order(plan, context)
            solver, status = "CP-SAT", better.status
            bound = max(bound, better.bound_ns)
            if better.makespan_ns < value:
                value, tasks = better.makespan_ns, better.order
        module.attributes[ORDER] = Order(policy, value, bound, tasks)
        context.solver_records.append(
            SolverRecord(self.name, solver, status, value, bound, time.perf_counter() - began)
        )


def planned(context: CompileContext, module: ModuleOp) -> Planned:
    """The schedule that the module's order describes.

    Raises:
        PassError: The module has no order, or one that its task graph does not allow.
    """
    order = module.attributes.get(ORDER)
    if not isinstance(order, Order):
        raise PassError("the module has no order", hint="run `schedule` first")
    built = build(context, module)

    def compute() -> Planned:
        times = Durations(context.machine, built.functions).of(built.graph)
        cores = context.machine.core_count
        if order.tasks:
            schedule = schedule_in_order(built.graph, times, order.tasks, cores)
        else:
            schedule = list_schedule(built.graph, times, priorities(built), cores)
        bound = latency_bound(built.graph, times, cores)
        return Planned(built, times, schedule, bound)

    return context.analysis(f"schedule {order.policy} {hash(order.tasks)}", module, compute)


def priorities(built: Built) -> list[int]:
    """Layer first, in it what others wait for (loads, messages, copies), then rank, then number.

    Letting an earlier layer finish first keeps cores that share layers in step; row-first
    orders stall them on late rows of a far layer.
    """
    tasks = built.graph.tasks
    keys = np.lexsort(
        (
            np.arange(len(tasks)),
            np.array([t.rank for t in tasks]),
            np.array([t.kind in (Kind.COMPUTE, Kind.DIGITAL) for t in tasks]),
            np.array([t.layer for t in tasks]),
        )
    )
    place = np.empty(len(tasks), np.int64)
    place[keys] = np.arange(len(tasks))
    return place.tolist()
