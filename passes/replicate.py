"""`replicate`: how many copies each layer gets and over how many cores a copy is spread."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from imccompiler.errors import DoesNotFitError, PassError
from imccompiler.hardware.schema import Machine
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, ImcPass, SolverRecord
from imccompiler.passes.blocks import layer_blocks
from imccompiler.passes.build import layer_name
from imccompiler.passes.capacity import does_not_fit, no_room
from imccompiler.passes.families import share
from imccompiler.passes.geometry import Box, Layout
from imccompiler.passes.kinds import kind_name, stock
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.options import (
    Option,
    finest_option,
    layer_options,
    smallest_largest_part,
)
from imccompiler.passes.place import (
    PLACED,
    Placed,
    by_segment,
    demands_of,
    joined,
    misfit,
    place_parts,
)
from imccompiler.passes.reloads import reload_ns_per_crossbar
from imccompiler.passes.spread import copies_busy_ns, spread

CROWDED = (False, True)  # in the parts that are tried last, if a core may hold several
EXACT_CROSSBARS = 1 << 15  # with more crossbars, dynamic programming would take long
PRICES = 60  # halvings of the price of a crossbar
LIMIT_STEP = 0.96  # by how much fewer crossbars are tried when the parts cannot be packed


@dataclass(frozen=True)
class ReplicatePass(ImcPass):
    """Decides `replication` of every matrix product.

    For latency the sum of the layers' times is least, for throughput the slowest layer's, in
    both cases exactly, over the options of each layer and within the chip's crossbars, of each
    kind of core by itself; for energy every layer gets one copy. A replication that stands is kept.

    Options:
        fill: Share of the crossbars that may be used; the rest is slack for packing cores.

    On entry: every `imc.matmul` has a tiling. On exit: every one has a replication.
    """

    name: ClassVar[str] = "replicate"
    objective: str = ""
    fill: float = 0.97

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Choose one option a layer."""
        began = time.perf_counter()
        machine = context.machine
        objective = self.objective or context.objective
        layouts = assign_layouts(module)
        values, bounds, parts = 0.0, 0.0, list[Placed]()
        for together in by_segment(module):
            options = _options(together, layouts, context)
            segment = together[0][0].segment
            aim = "latency" if segment and objective == "throughput" else objective
            budgets = _budgets(together, options, self.fill, machine)
            chosen, bound, placed = _choose_placeable(
                together, options, aim, budgets, layouts, context
            )
            for family, option in zip(together, chosen, strict=True):
                family[0].properties["replication"] = option.replication
                share(family, "replication")
            values, bounds = values + _value(chosen, aim), bounds + bound
            parts.append(placed)
        placed = joined(parts, machine)
        context.analysis(PLACED, module, lambda: placed)
        context.solver_records.append(
            SolverRecord(
                self.name,
                {"latency": "dynamic programming", "throughput": "bisection"}.get(
                    objective, "one copy each"
                ),
                "optimal" if values <= bounds * (1 + 1e-9) else "feasible",
                values,
                bounds,
                time.perf_counter() - began,
            )
        )


@dataclass(slots=True)
class _Budget:
    """Crossbars that layers on one kind of core may take.

    Attributes:
        layers: Their numbers among the layers that are on the chip together.
        least: With one copy of each.
        limit: At most.
    """

    layers: list[int]
    least: int
    limit: int


def _budgets(
    together: Sequence[Sequence[MatmulOp]],
    options: Sequence[Sequence[Option]],
    fill: float,
    machine: Machine,
) -> dict[str, _Budget]:
    """The budget of each kind of core that layers stand on.

    Raises:
        DoesNotFitError: One copy of each is too much for a kind.
    """
    layers: dict[str, list[int]] = {}
    for index, family in enumerate(together):
        layers.setdefault(kind_name(family[0], machine), []).append(index)
    kinds, budgets = stock(machine), dict[str, _Budget]()
    for name, mine in layers.items():
        of = kinds[name].within(together[0][0].segment)
        least = sum(options[index][0].crossbars for index in mine)
        if least > of.crossbars:
            raise does_not_fit(least, of.crossbars, of.count, kind=of.told)
        budgets[name] = _Budget(mine, least, max(int(of.crossbars * fill), least))
    return budgets


def _options(
    together: Sequence[Sequence[MatmulOp]],
    layouts: Mapping[SSAValue, Layout],
    context: CompileContext,
) -> list[list[Option]]:
    """The options of each family; those of a segment also take time to load."""
    options: list[list[Option]] = []
    for family in together:
        op = family[0]
        if op.tiling is None or op.integer is None:
            raise PassError("has no tiling", where=layer_name(op), hint="run `partition`")
        whole = layouts[op.result].whole
        if op.replication is not None:
            found = [_standing(op, whole, context)]
        else:
            found = layer_options(op, whole, context)
        if not found:
            raise _no_cut(op, context.machine)
        if len(family) > 1 or op.segment is not None:
            load_ns = 0.0
            if op.segment is not None:
                load_ns = reload_ns_per_crossbar(context, kind_name(op, context.machine))
            found = [
                replace(o, time_ns=o.time_ns * len(family) + o.crossbars * load_ns) for o in found
            ]
            found = _falling(found)
        options.append(found)
    return options


