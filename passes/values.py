"""Where tensors are: their layout, the tiles they are made of, and which tasks complete them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from imccompiler.passes.boxes import Boxes, meets, table
from imccompiler.passes.geometry import Box, Layout
from imccompiler.passes.ragged import Ints, Lists, spread, starts_of


class Done(NamedTuple):
    """Lists of (box, task): the tasks that complete the boxes of something, and which boxes."""

    counts: Ints
    boxes: Boxes
    tasks: Ints

    @staticmethod
    def empty(lists: int = 0) -> Done:
        """So many empty lists."""
        none = np.zeros(0, np.int64)
        return Done(np.zeros(lists, np.int64), none.reshape(0, 6), none)

    @staticmethod
    def single(boxes: Boxes, tasks: Ints) -> Done:
        """Lists of one box each."""
        return Done(np.ones(len(tasks), np.int64), boxes, tasks)

    @staticmethod
    def grouped(lists: int, owner: Ints, boxes: Boxes, tasks: Ints) -> Done:
        """So many lists from entries in any order, each with the number of its list."""
        order = np.argsort(owner, kind="stable")
        return Done(np.bincount(owner, minlength=lists), boxes[order], tasks[order])

    @staticmethod
    def after_another(parts: Sequence[Done]) -> Done:
        """All lists of one, then those of the next."""
        counts, boxes, tasks = zip(*parts, strict=True)
        return Done(np.concatenate(counts), np.concatenate(boxes), np.concatenate(tasks))

    @property
    def owner(self) -> Ints:
        """The number of its list for every entry."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    @property
    def all(self) -> Lists:
        """All tasks of each list."""
        return Lists(self.counts, self.tasks)

    def pick(self, rows: Ints) -> Done:
        """The lists of these numbers."""
        counts = self.counts[rows]
        entries = spread(starts_of(self.counts)[rows], counts)
        return Done(counts, self.boxes[entries], self.tasks[entries])

    def meeting(self, rows: Ints, boxes: Boxes) -> Lists:
        """For each of `rows` the tasks in its list that complete some part of its box."""
        counts = self.counts[rows]
        entries = spread(starts_of(self.counts)[rows], counts)
        query = np.repeat(np.arange(len(rows)), counts)
        hit = meets(self.boxes[entries], boxes[query])
        return Lists(np.bincount(query[hit], minlength=len(rows)), self.tasks[entries[hit]])


@dataclass(frozen=True, slots=True, eq=False)
class Tiles:
    """The tiles of a tensor: shape (tiles,), `boxes` (tiles, 6); list i of `done` is of tile i."""

    core: Ints
    boxes: Boxes
    buffer: Ints
    done: Done

    @staticmethod
    def of(tiles: Sequence[tuple[int, Box, int, int]]) -> Tiles:
        """From (core, box, buffer, the task that completes it)."""
        boxes = table(box for _, box, _, _ in tiles)
        core, buffer, task = (np.array([t[i] for t in tiles], np.int64) for i in (0, 2, 3))
        return Tiles(core, boxes, buffer, Done.single(boxes, task))

    @property
    def places(self) -> list[tuple[int, Box]]:
        """Core and box of each tile."""
        boxes = [Box(*row) for row in self.boxes.tolist()]
        return list(zip(self.core.tolist(), boxes, strict=True))


@dataclass(slots=True, eq=False)
class Value:
    """A tensor: disjoint tiles that cover it, once it has been built."""

    layout: Layout
    element_bytes: int
    zero_point: int
    tiles: Tiles = field(default_factory=lambda: Tiles.of(()))

    def same_order(self, other: Value) -> bool:
        """Whether the bytes of both, which have one size, mean their elements in one order."""
        return self.layout == other.layout or (self.layout.is_onnx and other.layout.is_onnx)
