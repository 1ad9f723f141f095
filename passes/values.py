"""Where tensors are: their layout, the tiles they are made of, and how a core gets a box of one."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from imccompiler.passes.geometry import Box, Layout
from imccompiler.passes.moves import (
    copy_template,
    fill_template,
    holes_of,
    message_cuts,
    message_pieces,
    receive_template,
    send_template,
)
from imccompiler.passes.taskgraph import Kind, Side, Task, TaskGraph
from imccompiler.passes.template import Template

Done = tuple[tuple[Box, int], ...]
"""Boxes and the tasks that complete them."""


def tasks_for(done: Done, part: Box | None = None) -> tuple[int, ...]:
    """The tasks that complete some part of what `done` lists."""
    if part is None or len(done) == 1:
        return tuple([task for _, task in done])
    return tuple([task for box, task in done if box.meets(part)])


@dataclass(frozen=True, slots=True)
class Tile:
    """A box of a tensor in a buffer of a core; `done` says which tasks complete which part."""

    core: int
    box: Box
    buffer: int
    done: Done


@dataclass(slots=True)
class Value:
    """A tensor: disjoint tiles that cover it."""

    layout: Layout
    element_bytes: int
    zero_point: int
    tiles: list[Tile] = field(default_factory=list[Tile])
    _boxes: NDArray[np.int64] | None = None

    def same_order(self, other: Value) -> bool:
        """Whether the bytes of both, which have one size, mean their elements in one order."""
        return self.layout == other.layout or (self.layout.is_onnx and other.layout.is_onnx)

    def overlapping(self, box: Box) -> list[tuple[Tile, Box]]:
        """Tiles that have a part of `box`, with that part."""
        if self._boxes is None or len(self._boxes) != len(self.tiles):
            self._boxes = np.array([t.box for t in self.tiles], np.int64).reshape(-1, 6)
        b = self._boxes
        hit = (
            (b[:, 0] < box.y1)
            & (b[:, 1] > box.y0)
            & (b[:, 2] < box.x1)
            & (b[:, 3] > box.x0)
            & (b[:, 4] < box.c1)
            & (b[:, 5] > box.c0)
        )
        found: list[tuple[Tile, Box]] = []
        for index in np.flatnonzero(hit):
            tile = self.tiles[index]
            part = tile.box.intersect(box)
            if part is not None:
                found.append((tile, part))
        return found


class Gatherer:
    """Brings boxes of values to cores: copies, messages and padding, each made once."""

    def __init__(self, graph: TaskGraph) -> None:
        self._graph = graph
        self._held: dict[tuple[int, int, Box, int], tuple[int, Done]] = {}
        self._moves: dict[tuple[object, ...], Template] = {}
        self._fills: dict[tuple[object, ...], Template] = {}

    def gather(
        self, value: Value, box: Box, core: int, layer: int, rank: int, padding: int = 0
    ) -> tuple[int, Done]:
        """A buffer on `core` that holds `box` of a value.

        Parts of the box outside the tensor are filled with the code `padding`.

        Returns:
            The buffer and which tasks fill which part. It may be the buffer of a tile itself.
        """
        key = (id(value), core, box, padding)
        held = self._held.get(key)
        if held is not None:
            return held
        whole = value.layout.whole
        parts = value.overlapping(box)
        if len(parts) == 1 and parts[0][0].core == core and parts[0][0].box == box:
            result = (parts[0][0].buffer, parts[0][0].done)
        else:
            buffer = self._graph.buffer(core, box.size * value.element_bytes)
            # filled no sooner than there is data, so that the buffer is not held in vain
            after = tasks_for(parts[0][0].done, parts[0][1]) if parts else ()
            done = self.fill(box, whole, core, buffer, layer, rank, padding, after)
            done += self.bring(value, box, core, buffer, box, 0, layer, rank)
            result = (buffer, done)
        self._held[key] = result
        return result

    def fill(
        self,
        box: Box,
        whole: Box,
        core: int,
        buffer: int,
        layer: int,
        rank: int,
        padding: int,
        after: tuple[int, ...],
    ) -> Done:
        """Fill what lies outside the tensor."""
        holes = holes_of(box, whole._replace(c0=box.c0, c1=box.c1))
        if not holes:
            return ()
        moved = tuple(
            h._replace(y0=h.y0 - box.y0, y1=h.y1 - box.y0, x0=h.x0 - box.x0, x1=h.x1 - box.x0)
            for h in holes
        )
        origin = Box(0, box.height, 0, box.width, box.c0, box.c1)
        key = (moved, origin, padding)
        template = self._fills.get(key)
        if template is None:
            template = self._fills[key] = fill_template(moved, origin, padding)
        task = Task(Kind.COPY, core, layer, rank, Side(template, (buffer,)))
        return ((box, self._graph.add(task, after)),)

    def bring(
        self,
        value: Value,
        box: Box,
        core: int,
        buffer: int,
        target: Box,
        channel_shift: int,
        layer: int,
        rank: int,
    ) -> Done:
        """Copy or send all of `box` into `target` in a buffer, channels moved by a shift."""
        done: list[tuple[Box, int]] = []
        for tile, part in value.overlapping(box):
            target_part = part.shift_channels(channel_shift)
            if tile.core == core:
                side = self._copy(part, tile, target_part, target, value, buffer)
                copy = Task(Kind.COPY, core, layer, rank, side)
                number = self._graph.add(copy, tasks_for(tile.done, part))
            else:
                number = self._message(
                    layer, rank, part, tile, target_part, target, value, core, buffer
                )
            done.append((target_part, number))
        return tuple(done)

    def _copy(
        self, part: Box, tile: Tile, target_part: Box, target: Box, value: Value, buffer: int
    ) -> Side:
        size = value.element_bytes
        key = ("copy", part.shape, tile.box.shape[1:], target.shape[1:], size)
        template = self._moves.get(key)
        if template is None:
            template = self._moves[key] = copy_template(part, tile.box, target, size)
        offsets = (tile.box.offset_of(part, size), target.offset_of(target_part, size))
        return Side(template, (tile.buffer, buffer), (), offsets)

    def _message(
        self,
        layer: int,
        rank: int,
        part: Box,
        tile: Tile,
        target_part: Box,
        target: Box,
        value: Value,
        core: int,
        buffer: int,
    ) -> int:
        size = value.element_bytes
        cuts = message_cuts(part, tile.box, target)
        shape = part.shape
        key = ("send", shape, tile.box.shape[1:], cuts, size)
        send = self._moves.get(key)
        if send is None:
            send = self._moves[key] = send_template(part, tile.box, cuts, size)
        key = ("receive", shape, target.shape[1:], cuts, size)
        receive = self._moves.get(key)
        if receive is None:
            receive = self._moves[key] = receive_template(target_part, target, cuts, size)
        pieces = message_pieces(part, cuts)
        task = Task(
            Kind.MESSAGE,
            core,
            layer,
            rank,
            Side(receive, (buffer,), (tile.core,), (target.offset_of(target_part, size),)),
            tile.core,
            Side(send, (tile.buffer,), (core,), (tile.box.offset_of(part, size),)),
            (pieces, part.size * size // pieces),
        )
        return self._graph.add(task, tasks_for(tile.done, part))
