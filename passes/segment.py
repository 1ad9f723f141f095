"""`segment`: which layers' weights are on the chip together, where it does not hold all at once."""

from __future__ import annotations

import time
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from imccompiler.errors import PassError
from imccompiler.hardware.schema import Machine
from imccompiler.ir.decisions import Segment
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, ImcPass, SolverRecord
from imccompiler.passes.build import layer_name
from imccompiler.passes.capacity import does_not_fit, no_room
from imccompiler.passes.cuts import blocks_of, crossbars_of_copy, crossbars_of_unit, cut_outputs
from imccompiler.passes.families import families, heads, share
from imccompiler.passes.kinds import Stock, kind_name, stock
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
    On a chip with several kinds of core each layer keeps its kind, and only those kinds have
    segments that do not hold all of their layers at once.

    Options:
        fill: Share of a segment's crossbars that may be used; the rest is slack for packing.

    On entry: every `imc.matmul` has a tiling. On exit: all weights fit the chip at once, or every
    product on the kinds of core that are too small has a segment. Raises `DoesNotFitError` with the
    demand and the levers otherwise.
    """

    name: ClassVar[str] = "segment"
    fill: float = 0.9

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Add up one copy of each layer; find segments if that is too much."""
        began = time.perf_counter()
        machine = context.machine
        if not 0 < self.fill <= 1:
            raise PassError("must be above 0 and at most 1", where="segment{fill}")
        together = families(module)
        standing = [op for family in together for op in family if op.segment is not None]
        if standing:
            self._keep(together, {kind_name(op, machine) for op in standing}, machine)
            return
        kinds = _too_small(module, context)
        if not kinds:
            return
        unit = dict.fromkeys(kinds, 0)
        for family in _on_kinds(module, kinds, machine):
            kind = kind_name(family[0], machine)
            unit[kind] = max(unit[kind], crossbars_of_unit(family[0], context))
        largest = {
            name: max(int(of.crossbars * self.fill), min(unit[name], of.crossbars))
            for name, of in kinds.items()
        }
        half = {name: each // 2 for name, each in largest.items()}
        halves = all(_has_halves(of) and unit[name] <= half[name] for name, of in kinds.items())
        cut_outputs(module, context, half if halves else largest)
        work = _works(module, kinds, context)
        plans = [_divide(work, list(largest.values()), overlap=False)]
        if halves:
            plans.append(_divide(work, list(half.values()), overlap=True))
        best = min(plans, key=lambda plan: plan.time_ns)
        self._assign(_on_kinds(module, kinds, machine), best, machine)
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

    def _keep(
        self, together: Sequence[Sequence[MatmulOp]], kinds: Container[str], machine: Machine
    ) -> None:
        """Verify that all layers on these kinds of core have a segment."""
        for family in together:
            if kind_name(family[0], machine) not in kinds:
                continue
            if family[0].segment is None:
                raise PassError(
                    "has no segment while others have one",
                    where=layer_name(family[0]),
                    hint="pin the segment of all layers or of none",
                )
            share(family, SEGMENT)

    def _assign(
        self, together: Sequence[Sequence[MatmulOp]], plan: _Plan, machine: Machine
    ) -> None:
        cores = machine.core_count
        half = cores // 2
        for family, number in zip(together, plan.number, strict=True):
            if not plan.overlap:
                segment = Segment(number, 0, cores)
            elif number % 2 == 0:
                segment = Segment(number, 0, half)
            else:
                segment = Segment(number, half, half)
            family[0].properties[SEGMENT] = segment
            share(family, SEGMENT)


def _too_small(module: ModuleOp, context: CompileContext) -> dict[str, Stock]:
    """The kinds of core whose crossbars do not hold one copy of each of their layers.

    Raises:
        DoesNotFitError: The cells of one of them cannot be rewritten.
    """
    kinds = stock(context.machine)
    demand = dict.fromkeys(kinds, 0)
    for head in heads(module):
        demand[kind_name(head, context.machine)] += crossbars_of_copy(head, context)
    small = {name: of for name, of in kinds.items() if demand[name] > of.crossbars}
    for name, of in small.items():
        if not of.kind.cell.rewritable:
            raise does_not_fit(demand[name], of.crossbars, of.count, kind=of.told)
    return small


def _on_kinds(module: ModuleOp, kinds: Container[str], machine: Machine) -> list[list[MatmulOp]]:
    """The families on some kinds of core."""
    return [f for f in families(module) if kind_name(f[0], machine) in kinds]


def _has_halves(of: Stock) -> bool:
    """Whether the two halves of the chip have as many cores of a kind, one at most left over."""
    half = len(of.cores) // 2
    if half == 0:
        return False
    least = min(of.within(Segment(0, first, half)).count for first in (0, half))
    return 0 < of.count // 2 <= least


class _Works(NamedTuple):
    """What layers need of each kind of core, none but of their own.

    Attributes:
        crossbars, time_ns: Of each layer's smallest copy, shape (kinds, layers).
        reload_ns: Time to load a crossbar, shape (kinds,).
    """

    crossbars: NDArray[np.float64]
    time_ns: NDArray[np.float64]
    reload_ns: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Plan:
    """The segment of each layer, and what all of them take."""

    number: Sequence[int]
    time_ns: float
    overlap: bool


def _works(module: ModuleOp, kinds: Mapping[str, Stock], context: CompileContext) -> _Works:
    layouts, together = assign_layouts(module), _on_kinds(module, kinds, context.machine)
    names = list(kinds)
    crossbars, times = np.zeros((2, len(names), len(together)))
    for index, family in enumerate(together):
        head = family[0]
        kind = kind_name(head, context.machine)
        options = layer_options(head, layouts[head.result].whole, context)
        smallest = (
            options[0] if options else finest_option(head, layouts[head.result].whole, context)
        )
        if smallest is None:
            of = kinds[kind]
            part = smallest_largest_part(blocks_of(head, context), of.count)
            raise no_room(layer_name(head), part, of.kind.crossbars, of.count, of.told)
        crossbars[names.index(kind), index] = smallest.crossbars
        times[names.index(kind), index] = smallest.time_ns * len(family)
    reload = np.array([reload_ns_per_crossbar(context, name) for name in names])
    return _Works(crossbars, times, reload)


def _divide(work: _Works, capacity: Sequence[int], *, overlap: bool) -> _Plan:
    """Where segments of so many crossbars of each kind begin, by dynamic programming.

    A segment of layers with demands d and times t for one copy, on C crossbars in all, computes
    for at least (sum sqrt(t d))^2 / C: by Lagrange, copies in proportion to sqrt(t / d) are best,
    each as fast as its number. Loading takes `reload_ns` C, since all weights come from one
    memory. The C between the demand and the capacity at which the sum, or with `overlap` the
    larger of both, is least is taken. Times of several kinds of core add up.
    """
    kinds, count = work.crossbars.shape
    none = np.zeros((kinds, 1))
    demand = np.hstack([none, np.cumsum(work.crossbars, axis=1)])
    root = np.hstack([none, np.cumsum(np.sqrt(work.time_ns * work.crossbars), axis=1)])
    most, reload_ns = np.array(capacity, np.float64)[:, None], work.reload_ns[:, None]
    best, came_from = np.full(count + 1, np.inf), np.zeros(count + 1, np.int64)
    best[0] = 0.0
    for end in range(1, count + 1):
        limits = zip(demand, demand[:, end] - most[:, 0], strict=True)
        first = max(int(np.searchsorted(each, limit)) for each, limit in limits)
        first = min(first, end - 1)  # a layer by itself is never larger: `cut_outputs` saw to that
        begin = np.arange(first, end)
        least = demand[:, [end]] - demand[:, begin]
        roots = root[:, [end]] - root[:, begin]
        top = np.maximum(most, least.min(axis=1, keepdims=True))
        taken = np.clip(roots / np.sqrt(reload_ns), least, top)
        used = np.where(taken > 0, taken, 1.0)  # a kind without layers takes no time
        compute, reload = (roots**2 / used).sum(axis=0), (reload_ns * taken).sum(axis=0)
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
