"""`estimate`: latency, interval, energy, area and power of the mapped network, with bounds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from imccompiler.cost.area import area_mm2
from imccompiler.cost.energy import COMPONENTS, mvm_pj, static_mw, total_pj
from imccompiler.errors import PassError
from imccompiler.hardware.cores import crossbar_kinds
from imccompiler.hardware.weights import outputs_per_crossbar
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, ImcPass
from imccompiler.passes.replay import steady_interval_ns
from imccompiler.passes.schedule import planned, planned_bound

ESTIMATE = "estimate"


@dataclass(frozen=True, slots=True)
class Estimate:
    """What the compiler expects of its program.

    Attributes:
        latency_ns: Planned time of one image.
        interval_ns: Planned time between images in a steady stream.
        energy_pj: Of one image by component.
        energy_pj_by_layer: Of one image by layer, without the static part.
        area_mm2: Of the whole chip.
        power_mw: Energy of an image over the interval.
        latency_bound_ns, latency_binds: No order of the tasks is faster; what makes it so.
        interval_bound_ns, interval_binds: The same for the interval.
        energy_bound_pj, energy_binds: No mapping needs less; what it consists of.
    """

    latency_ns: float
    interval_ns: float
    energy_pj: Mapping[str, float]
    energy_pj_by_layer: Mapping[str, float]
    area_mm2: float
    power_mw: float
    latency_bound_ns: float
    latency_binds: str
    interval_bound_ns: float
    interval_binds: str
    energy_bound_pj: float
    energy_binds: str


@dataclass(frozen=True)
class EstimatePass(ImcPass):
    """Estimates the emitted program from its plan and the cost model, without running it.

    On entry: `emit` has run. On exit: the compile context holds an `Estimate`.
    """

    name: ClassVar[str] = "estimate"

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Compute the estimate."""
        context.analysis(ESTIMATE, module, lambda: estimate(context, module))


def estimate(context: CompileContext, module: ModuleOp) -> Estimate:
    """The estimate of a module whose program is emitted.

    Raises:
        PassError: There is no program yet.
    """
    program, machine = context.program, context.machine
    if program is None:
        raise PassError("there is no program to estimate", hint="run `emit` before `estimate`")
    plan = planned(context, module)
    bound = planned_bound(context, module)
    latency = plan.schedule.makespan_ns
    interval = steady_interval_ns(plan.built.graph, plan.times, plan.schedule, machine.core_count)
    spent = _dynamic_pj(context)
    components: dict[str, float] = dict(zip(COMPONENTS, spent.sum(axis=0).tolist(), strict=True))
    active = np.flatnonzero(np.diff(program.core_start)).tolist()
    components["static"] = static_mw(machine, active) * latency  # mW ns = pJ
    by_layer: dict[str, float] = {}
    for name, value in zip(program.layers, spent.sum(axis=1).tolist(), strict=True):
        by_layer[name] = by_layer.get(name, 0.0) + value
    return Estimate(
        latency_ns=latency,
        interval_ns=interval,
        energy_pj=components,
        energy_pj_by_layer=by_layer,
        area_mm2=sum(area_mm2(machine).values()),
        power_mw=sum(components.values()) / interval if interval else 0.0,
        latency_bound_ns=bound.latency_ns,
        latency_binds=bound.binds,
        interval_bound_ns=bound.interval_ns,
        interval_binds=bound.interval_binds,
        energy_bound_pj=_least_products_pj(context, module),
        energy_binds="crossbar products with every cell in use",
    )


def _dynamic_pj(context: CompileContext) -> NDArray[np.float64]:
    """Energy of one image, shape (layers, components), from how often instructions run."""
    from imccompiler.simulator.timing import spent_pj  # noqa: PLC0415 (loads the kernel)

    if context.program is None:
        raise PassError("there is no program to estimate", hint="run `emit` before `estimate`")
    return spent_pj(context.program, context.machine)


def _least_products_pj(context: CompileContext, module: ModuleOp) -> float:
    """Energy of the fewest crossbar products that the multiply-accumulates allow.

    A product does rows * outputs multiply-accumulates at most, and costs the same if it does less.
    Each layer is on the kind of core where that is least.
    """
    machine = context.machine
    layers = [
        (op.macs, op.integer.weight_bits)
        for op in module.body.block.ops
        if isinstance(op, MatmulOp) and op.integer is not None
    ]
    least = np.full(len(layers), np.inf)
    for kind in (machine.core_kinds[name] for name in crossbar_kinds(machine)):
        held = {b: kind.crossbar.rows * outputs_per_crossbar(kind, b) for _, b in layers}
        if not all(held.values()):
            continue  # not even one weight fits a crossbar
        products = np.array([ceil(macs / held[bits]) for macs, bits in layers], np.int64)
        spent = total_pj(mvm_pj(kind, machine.activation_bits, products))
        least = np.minimum(least, spent)
    return sum(least.tolist(), 0.0)
