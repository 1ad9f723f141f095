"""Which kind of core each layer stands on, where a machine has several with crossbars.

Each layer has offers on each kind: copies and splits with their crossbars and their time, as
`replicate` has them, or one copy with its energy. One offer a layer is taken, so that the sum of
costs is least within the crossbars of every kind: by dynamic programming where that is quick, else
by Lagrangian relaxation (Fisher, Management Science 27(1), 1981). There crossbars of a kind have a
price, the same for all layers, a layer takes the offer of least cost plus price, and prices rise
and fall with what is asked of a kind. At each, layers give up what is too much where they lose
least, and what is left goes to those who gain most. So a layer is on the kind that does it best,
unless others gain more from the crossbars there.

For throughput the slowest layer counts first: the least time is bisected that each layer can keep,
and offers that take longer are left out. A network that is larger than the chip gets its weights in
segments on one kind of core, if that will do, and keeps those on the others: as many crossbars of
that kind as it wants, each at the cost of loading it. The kind is that of least total cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from imccompiler.cost.energy import mvmul_pj, total_pj
from imccompiler.errors import DoesNotFitError
from imccompiler.hardware.weights import outputs_per_crossbar
from imccompiler.ir.decisions import Replication
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext
from imccompiler.passes.blocks import LayerBlocks, layer_blocks
from imccompiler.passes.build import layer_name
from imccompiler.passes.families import families
from imccompiler.passes.geometry import Box
from imccompiler.passes.kinds import Stock, stock
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.options import options_on, smallest_largest_part
from imccompiler.passes.reloads import reload_ns_per_crossbar
from imccompiler.passes.spread import copies_busy_ns, spread

FILLS = (0.97, 1.0)
"""Shares of a kind's crossbars that layers may take: that of `replicate`, then all."""
EXACT = 5e7  # offers times states that dynamic programming may take, about 0.2 s
TURNS = 24  # in which prices change
ASKED = (0.25, 4.0)  # the largest changes in one turn
SLOWER = 4  # turns after which changes are half as large
UNEQUAL = 0.02  # what the last layer pays more than the first

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]


class Offer(NamedTuple):
    """One way to put a layer on a kind of core."""

    kind: int
    crossbars: int
    cost: float


def choose_kinds(module: ModuleOp, context: CompileContext) -> Iterator[tuple[MatmulOp, str]]:
    """The kind of every matrix product that has none, for products with the same weights one.

    The cost is time for latency and for throughput, and energy for energy.

    Raises:
        DoesNotFitError: A layer fits no kind of core, even by itself.
    """
    kinds, layouts = stock(context.machine), assign_layouts(module)
    together = families(module)
    offers = [
        _offers(family, layouts[family[0].result].whole, list(kinds.values()), context)
        for family in together
    ]
    names, market = list(kinds), Market.of(offers, len(kinds))
    room = np.array([of.crossbars for of in kinds.values()], np.int64)
    chosen = market.choose(room, slowest=context.objective == "throughput")
    if chosen is None:
        rewritable = np.array([of.kind.cell.rewritable for of in kinds.values()])
        load = np.array([reload_ns_per_crossbar(context, name) for name in names])
        chosen = market.choose_loaded(room, rewritable, load)
    for family, kind in zip(together, chosen.tolist(), strict=True):
        for op in family:
            if op.kind is None:
                yield op, names[kind]


def _offers(
    family: Sequence[MatmulOp], whole: Box, kinds: Sequence[Stock], context: CompileContext
) -> list[Offer]:
    """What each kind of core offers to layers with the same weights.

    Raises:
        DoesNotFitError: None offers anything.
    """
    op = family[0]
    able = [index for index, of in enumerate(kinds) if _suits(op, of, context)]
    found = [o for i in able for o in _offers_of(i, kinds[i], op, whole, context)]
    if not found:
        raise _fits_none(op, [kinds[i] for i in able] or list(kinds), context)
    return [o._replace(cost=o.cost * len(family)) for o in found]


def _suits(op: MatmulOp, of: Stock, context: CompileContext) -> bool:
    """Whether decisions that stand leave a kind open, and a weight fits its crossbars."""
    if op.kind is not None and op.kind.cores != of.name:
        return False
    if op.placement is not None and not of.cores[list(op.placement.cores)].all():
        return False
    if not outputs_per_crossbar(of.kind, context.machine.weight_bits):
        return False
    standing = op.tiling
    if standing is None:
        return True
    blocks = _blocks(op, of, context)
    return (standing.rows, standing.slices) == (blocks.row_blocks, blocks.slices)


