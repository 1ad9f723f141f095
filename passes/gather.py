"""How cores get boxes of tensors: copies, messages and padding, each made once."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from imccompiler.passes.boxes import (
    LOW,
    Boxes,
    extents,
    intersections,
    offsets_of,
    overlapping,
    sizes,
)
from imccompiler.passes.geometry import Box
from imccompiler.passes.moves import (
    copy_template,
    fill_template,
    holes_of,
    message_cuts,
    receive_template,
    send_template,
)
from imccompiler.passes.ragged import Ints, Lists, rows_of
from imccompiler.passes.taskgraph import GraphBuilder, Kind, Sides
from imccompiler.passes.template import Template
from imccompiler.passes.values import Done, Value


class Gathered(NamedTuple):
    """Boxes on cores: the buffer of each, and list i of `done` says which tasks fill box i."""

    buffer: Ints
    done: Done


class Requests(NamedTuple):
    """Boxes that are wanted on cores.

    The tasks that bring a box have its rank in their layer; they come after a task, if it is not
    -1, since before it nobody has room for the box.
    """

    boxes: Boxes
    cores: Ints
    ranks: Ints
    after: Ints

    def pick(self, rows: Ints) -> Requests:
        """Those of these numbers."""
        return Requests(self.boxes[rows], self.cores[rows], self.ranks[rows], self.after[rows])


class Gatherer:
    """Brings boxes of values to cores."""

    def __init__(self, graph: GraphBuilder) -> None:
        self._graph = graph
        self._held: dict[tuple[Value, int], _Held] = {}

    def gather(self, value: Value, wanted: Requests, layer: int, padding: int = 0) -> Gathered:
        """A buffer on each core that holds its box of a value.

        Parts of a box outside the tensor are filled with the code `padding`. The buffer may be
        that of a tile itself, or one that was gathered before.
        """
        held = self._held.setdefault((value, padding), _Held())
        rows, new = held.find(wanted)
        if len(new):
            held.add(self._bring(value, wanted.pick(new), layer, padding))
        return Gathered(held.gathered.buffer[rows], held.gathered.done.pick(rows))

    def _bring(self, value: Value, wanted: Requests, layer: int, padding: int) -> Gathered:
        tiles, count = value.tiles, len(wanted.boxes)
        box, tile = overlapping(wanted.boxes, tiles.boxes)
        whole = (tiles.boxes[tile] == wanted.boxes[box]).all(axis=1)
        whole &= tiles.core[tile] == wanted.cores[box]  # the tile itself serves
        buffer = np.full(count, -1, np.int64)
        buffer[box[whole]] = tiles.buffer[tile[whole]]
        there = tiles.done.pick(tile[whole])
        new = np.flatnonzero(buffer < 0)
        size = sizes(wanted.boxes[new]) * value.element_bytes
        buffer[new] = self._graph.buffers(wanted.cores[new], size)
        holed, filled = self._fill(value, wanted, buffer, new, layer, padding, (box, tile))
        box_moved, tile_moved = box[~whole], tile[~whole]
        parts = intersections(wanted.boxes[box_moved], tiles.boxes[tile_moved])
        target = Target(wanted, buffer).pick(box_moved)
        moved = self.move(value, tile_moved, parts, target, layer)
        owner = np.concatenate([np.repeat(box[whole], there.counts), holed, box_moved])
        boxes = np.concatenate([there.boxes, wanted.boxes[holed], parts])
        tasks = np.concatenate([there.tasks, filled, moved])
        return Gathered(buffer, Done.grouped(count, owner, boxes, tasks))

    def _fill(
        self,
        value: Value,
        wanted: Requests,
        buffer: Ints,
        new: Ints,
        layer: int,
        padding: int,
        data: tuple[Ints, Ints],
    ) -> tuple[Ints, Ints]:
        """Fill what lies outside the tensor: the boxes with such parts, and the task of each.

        A box is filled no sooner than it gets its first data, so that its memory is not held in
        vain; `data` are the pairs (box, tile) that have a common part.
        """
        boxes = wanted.boxes[new]
        grid = np.array([value.layout.whole], np.int64).repeat(len(boxes), axis=0)
        grid[:, 4:] = boxes[:, 4:]
        inside = intersections(boxes, grid)
        holed = (inside != boxes).any(axis=1)
        rows, boxes, inside = new[holed], boxes[holed], inside[holed]
        if not len(rows):
            return rows, rows
        height, width, channels = extents(boxes).T
        y0, x0 = (inside[:, LOW] - boxes[:, LOW])[:, :2].T
        y1, x1 = y0 + inside[:, 1] - inside[:, 0], x0 + inside[:, 3] - inside[:, 2]
        columns = (height, width, channels, y0, y1, x0, x1)

        def fill(row: int) -> Template:
            h, w, c, top, bottom, left, right = (int(column[row]) for column in columns)
            box = _box(h, w, c)
            holes = holes_of(box, Box(top, bottom, left, right, 0, c))
            return fill_template(holes, box, padding, value.element_bytes)

        key = ("fill", padding, value.element_bytes)
        template = self._graph.known_each(key, columns, fill)
        box, tile = data
        fed = np.flatnonzero(np.isin(rows, box))
        first = tile[np.searchsorted(box, rows[fed])]
        part = intersections(boxes[fed], value.tiles.boxes[first])
        known = value.tiles.done.meeting(first, part)
        counts = np.zeros(len(rows), np.int64)
        counts[fed] = known.counts
        none = np.zeros((len(rows), 1), np.int64)
        sides = Sides(template, buffer[rows, None], none[:, 0], none)
        picked = wanted.pick(rows)
        before = Lists(counts, known.values).with_each(picked.after)
        return rows, self._graph.add_many(
            Kind.COPY, picked.cores, layer, picked.ranks, sides, before
        )

    def move(self, value: Value, tile: Ints, parts: Boxes, target: Target, layer: int) -> Ints:
        """Copy or send a part of each tile to its target; returns the tasks."""
        local = value.tiles.core[tile] == target.wanted.cores
        before = value.tiles.done.meeting(tile, parts).with_each(target.wanted.after)
        tasks = np.empty(len(tile), np.int64)
        for rows, add in (
            (np.flatnonzero(local), self._copies),
            (np.flatnonzero(~local), self._messages),
        ):
            if len(rows):
                args = tile[rows], parts[rows], target.pick(rows), layer, before.pick(rows)
                tasks[rows] = add(value, *args)
        return tasks

    def _copies(
        self,
        value: Value,
        tile: Ints,
        parts: Boxes,
        target: Target,
        layer: int,
        before: Lists,
    ) -> Ints:
        size, source = value.element_bytes, value.tiles.boxes[tile]
        wanted = target.wanted
        shape, held, asked = extents(parts), extents(source), extents(wanted.boxes)
        template = self._graph.known_each(
            ("copy", size),
            (*shape.T, *held[:, 1:].T, *asked[:, 1:].T),
            lambda i: copy_template(_box(*shape[i]), _box(*held[i]), _box(*asked[i]), size),
        )
        buffers = rows_of(value.tiles.buffer[tile], target.buffer)
        offsets = rows_of(offsets_of(source, parts, size), target.offsets_of(parts, size))
        sides = Sides(template, buffers, np.zeros_like(tile), offsets)
        return self._graph.add_many(Kind.COPY, wanted.cores, layer, wanted.ranks, sides, before)

    def _messages(
        self,
        value: Value,
        tile: Ints,
        parts: Boxes,
        target: Target,
        layer: int,
        before: Lists,
    ) -> Ints:
        size, source = value.element_bytes, value.tiles.boxes[tile]
        wanted, sender = target.wanted, value.tiles.core[tile]
        shape, held, asked = extents(parts), extents(source), extents(wanted.boxes)
        cuts, pieces = message_cuts(shape, held, asked)
        send = self._graph.known_each(
            ("send", size),
            (*shape.T, *held[:, 1:].T, cuts),
            lambda i: send_template(_box(*shape[i]), _box(*held[i]), int(cuts[i]), size),
        )
        receive = self._graph.known_each(
            ("receive", size),
            (*shape.T, *asked[:, 1:].T, cuts),
            lambda i: receive_template(_box(*shape[i]), _box(*asked[i]), int(cuts[i]), size),
        )
        sent = Sides(
            send,
            value.tiles.buffer[tile, None],
            wanted.cores,
            offsets_of(source, parts, size)[:, None],
        )
        received = Sides(
            receive, target.buffer[:, None], sender, target.offsets_of(parts, size)[:, None]
        )
        payload = pieces, sizes(parts) * size // pieces
        return self._graph.add_messages(
            wanted.cores, sender, layer, wanted.ranks, (received, sent), before, payload
        )


class Target(NamedTuple):
    """Boxes in buffers that parts of a tensor are brought to, channels moved by `shift`."""

    wanted: Requests
    buffer: Ints
    shift: int = 0

    def pick(self, rows: Ints) -> Target:
        """Those of these numbers."""
        return Target(self.wanted.pick(rows), self.buffer[rows], self.shift)

    def offsets_of(self, parts: Boxes, element_bytes: int) -> Ints:
        """Byte offset of each part in its box."""
        return offsets_of(self.wanted.boxes, parts, element_bytes) + self.shift * element_bytes


class _Held:
    """What was gathered of a value."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, ...], int] = {}
        self.gathered = Gathered(np.zeros(0, np.int64), Done.empty())

    def find(self, wanted: Requests) -> tuple[Ints, Ints]:
        """The number of each request among all that were made, and those that are new."""
        rows: list[int] = []
        new: list[int] = []
        keys = zip(wanted.cores.tolist(), *wanted.boxes.T.tolist(), strict=True)
        for request, key in enumerate(keys):
            known = len(self._rows)
            rows.append(self._rows.setdefault(key, known))
            if rows[-1] == known:
                new.append(request)
        return np.array(rows, np.int64), np.array(new, np.int64)

    def add(self, new: Gathered) -> None:
        """Note what was brought for the new requests."""
        self.gathered = Gathered(
            np.concatenate([self.gathered.buffer, new.buffer]),
            Done.after_another((self.gathered.done, new.done)),
        )


def _box(height: int, width: int, channels: int) -> Box:
    return Box(0, int(height), 0, int(width), 0, int(channels))