def _falling(options: list[Option]) -> list[Option]:
    """Those of growing crossbars that take less time than all smaller ones."""
    kept: list[Option] = []
    for option in options:
        if not kept or option.time_ns < kept[-1].time_ns:
            kept.append(option)
    return kept


def _no_cut(op: MatmulOp, machine: Machine) -> DoesNotFitError:
    """Why no cut of a layer fits: one copy is too large for the chip, or a part for a core."""
    if op.integer is None or op.tiling is None:
        raise PassError("has no tiling", where=layer_name(op), hint="run `partition`")
    blocks = layer_blocks(op, machine, op.integer.weight_bits, op.tiling.pack)
    needed, of = int(spread(blocks, 1, 1).crossbars.sum()), stock(machine)[kind_name(op, machine)]
    if needed > of.crossbars:
        return does_not_fit(needed, of.crossbars, of.count, kind=of.told)
    part = smallest_largest_part(blocks, of.count)
    return no_room(layer_name(op), part, of.kind.crossbars, of.count, of.told)


def _choose_placeable(
    together: Sequence[Sequence[MatmulOp]],
    options: Sequence[Sequence[Option]],
    objective: str,
    budgets: Mapping[str, _Budget],
    layouts: Mapping[SSAValue, Layout],
    context: CompileContext,
) -> tuple[list[Option], float, Placed]:
    """The best choice that packing onto cores also finds room for, its bound, and that packing.

    Each kind of core is chosen for by itself. The limit of one that finds no room is lowered until
    there is some; in the end its layers get one copy each in parts as small as can be, which pack
    best, first no more than there are cores, then more. The bound stays that of the first limits.

    Raises:
        DoesNotFitError: Even these cannot be packed onto the cores.
    """
    machine = context.machine
    chosen, bounds = [each[0] for each in options], list[float]()
    for budget in budgets.values():
        bounds.append(_choose_within(budget, options, objective, chosen))
    bound = max(bounds, default=0.0) if objective == "throughput" else sum(bounds)
    finest = dict.fromkeys(budgets, 0)
    while True:
        wanted = demands_of(together, [o.replication for o in chosen], layouts, context)
        placed = place_parts(wanted, machine)
        if isinstance(placed, Placed):
            return chosen, bound, placed
        kind = kind_name(placed.op, machine)
        budget = budgets[kind]
        if budget.limit > budget.least:
            lower = min(budget.limit - 1, int(budget.limit * LIMIT_STEP))
            budget.limit = max(budget.least, lower)
            _choose_within(budget, options, objective, chosen)
        elif finest[kind] < len(CROWDED):
            crowded = CROWDED[finest[kind]]
            finest[kind] += 1
            for index in budget.layers:
                chosen[index] = _finest(together[index][0], layouts, context, crowded=crowded)
        else:
            raise misfit(wanted, placed, machine)


def _choose_within(
    budget: _Budget, options: Sequence[Sequence[Option]], objective: str, chosen: list[Option]
) -> float:
    """Choose for the layers of a budget; returns the bound."""
    found, bound = choose([options[index] for index in budget.layers], budget.limit, objective)
    for index, option in zip(budget.layers, found, strict=True):
        chosen[index] = option
    return bound


def _finest(
    op: MatmulOp, layouts: Mapping[SSAValue, Layout], context: CompileContext, *, crowded: bool
) -> Option:
    """One copy of a layer in parts as small as can be."""
    whole = layouts[op.result].whole
    if op.replication is not None:
        return _standing(op, whole, context)
    found = finest_option(op, whole, context, crowded=crowded)
    if found is None:
        raise _no_cut(op, context.machine)
    return found


def choose(
    options: Sequence[Sequence[Option]], limit: int, objective: str
) -> tuple[list[Option], float]:
    """One option a layer within `limit` crossbars, and the proven bound of the objective.

    Each layer's options are sorted by growing crossbars and falling time.
    """
    if not options:
        return [], 0.0
    if objective == "throughput":
        return _least_maximum(options, limit)
    if objective == "energy":
        chosen = [layer[0] for layer in options]
        return chosen, _value(chosen, objective)
    return _least_sum(options, limit)


def _value(chosen: Sequence[Option], objective: str) -> float:
    times = [o.time_ns for o in chosen]
    return max(times, default=0.0) if objective == "throughput" else sum(times)


def _least_maximum(options: Sequence[Sequence[Option]], limit: int) -> tuple[list[Option], float]:
    """Bisect the slowest layer's time over all times that occur."""
    candidates = sorted({o.time_ns for layer in options for o in layer})

    def at(ceiling: float) -> list[Option] | None:
        chosen: list[Option] = []
        for layer in options:
            fast = next((o for o in layer if o.time_ns <= ceiling), None)
            if fast is None:
                return None
            chosen.append(fast)
        return chosen if sum(o.crossbars for o in chosen) <= limit else None

    low, high = 0, len(candidates) - 1
    while low < high:
        middle = (low + high) // 2
        if at(candidates[middle]) is None:
            low = middle + 1
        else:
            high = middle
    best = at(candidates[low])
    chosen = best if best is not None else [layer[0] for layer in options]
    return chosen, _value(chosen, "throughput")


