"""Layers that share the crossbars of several kinds of core: who takes what.

One offer a layer is taken, so that the sum of costs is least within the crossbars of every kind: by
dynamic programming where that is quick, else by Lagrangian relaxation (Fisher, Management Science
27(1), 1981). There crossbars of a kind have a price, the same for all layers, a layer takes the
offer of least cost plus price, and prices rise and fall with what is asked of a kind. At each,
layers give up what is too much where they lose least, and what is left goes to those who gain most.
So a layer is on the kind that does it best, unless others gain more from the crossbars there.

For throughput the slowest layer counts first: the least time is bisected that each layer can keep,
and offers that take longer are left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

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
