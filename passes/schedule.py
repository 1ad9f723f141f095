"""`schedule`: the grain of the work and the order of all tasks."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from imccompiler.errors import DoesNotFitError, PassError
from imccompiler.hardware.cores import of_cores
from imccompiler.ir.decisions import Grain, Order
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, ImcPass, SolverRecord
from imccompiler.passes.bounds import Bound, longest_tails, overlapping_bound, serial_bound
from imccompiler.passes.build import Built, build
from imccompiler.passes.durations import Durations, TaskTimes
from imccompiler.passes.listing import list_order
from imccompiler.passes.loads import core_loads, unit_loads
from imccompiler.passes.replay import Schedule, replay
from imccompiler.passes.taskgraph import Kind

ORDER = "imc.order"
DEFAULT_GRAIN = 6
FINER = (2, 4, 8)  # times the grain, if the data does not fit the cores' memories otherwise
DEFAULT_ORDER = Order("step", 3_000.0)
PORTFOLIO = (
    DEFAULT_ORDER,
    Order("step", 0.0),
    Order("step", 10_000.0),
    Order("path", 0.0),
    Order("path", 3_000.0),
    Order("number", 3_000.0),
)
"""Orders that are tried from effort 1 on; which is best depends on the network."""


@dataclass(frozen=True, slots=True, eq=False)
class Planned:
    """A task graph with its times and its schedule."""

    built: Built
    times: TaskTimes
    schedule: Schedule


@dataclass(frozen=True)
class SchedulePass(ImcPass):
    """Decides `grain` of every matrix product and the module's `imc.order`.

    List scheduling orders all tasks of one image; from effort 1 on several rules are tried, and
    on small graphs CP-SAT improves the best order within its budget and proves a bound. Where the
    data does not fit the local memories, products are cut finer.

    Options:
        grain: Pieces of each part.
        rule, patience_ns: As in `imc.order`; an empty rule chooses.
        solver_tasks: Largest graph that is given to CP-SAT.

    On entry: every `imc.matmul` has a placement. On exit: each has a grain, and the module has
    an order that is valid for its task graph.
    """

    name: ClassVar[str] = "schedule"
    grain: int = DEFAULT_GRAIN
    rule: Literal["", "step", "path", "number"] = ""
    patience_ns: float = DEFAULT_ORDER.patience_ns
    solver_tasks: int = 800

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Set the grain, list, improve."""
        began = time.perf_counter()
        if self.grain < 1 or self.patience_ns < 0:
            raise PassError("grain must be at least 1, patience_ns at least 0", where=self.name)
        open_ops = [
            op for op in module.body.block.ops if isinstance(op, MatmulOp) and op.grain is None
        ]
        for op in open_ops:
            op.properties["grain"] = Grain(self.grain)
        if ORDER in module.attributes:
            planned(context, module)  # verifies the order that stands
            return
        self._order(context, module, began)
        for factor in FINER:
            if fits_memory(context, module):
                return
            for op in open_ops:
                op.properties["grain"] = Grain(self.grain * factor)
            context.solver_records.pop()
            self._order(context, module, began)

    def _order(self, context: CompileContext, module: ModuleOp, began: float) -> None:
        """Decide the order for the grain that stands."""
        candidates = (Order(self.rule, self.patience_ns),) if self.rule else PORTFOLIO
        if context.effort == 0:
            candidates = candidates[:1]
        order, schedule = self._best(context, module, candidates)
        bound = planned_bound(context, module).latency_ns
        status, solver = "heuristic", "list scheduling"
        plan = planned(context, module)
        if context.effort > 0 and len(plan.built.graph) <= self.solver_tasks:
            from imccompiler.passes.solver import solve_order  # noqa: PLC0415

            found = solve_order(
                plan.built.graph,
                plan.times,
                schedule,
                effort=context.effort,
                seed=context.seed,
            )
            solver, status, bound = "CP-SAT", found.status, max(bound, found.bound_ns)
            if found.order:
                better = Order(order.rule, order.patience_ns, found.order)
                order, schedule = self._best(context, module, (order, better))
        module.attributes[ORDER] = order
        seconds = time.perf_counter() - began
        context.solver_records.append(
            SolverRecord(self.name, solver, status, schedule.makespan_ns, bound, seconds)
        )

    def _best(
        self, context: CompileContext, module: ModuleOp, candidates: tuple[Order, ...]
    ) -> tuple[Order, Schedule]:
        """The order of least makespan, which is left on the module."""
        plans: list[tuple[float, int]] = []
        for index, order in enumerate(candidates):
            module.attributes[ORDER] = order
            plans.append((planned(context, module).schedule.makespan_ns, index))
        order = candidates[min(plans)[1]]
        module.attributes[ORDER] = order
        return order, planned(context, module).schedule


def fits_memory(context: CompileContext, module: ModuleOp) -> bool:
    """Whether every core's memory holds its data."""
    from imccompiler.passes.allocate import allocation  # noqa: PLC0415 (it needs the plan)

    try:
        allocation(context, module)
    except DoesNotFitError:
        return False
    return True


def planned(context: CompileContext, module: ModuleOp) -> Planned:
    """The schedule that the module's order describes.

    Raises:
        PassError: The module has no order, or one that its task graph does not allow.
    """
    order = module.attributes.get(ORDER)
    if not isinstance(order, Order):
        raise PassError("the module has no order", hint="run `schedule` first")

    def compute() -> Planned:
        built = build(context, module)
        times = _times(context, module, built)
        graph, cores = built.graph, context.machine.core_count
        sequence = order.tasks or list_order(
            graph, times, priorities(built, times, order.rule), cores, order.patience_ns
        )
        return Planned(built, times, replay(graph, times, sequence, cores))

    return context.analysis(f"schedule {hash(order)}", module, compute)


def planned_bound(context: CompileContext, module: ModuleOp) -> Bound:
    """Lower bounds of the module's task graph."""

    def compute() -> Bound:
        built, machine = build(context, module), context.machine
        times = _times(context, module, built)
        if (of_cores(machine, lambda kind: kind.rob_size) == 1).all():
            return serial_bound(built.graph, times, core_loads(built.graph, times, machine))
        return overlapping_bound(built.graph, unit_loads(built.graph, machine, built.functions))

    return context.analysis("bound", module, compute)


def _times(context: CompileContext, module: ModuleOp, built: Built) -> TaskTimes:
    def measure() -> TaskTimes:
        return Durations(context.machine, built.functions).of(built.graph)

    return context.analysis("times", module, measure)


def priorities(built: Built, times: TaskTimes, rule: str) -> NDArray[np.int64]:
    """The rank of every task among those that could begin at once; lower goes first.

    `step`: layer by layer, in a layer first what others wait for (loads, messages, copies), then
    the longest path to the end; letting an earlier layer finish first keeps cores that share
    layers in step. `path`: the longest path alone. `number`: layer by layer, as built.
    """
    graph = built.graph
    count, layer = len(graph), graph.layer
    number = np.arange(count)
    computes = (graph.kind == Kind.COMPUTE) | (graph.kind == Kind.DIGITAL)
    if rule == "number":
        keys = np.lexsort((number, graph.rank, computes, layer))
    else:
        path = -longest_tails(graph, times)
        keys = np.lexsort((number, path, computes, layer) if rule == "step" else (number, path))
    place = np.empty(count, np.int64)
    place[keys] = number
    return place
