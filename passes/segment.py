"""`segment`: which layers' weights are on the chip together, where it does not hold all at once."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from imccompiler.errors import PassError
from imccompiler.hardware.schema import Machine
from imccompiler.ir.decisions import Segment
from imccompiler.passes.base import CompileContext, ImcPass, SolverRecord
from imccompiler.passes.build import layer_name
from imccompiler.passes.capacity import does_not_fit, no_room
from imccompiler.passes.cuts import blocks_of, crossbars_of_copy, crossbars_of_unit, cut_outputs
from imccompiler.passes.families import families, share
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.options import finest_option, layer_options, smallest_largest_part
from imccompiler.passes.reloads import reload_ns_per_crossbar

SEGMENT = "segment"


@dataclass(frozen=True)
class SegmentPass(ImcPass):
    """Decides `segment` of every matrix product if one copy of each does not fit the chip.

    Layers that follow each other share a segment. Where the segments begin is chosen by dynamic
    programming for the least time of computing and of loading weights, once for segments
    that take the whole chip in turn, once for segments that take turns on its two halves, so
    that one half computes while the other gets its weights. A layer that is larger than a segment
    is cut by its outputs. Layers are cut only where cells can be rewritten (`cell.rewritable`).

    Options:
        fill: Share of a segment's crossbars that may be used; the rest is slack for packing.

    On entry: every `imc.matmul` has a tiling. On exit: all weights fit the chip at once, or every
    product has a segment. Raises `DoesNotFitError` with the demand and the levers otherwise.
    """

    name: ClassVar[str] = "segment"
    fill: float = 0.9

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Add up one copy of each layer; find segments if that is too much."""
        began = time.perf_counter()
        machine = context.machine
        if not 0 < self.fill <= 1:
            raise PassError("must be above 0 and at most 1", where="segment{fill}")
        capacity = machine.main_kind.crossbars * machine.core_count
        standing = [op for family in families(module) for op in family if op.segment is not None]
        if standing:
            self._keep(module)
            return
        demand = sum(crossbars_of_copy(f[0], context) for f in families(module))
        if demand <= capacity:
            return
        if not machine.main_kind.cell.rewritable:
            raise does_not_fit(demand, capacity, machine.core_count)
        unit = max(crossbars_of_unit(family[0], context) for family in families(module))
        largest = max(int(capacity * self.fill), min(unit, capacity))
        halves = machine.core_count > 1 and unit <= largest // 2
        cut_outputs(module, context, largest // 2 if halves else largest)
        work = _works(module, context)
        plans = [_divide(work, largest, overlap=False)]
        if halves:
            plans.append(_divide(work, largest // 2, overlap=True))
        best = min(plans, key=lambda plan: plan.time_ns)
        self._assign(module, best, machine)
        context.solver_records.append(
            SolverRecord(
                self.name,
                "dynamic programming",
                "heuristic",
                best.time_ns,
                0.0,
                time.perf_counter() - began,
            )
        )
        context.notes.append(
            f"the weights do not fit the chip: they are loaded in {best.number[-1] + 1} segments"
            + (", while the other half computes" if best.overlap else "")
        )

    def _keep(self, module: ModuleOp) -> None:
        for family in families(module):
            if family[0].segment is None:
                raise PassError(
                    "has no segment while others have one",
                    where=layer_name(family[0]),
                    hint="pin the segment of all layers or of none",
                )
            share(family, SEGMENT)

    def _assign(self, module: ModuleOp, plan: _Plan, machine: Machine) -> None:
        cores = machine.core_count
        half = cores // 2
        for family, number in zip(families(module), plan.number, strict=True):
            if not plan.overlap:
                segment = Segment(number, 0, cores)
            elif number % 2 == 0:
                segment = Segment(number, 0, half)
            else:
                segment = Segment(number, half, half)
            family[0].properties[SEGMENT] = segment
            share(family, SEGMENT)


class _Works(NamedTuple):
    """Of each layer's smallest copy: crossbars, and its time (ns); and the time to load one."""

    crossbars: NDArray[np.float64]
    time_ns: NDArray[np.float64]
    reload_ns: float


@dataclass(frozen=True, slots=True)
class _Plan:
    """The segment of each layer, and what all of them take."""

    number: Sequence[int]
    time_ns: float
    overlap: bool


def _works(module: ModuleOp, context: CompileContext) -> _Works:
    layouts = assign_layouts(module)
    crossbars: list[float] = []
    times: list[float] = []
    for family in families(module):
        head = family[0]
        options = layer_options(head, layouts[head.result].whole, context)
        smallest = (
            options[0] if options else finest_option(head, layouts[head.result].whole, context)
        )
        if smallest is None:
            cores, room = context.machine.core_count, context.machine.main_kind.crossbars
            part = smallest_largest_part(blocks_of(head, context), context.machine)
            raise no_room(layer_name(head), part, room, cores)
        crossbars.append(smallest.crossbars)
        times.append(smallest.time_ns * len(family))
    return _Works(np.array(crossbars), np.array(times), reload_ns_per_crossbar(context))


def _divide(work: _Works, capacity: int, *, overlap: bool) -> _Plan:
    """Where segments of so many crossbars begin, by dynamic programming.

    A segment of layers with demands d and times t for one copy, on C crossbars in all, computes
    for at least (sum sqrt(t d))^2 / C: by Lagrange, copies in proportion to sqrt(t / d) are best,
    each as fast as its number. Loading takes `reload_ns` C, since all weights come from one
    memory. The C between the demand and the capacity at which the sum, or with `overlap` the
    larger of both, is least is taken.
    """
    count = len(work.crossbars)
    demand = np.concatenate([[0.0], np.cumsum(work.crossbars)])
    root = np.concatenate([[0.0], np.cumsum(np.sqrt(work.time_ns * work.crossbars))])
    best, came_from = np.full(count + 1, np.inf), np.zeros(count + 1, np.int64)
    best[0] = 0.0
    for end in range(1, count + 1):
        first = int(np.searchsorted(demand, demand[end] - capacity))
        first = min(first, end - 1)  # a layer by itself is never larger: `cut_outputs` saw to that
        begin = np.arange(first, end)
        least, roots = demand[end] - demand[begin], root[end] - root[begin]
        taken = np.clip(roots / np.sqrt(work.reload_ns), least, max(capacity, least.min()))
        compute, reload = roots**2 / taken, work.reload_ns * taken
        total = best[begin] + (np.maximum(compute, reload) if overlap else compute + reload)
        chosen = int(total.argmin())
        best[end], came_from[end] = total[chosen], begin[chosen]
    edges = [count]
    while edges[-1] > 0:
        edges.append(int(came_from[edges[-1]]))
    edges.reverse()
    sizes = np.diff(edges)
    number = np.repeat(np.arange(len(sizes)), sizes).tolist()
    return _Plan(number, float(best[count]), overlap)