def _blocks(op: MatmulOp, of: Stock, context: CompileContext, unroll: int = 1) -> LayerBlocks:
    bits = op.integer.weight_bits if op.integer is not None else 0
    pack = op.tiling.pack if op.tiling is not None else 0
    return layer_blocks(op, context.machine, bits, pack, unroll, of.kind)


def _offers_of(
    index: int, of: Stock, op: MatmulOp, whole: Box, context: CompileContext
) -> list[Offer]:
    """What a kind of core offers to a layer; nothing if it has no room for a part of it.

    A copy that is larger than all its crossbars is one that `segment` cuts, if it can.
    """
    if op.replication is not None:
        return _standing(index, of, op, whole, context)
    pack = op.tiling.pack if op.tiling is not None else 0
    options = options_on(of.name, op, whole, context, pack)
    offers = [Offer(index, o.crossbars, o.time_ns) for o in options]
    if context.objective == "energy":
        energy_pj = [_energy_pj(op, of, whole, o.unroll, context) for o in options[:1]]
        offers = [o._replace(cost=pj) for o, pj in zip(offers, energy_pj, strict=False)]
    fitting = [o for o in offers if o.crossbars <= of.crossbars]
    if fitting or not of.kind.cell.rewritable or op.window.groups > 1:
        return fitting
    return [_replicated(index, of, op, whole, Replication(1), context)]


def _standing(
    index: int, of: Stock, op: MatmulOp, whole: Box, context: CompileContext
) -> list[Offer]:
    """What a replication that stands amounts to on a kind of core, if it is one there."""
    r = op.replication
    if r is None:
        return []
    copy = spread(_blocks(op, of, context, r.unroll), r.row_split, r.column_split)
    fits = copy.crossbars.shape == (r.row_split, r.column_split)
    if not fits or copy.crossbars.max() > of.kind.crossbars:
        return []
    return [_replicated(index, of, op, whole, r, context)]


def _replicated(
    index: int, of: Stock, op: MatmulOp, whole: Box, r: Replication, context: CompileContext
) -> Offer:
    """A replication on a kind of core."""
    blocks = _blocks(op, of, context, r.unroll)
    copy = spread(blocks, r.row_split, r.column_split)
    crossbars = r.copies * int(copy.crossbars.sum())
    if context.objective == "energy":
        return Offer(index, crossbars, _energy_pj(op, of, whole, r.unroll, context))
    outputs, integers = [blocks.grouped(whole)], [op.integer] if op.integer is not None else []
    time_ns = copies_busy_ns([copy], outputs, [r.grid], integers, [of.name], context)
    return Offer(index, crossbars, time_ns[0])


def _energy_pj(op: MatmulOp, of: Stock, whole: Box, unroll: int, context: CompileContext) -> float:
    """Energy of a layer's products for one image, with their reads and writes of local memory."""
    if op.integer is None:
        return 0.0
    blocks = _blocks(op, of, context, unroll)
    widths = context.machine.weight_bits, context.machine.activation_bits
    window = sum(
        total_pj(mvmul_pj(of.kind, *widths, columns, op.integer.accumulator_bits, rows))
        for rows, columns in spread(blocks, 1, 1).busiest.shapes(blocks.columns_per_crossbar)
    )
    return window * blocks.grouped(whole).positions


def _fits_none(op: MatmulOp, kinds: Sequence[Stock], context: CompileContext) -> DoesNotFitError:
    """Why no kind of core can hold a layer, kind by kind."""
    told: list[str] = []
    demands: list[tuple[int, int]] = []
    for of in kinds:
        if not outputs_per_crossbar(of.kind, context.machine.weight_bits):
            told.append(f"{of.name!r} cannot hold one weight side by side")
            continue
        blocks = _blocks(op, of, context)
        needed = int(spread(blocks, 1, 1).crossbars.sum())
        if needed > of.crossbars:
            demands.append((needed, of.crossbars))
            told.append(f"of kind {of.name!r} it needs {needed} crossbars of {of.crossbars}")
        else:
            part, room = smallest_largest_part(blocks, of.count), of.kind.crossbars
            demands.append((part, room))
            told.append(f"on kind {of.name!r} a part needs {part} crossbars, a core has {room}")
    demand, capacity = min(demands, key=lambda d: d[0] / max(d[1], 1), default=(1, 0))
    return DoesNotFitError(
        "the layer fits no kind of core: " + "; ".join(told),
        demand=demand,
        capacity=capacity,
        unit="crossbars",
        levers=(
            "use more or larger cores of one of these kinds",
            "use cells with more bits, or fewer weight bits",
            "use a machine with cell.rewritable: weights then come in segments",
        ),
        where=layer_name(op),
    )