def _least_sum(options: Sequence[Sequence[Option]], limit: int) -> tuple[list[Option], float]:
    """Least total time within so many crossbars: exact up to `EXACT_CROSSBARS`."""
    limit = min(limit, sum(layer[-1].crossbars for layer in options))
    return _priced(options, limit) if limit > EXACT_CROSSBARS else _least_sum_exact(options, limit)


def _priced(options: Sequence[Sequence[Option]], limit: int) -> tuple[list[Option], float]:
    """Least total time if crossbars have a price, by bisection of the price.

    For every price p >= 0, the least of time + p crossbars in every layer, less p `limit`, is a
    lower bound (Lagrange). At the lowest price at which the choice fits, it is as good as exact
    where layers have many options; what is left over then goes to the layers that gain most.
    """
    most = max(len(layer) for layer in options)
    size, time = np.zeros((len(options), most)), np.full((len(options), most), np.inf)
    for row, layer in enumerate(options):
        size[row, : len(layer)] = [o.crossbars for o in layer]
        time[row, : len(layer)] = [o.time_ns for o in layer]
    rows = np.arange(len(options))

    def at(price: float) -> tuple[np.ndarray, float]:
        paid = time + price * size
        pick = paid.argmin(axis=1)
        return pick, float(paid[rows, pick].sum()) - price * limit

    low, high = 0.0, 1.0
    while size[rows, at(high)[0]].sum() > limit:
        high *= 2
    bound = max(at(low)[1], at(high)[1])
    for _ in range(PRICES):
        middle = (low + high) / 2
        pick, value = at(middle)
        bound = max(bound, value)
        low, high = (middle, high) if size[rows, pick].sum() > limit else (low, middle)
    pick = at(high)[0]
    left = limit - int(size[rows, pick].sum())
    while True:
        now_size, now_time = size[rows, pick][:, None], time[rows, pick][:, None]
        fits = (size - now_size <= left) & (size > now_size) & (time < now_time)
        if not fits.any():
            break
        with np.errstate(divide="ignore", invalid="ignore"):
            gain = np.where(fits, (now_time - time) / (size - now_size), -np.inf)
        row, option = np.unravel_index(int(gain.argmax()), gain.shape)
        left -= int(size[row, option] - size[row, pick[row]])
        pick[row] = option
    chosen = [layer[int(i)] for layer, i in zip(options, pick, strict=True)]
    return chosen, bound


def _least_sum_exact(options: Sequence[Sequence[Option]], limit: int) -> tuple[list[Option], float]:
    """Dynamic programming over crossbars: least total time with at most so many."""
    best = np.zeros(limit + 1)
    picks: list[np.ndarray] = []
    for layer in options:
        total = np.full(limit + 1, np.inf)
        pick = np.zeros(limit + 1, np.int16)
        for index, option in enumerate(layer):
            size = option.crossbars
            if size > limit:
                break
            candidate = best[: limit + 1 - size] + option.time_ns
            better = candidate < total[size:]
            np.copyto(total[size:], candidate, where=better)
            np.copyto(pick[size:], index, where=better)
        best = total
        picks.append(pick)
    left = limit
    chosen: list[Option] = []
    for layer, pick in zip(reversed(options), reversed(picks), strict=True):
        option = layer[int(pick[left])]
        chosen.append(option)
        left -= option.crossbars
    return chosen[::-1], float(best[limit])


def _standing(op: MatmulOp, whole: Box, context: CompileContext) -> Option:
    """The option that a replication which stands amounts to."""
    r = op.replication
    if r is None or op.integer is None or op.tiling is None:
        raise PassError("has no tiling", where=layer_name(op), hint="run `partition`")
    bits, pack = op.integer.weight_bits, op.tiling.pack
    blocks = layer_blocks(op, context.machine, bits, pack, r.unroll)
    if whole.width % r.unroll:
        raise PassError(
            f"a width of {whole.width} cannot be unrolled by {r.unroll}", where=layer_name(op)
        )
    copy, kind = spread(blocks, r.row_split, r.column_split), kind_name(op, context.machine)
    if r.grid[0] * r.grid[1] != r.copies or copy.crossbars.shape != (r.row_split, r.column_split):
        raise PassError(f"{r} does not suit the layer", where=layer_name(op))
    return Option(
        (r.grid[0], r.grid[1]),
        r.row_split,
        r.column_split,
        r.unroll,
        r.copies * int(copy.crossbars.sum()),
        r.copies * copy.crossbars.size,
        int(copy.crossbars.max()),
        copies_busy_ns([copy], [blocks.grouped(whole)], [r.grid], [op.integer], [kind], context)[0],
    )