@dataclass(frozen=True, slots=True, eq=False)
class Market:
    """All layers' offers, one after the other.

    Attributes:
        kinds: How many kinds of core there are.
        layer, kind, crossbars, cost: Of each offer, shape (offers,).
        first: The first offer of each layer, shape (layers,).
    """

    kinds: int
    layer: Ints
    kind: Ints
    crossbars: Ints
    cost: Floats
    first: Ints

    @staticmethod
    def of(offers: Sequence[Sequence[Offer]], kinds: int) -> Market:
        """The offers to each layer; every layer has some."""
        counts = np.array([len(each) for each in offers], np.int64)
        flat = [offer for each in offers for offer in each]
        return Market(
            kinds,
            np.repeat(np.arange(len(counts)), counts),
            np.array([offer.kind for offer in flat], np.int64),
            np.array([offer.crossbars for offer in flat], np.int64),
            np.array([offer.cost for offer in flat], np.float64),
            np.cumsum(counts) - counts,
        )

    def choose(self, room: Ints, *, slowest: bool) -> Ints | None:
        """The kind of each layer, shape (layers,); None if they do not fit into the room.

        With `slowest`, the slowest layer is as fast as can be; else the sum of costs is least.
        """
        if not len(self.first):
            return self.first
        for fill in FILLS:
            within = (room * fill).astype(np.int64)
            picks = self.least_sum(within)
            if picks is not None and slowest:
                picks = self._least_maximum(within, picks)
            chosen = self._packed(within) if picks is None else self.kind[picks]
            if chosen is not None:
                return chosen
        return None

    def choose_loaded(self, room: Ints, rewritable: NDArray[np.bool_], load: Floats) -> Ints:
        """The kind of each layer if one kind's weights come in segments, at a cost a crossbar."""
        best = self._picks(np.zeros(self.kinds))  # if nothing will do, `segment` says why
        least = np.inf
        for kind in np.flatnonzero(rewritable).tolist():
            endless = room.copy()
            endless[kind] = self.crossbars.sum()
            cost = self.cost + np.where(self.kind == kind, load[kind] * self.crossbars, 0.0)
            market = replace(self, cost=cost)
            picks = market.least_sum(endless)
            if picks is not None and cost[picks].sum() < least:
                best, least = picks, float(cost[picks].sum())
        return self.kind[best]

    def _least_maximum(self, room: Ints, picks: Ints) -> Ints:
        """The offers of least cost among those that let the slowest layer be fastest."""
        ceilings = np.unique(self.cost)
        low, high = 0, int(np.searchsorted(ceilings, self.cost[picks].max()))
        while low < high:
            middle = (low + high) // 2
            cost = np.where(self.cost <= ceilings[middle], self.cost, np.inf)
            found = None
            if np.isfinite(np.minimum.reduceat(cost, self.first)).all():
                found = replace(self, cost=cost).least_sum(room)
            if found is None:
                low = middle + 1
            else:
                picks, high = found, middle
        return picks

    def _picks(self, price: Floats) -> Ints:
        """The offer that each layer takes, the first of the best ones.

        Later layers pay a little more, so that equal ones do not all change their kind at once.
        """
        paid = price[self.kind] * self.crossbars
        value = self.cost + paid * (1 + UNEQUAL * self.layer / len(self.first))
        best = np.flatnonzero(value == np.minimum.reduceat(value, self.first)[self.layer])
        return best[np.searchsorted(self.layer[best], np.arange(len(self.first)))]

    def _demand(self, picks: Ints) -> Ints:
        demand = np.zeros(self.kinds, np.int64)
        np.add.at(demand, self.kind[picks], self.crossbars[picks])
        return demand

    def least_sum(self, room: Ints) -> Ints | None:
        """The offers of least total cost within the room, None if none are found."""
        quick = float(np.prod(room + 1.0)) * len(self.cost) <= EXACT
        return self._exactly(room) if quick else self._at_prices(room)

    def _exactly(self, room: Ints) -> Ints | None:
        """Dynamic programming over what is taken of each kind."""
        best = np.zeros(tuple((room + 1).tolist()))
        picks: list[Ints] = []
        for begin, end in pairwise([*self.first.tolist(), len(self.cost)]):
            total, pick = np.full(best.shape, np.inf), np.zeros(best.shape, np.int64)
            for offer in range(begin, end):
                kind, size = int(self.kind[offer]), int(self.crossbars[offer])
                if size > room[kind]:
                    continue
                taken, rest = [slice(None)] * self.kinds, [slice(None)] * self.kinds
                taken[kind], rest[kind] = slice(size, None), slice(0, int(room[kind]) + 1 - size)
                candidate, held = best[tuple(rest)] + self.cost[offer], total[tuple(taken)]
                better = candidate < held
                np.copyto(held, candidate, where=better)
                np.copyto(pick[tuple(taken)], offer, where=better)
            best = total
            picks.append(pick)
        left = room.copy()
        if not np.isfinite(best[tuple(left)]):
            return None
        chosen = np.zeros(len(picks), np.int64)
        for layer in range(len(picks) - 1, -1, -1):
            chosen[layer] = offer = picks[layer][tuple(left)]
            left[self.kind[offer]] -= self.crossbars[offer]
        return chosen

    def _at_prices(self, room: Ints) -> Ints | None:
        """Offers that layers take at prices that follow demand, made to fit and to use the room."""
        picks, price = self._picks(np.zeros(self.kinds)), np.zeros(self.kinds)
        found: Ints | None = None
        for turn in range(TURNS):
            demand, cost = self._demand(picks), float(self.cost[picks].sum())
            fitting = self._within(picks, room)
            if fitting is not None:
                fitting = self._with_the_rest(fitting, room)
                if found is None or self.cost[fitting].sum() < self.cost[found].sum():
                    found = fitting
            if not price.any():
                if (demand <= room).all():
                    break
                price[:] = cost / max(int(room.sum()), 1)
            asked = np.clip(demand / np.maximum(room, 1), *ASKED)
            price *= asked ** (1 / (1 + turn / SLOWER))
            picks = self._picks(price)
        return found

    def _within(self, picks: Ints, room: Ints) -> Ints | None:
        """Other offers for layers on kinds that are asked for too much, those of least loss first.

        The loss is that of cost for each crossbar that a kind gets back.
        """
        picks, left = picks.copy(), room - self._demand(picks)
        while (left < 0).any():
            mine = picks[self.layer]
            same = self.kind[mine] == self.kind
            back = self.crossbars[mine] - np.where(same, self.crossbars, 0)
            able = (left[self.kind[mine]] < 0) & (back > 0) & np.isfinite(self.cost)
            able &= same | (self.crossbars <= left[self.kind])
            if not able.any():
                return None
            loss = np.where(able, self.cost - self.cost[mine], np.inf) / np.maximum(back, 1)
            self._take(int(loss.argmin()), picks, left)
        return picks

    def _with_the_rest(self, picks: Ints, room: Ints) -> Ints:
        """Better offers as long as there are any within what is left, that of most gain first."""
        picks = picks.copy()
        left = room - self._demand(picks)
        while True:
            mine = picks[self.layer]
            back = np.where(self.kind[mine] == self.kind, self.crossbars[mine], 0)
            gain = self.cost[mine] - self.cost
            gain[self.crossbars > left[self.kind] + back] = 0.0
            best = int(gain.argmax())
            if gain[best] <= 0:
                return picks
            self._take(best, picks, left)

    def _take(self, offer: int, picks: Ints, left: Ints) -> None:
        """Let a layer take another offer, in place."""
        layer = self.layer[offer]
        left[self.kind[picks[layer]]] += self.crossbars[picks[layer]]
        left[self.kind[offer]] -= self.crossbars[offer]
        picks[layer] = offer

    def _packed(self, room: Ints) -> Ints | None:
        """Large layers first, each on the kind of whose rest it takes the smallest share."""
        least = np.full((len(self.first), self.kinds), np.inf)
        np.minimum.at(least, (self.layer, self.kind), self.crossbars)
        left, chosen = room.astype(np.float64), np.zeros(len(self.first), np.int64)
        for layer in np.argsort(-least.min(axis=1), kind="stable").tolist():
            share = least[layer] / np.maximum(left, 1e-9)
            kind = int(share.argmin())
            if share[kind] > 1:
                return None
            left[kind] -= least[layer, kind]
            chosen[layer] = kind
        return chosen
