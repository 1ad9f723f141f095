"""Tasks of a matrix product: bringing inputs, windows, sums over row shares, completion.

A layer's copies (n) each make a tile of its output; a copy's parts are row shares (m) of column
shares (q). A column share that is one row share computes its tile in pieces of some rows. Where
there are several row shares, the tile is cut into one piece (k) a share, and that share's core
gets the others' sums of it, adds and completes them.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imccompiler.ir.decisions import IntegerMatmul
from imccompiler.ir.store import WeightStore
from imccompiler.passes.blocks import LayerBlocks, Part
from imccompiler.passes.boxes import Boxes, extents, offsets_of, reaches, table
from imccompiler.passes.compute import (
    PieceShape,
    Widths,
    finish_template,
    gathered_bytes,
    matmul_template,
    send_sum_template,
    sum_template,
)
from imccompiler.passes.encoding import encode
from imccompiler.passes.gather import Gatherer, Requests
from imccompiler.passes.geometry import Box, cut_rows_first
from imccompiler.passes.ragged import Ints, Lists, distinct, rows_of, spread
from imccompiler.passes.reloads import fetch
from imccompiler.passes.taskgraph import GraphBuilder, Kind, Sides
from imccompiler.passes.template import Template
from imccompiler.passes.values import Done, Tiles, Value
from imccompiler.program.isa import byte_width

RELOADED_CONSTANT_BYTES = 8192  # constants that come with the weights are not repeated beyond
RELOADED_OWNERS = 4  # row shares of a reloaded layer that own sums


@dataclass(frozen=True, slots=True, eq=False)
class Product:
    """A matrix product as it is mapped.

    Attributes:
        layer: Its number.
        integer: Its arithmetic.
        blocks: Its weights, cut.
        parts: Of a copy, shape (row shares, column shares).
        copies: Output box of each copy as the windows see it, all channels; shape (copies, 6).
        cores, groups: Core and first crossbar group of each part, shape (copies, row shares,
            column shares).
        widths: Bit widths.
        source, value: Input and output.
        pieces: Pieces of a tile whose sums are whole on one core.
        constant_bytes: What the constants of a part may take of a local memory.
        ready: The task after which a part's weights are on its crossbars, -1 if they always are,
            shape of `cores`.
        begun: The task with which a part's core begins to load its segment, -1 if it does not.
    """

    layer: int
    integer: IntegerMatmul
    blocks: LayerBlocks
    parts: Sequence[Sequence[Part]]
    copies: Boxes
    cores: NDArray[np.int64]
    groups: NDArray[np.int64]
    widths: Widths
    source: Value
    value: Value
    pieces: int
    constant_bytes: int
    ready: NDArray[np.int64]
    begun: NDArray[np.int64]


def build_product(
    product: Product,
    graph: GraphBuilder,
    gatherer: Gatherer,
    store: WeightStore,
    constants: ConstantLoader,
) -> tuple[Ints, Ints]:
    """Add the tasks of a matrix product, and give its value the tiles.

    Returns:
        The tasks on cores that hold its weights, and these cores.
    """
    builder = _ProductBuilder(product, graph, gatherer, store, constants)
    value = product.value
    value.tiles = builder.whole_sums() if len(product.parts) == 1 else builder.shared_sums()
    return builder.done


class ConstantLoader:
    """Constants on cores: there from the start, or loaded with the weights that they belong to."""

    def __init__(self, graph: GraphBuilder, allocate: Callable[[int], int]) -> None:
        self._graph = graph
        self._allocate = allocate
        self._known: dict[tuple[Hashable, int], tuple[int, int]] = {}
        self._addresses: dict[Hashable, int] = {}
        self.images: list[tuple[int, NDArray[np.uint8]]] = []
        """Content of the global memory from the start: addresses and bytes."""

    def bring(
        self, name: Hashable, core: int, data: NDArray[np.uint8], ready: int
    ) -> tuple[int, int]:
        """The buffer of some constants, and the task that loads them; -1 if they are there.

        Args:
            name: Of the constants; the same on all cores.
            core: Where they are needed.
            data: Their bytes.
            ready: The task after which the weights are there, -1 if they always are.
        """
        if (name, core) not in self._known:
            self._known[name, core] = self._place(name, core, data, ready)
        return self._known[name, core]

    def _place(
        self, name: Hashable, core: int, data: NDArray[np.uint8], ready: int
    ) -> tuple[int, int]:
        if ready < 0:
            return self._graph.constant(core, data), -1
        if name not in self._addresses:
            self._addresses[name] = self._allocate(data.size)
            self.images.append((self._addresses[name], data))
        buffer = self._graph.buffer(core, data.size)
        side = fetch(self._graph, self._addresses[name], data.size, buffer)
        return buffer, self._graph.add(Kind.LOAD, core, 0, 0, side, (ready,))


class _ProductBuilder:
    def __init__(
        self,
        product: Product,
        graph: GraphBuilder,
        gatherer: Gatherer,
        store: WeightStore,
        constants: ConstantLoader,
    ) -> None:
        self._product = product
        self._graph = graph
        self._store = store
        self._constants = constants
        self._constant_data: dict[tuple[int, int, int], NDArray[np.uint8]] = {}
        self._done: list[tuple[Ints, Ints]] = []  # tasks and their cores
        parts = [part for row in product.parts for part in row]
        self._taps_y = np.array([p.taps_y for p in parts], np.int64)
        self._taps_x = np.array([p.taps_x for p in parts], np.int64)
        self._channels = np.array([p.channels for p in parts], np.int64)
        self._outputs = np.array([(p.out0, p.out1) for p in parts], np.int64)
        self._parts = parts
        # every part of every copy: (n, m, q) in this order
        copies, rows, columns = product.cores.shape
        self._copy, self._part = np.divmod(np.arange(copies * rows * columns), rows * columns)
        self._core, self._group = product.cores.reshape(-1), product.groups.reshape(-1)
        self._ready, self._begun = product.ready.reshape(-1), product.begun.reshape(-1)
        self._reach = self._reach_of(self._box_of(self._copy, self._part), self._part)
        wanted = Requests(self._reach, self._core, np.zeros_like(self._core), self._begun)
        padding = product.source.zero_point
        self._gathered = gatherer.gather(product.source, wanted, product.layer, padding)
        self._accumulator_bytes = byte_width(product.widths.accumulator)
        self._product_bytes = byte_width(product.widths.product)

    @property
    def done(self) -> tuple[Ints, Ints]:
        """All tasks on cores that hold parts, and the cores; messages are there for both."""
        tasks, cores = zip(*self._done, strict=True)
        return np.concatenate(tasks), np.concatenate(cores)

    # ---- geometry

    def _box_of(self, copy: Ints, part: Ints) -> Boxes:
        """Output boxes of parts."""
        boxes = self._product.copies[copy]
        boxes[:, 4:] = self._outputs[part]
        return boxes

    def _reach_of(self, boxes: Boxes, part: Ints) -> Boxes:
        """What parts see for their outputs in some boxes."""
        window = self._product.blocks.window
        taps = self._taps_y[part], self._taps_x[part]
        return reaches(window, boxes, *taps, self._channels[part])

    def _ungrouped(self, boxes: Boxes) -> Boxes:
        """`LayerBlocks.ungrouped` of many boxes."""
        unroll = self._product.blocks.unroll
        plain = boxes.copy()
        plain[:, 2:4] *= unroll
        if unroll > 1:
            plain[:, 5] //= unroll
        return plain

    def _strip(self, largest: Ints, channels: Ints) -> Ints:
        """Positions that the constants of a tile cover, at most those of its largest piece."""
        per_value = 2 * self._accumulator_bytes + self._product_bytes
        most = self._product.constant_bytes
        if (self._ready >= 0).any():
            most = min(most, RELOADED_CONSTANT_BYTES)
        fitting = most // (per_value * channels)
        return np.maximum(1, np.minimum(largest, fitting))

    # ---- buffers

    def _bring_constants(
        self, core: Ints, boxes: Boxes, strip: Ints, ready: Ints
    ) -> tuple[Ints, NDArray[np.int64], Ints]:
        """Bias, multiplier and shift for the columns of boxes, repeated `strip` times.

        Returns:
            Buffers, shape (n,), where in them the three begin, shape (n, 3), and the tasks that
            load them, -1 where they always are there.
        """
        keys = rows_of(core, boxes[:, 4], boxes[:, 5], strip, ready).tolist()
        found = [self._constants_of(*key) for key in keys]
        buffer, task = np.array(found, np.int64).reshape(-1, 2).T
        each = strip * (boxes[:, 5] - boxes[:, 4]) * self._accumulator_bytes
        return buffer, rows_of(np.zeros_like(each), each, 2 * each), task

    def _constants_of(self, core: int, c0: int, c1: int, strip: int, ready: int) -> tuple[int, int]:
        key = (c0, c1, strip)
        if key not in self._constant_data:
            integer, unroll = self._product.integer, self._product.blocks.unroll
            entries = (
                (integer.bias, self._accumulator_bytes),
                (integer.multiplier, self._accumulator_bytes),
                (integer.shift, self._product_bytes),
            )
            self._constant_data[key] = np.concatenate(
                [
                    np.tile(encode(np.tile(self._store[name], unroll)[c0:c1], width), strip)
                    for name, width in entries
                ]
            )
        return self._constants.bring(
            (self._product.layer, *key), core, self._constant_data[key], ready
        )

    def _scratch(self, elements: Ints) -> tuple[Ints, Ints]:
        """Scratch of all parts: planes of their further row blocks, and gathered inputs.

        `elements` of a plane, for every part.
        """
        planes = np.array([p.planes - 1 for p in self._parts], np.int64)[self._part]
        size = planes * elements * self._accumulator_bytes
        first, kind = distinct(self._part, *extents(self._reach).T)
        window = self._product.blocks.window
        gathered = np.array(
            [
                gathered_bytes(
                    self._parts[self._part[i]],
                    window,
                    Box(*self._reach[i].tolist()),
                    self._product.widths.input_bytes,
                )
                for i in first.tolist()
            ],
            np.int64,
        )
        return (
            self._graph.buffers(self._core, size),
            self._graph.buffers(self._core, gathered[kind]),
        )

    # ---- templates

    def _products(self, number: Ints, pieces: Boxes, finish: Ints | None) -> Ints:
        """Templates that multiply the windows of pieces on parts; `number` of each part."""
        blocks, widths = self._product.blocks, self._product.widths
        part, reach = self._part[number], self._reach[number]
        last = np.full(len(part), -1, np.int64) if finish is None else finish

        def make(i: int) -> Template:
            return matmul_template(
                self._parts[part[i]],
                blocks.window,
                PieceShape(Box(*pieces[i].tolist()), Box(*reach[i].tolist())),
                widths,
                finish=None if finish is None else int(finish[i]),
                columns_per_crossbar=blocks.columns_per_crossbar,
            )

        columns = (part, *extents(pieces).T, *extents(reach).T, last)
        return self._graph.known_each(("product", self._product.layer), columns, make)

    # ---- sums that are whole on one core

    def whole_sums(self) -> Tiles:
        """Pieces of a tile share their scratch and their result, where they lie side by side."""
        product, graph = self._product, self._graph
        box = self._box_of(self._copy, self._part)
        height, width, channels = extents(box).T
        pieces = np.minimum(product.pieces, height)
        largest = -(-height // pieces) * width
        strip = self._strip(largest, channels)
        sums = graph.buffers(self._core, largest * channels * self._accumulator_bytes)
        planes, scratch = self._scratch(largest * channels)
        products = graph.buffers(self._core, largest * channels * self._product_bytes)
        element_bytes = product.value.element_bytes
        result = graph.buffers(self._core, height * width * channels * element_bytes)
        constants, begins, loaded = self._bring_constants(self._core, box, strip, self._ready)
        # all pieces of all parts
        number = np.repeat(np.arange(len(box)), pieces)
        rank = spread(np.zeros_like(pieces), pieces)
        piece = box[number]
        piece[:, 0] = box[number, 0] + height[number] * rank // pieces[number]
        piece[:, 1] = box[number, 0] + height[number] * (rank + 1) // pieces[number]
        seen = self._reach_of(piece, self._part[number])
        columns = (self._gathered.buffer, sums, planes, scratch, products, *[constants] * 3, result)
        buffers = rows_of(*columns)[number]
        offsets = np.zeros_like(buffers)
        offsets[:, 0] = offsets_of(self._reach[number], seen, product.source.element_bytes)
        offsets[:, 5:8] = begins[number]
        offsets[:, -1] = offsets_of(box[number], piece, element_bytes)
        before = self._gathered.done.meeting(number, seen)
        template = self._products(number, piece, strip[number])
        tasks = graph.add_many(
            Kind.COMPUTE,
            self._core[number],
            product.layer,
            rank,
            Sides(template, buffers, self._group[number], offsets),
            before.with_each(self._ready[number], loaded[number]),
        )
        self._done.append((tasks, self._core[number]))
        done = Done(pieces, self._ungrouped(piece), tasks)
        return Tiles(self._core, self._ungrouped(box), result, done)

    # ---- sums that are spread over row shares

    def shared_sums(self) -> Tiles:
        """One tile of the value for each piece."""
        product = self._product
        rows, columns = product.cores.shape[1:]
        # time goes into loading where weights come and go: fewer and larger sums will do
        owners = rows if (self._ready < 0).all() else min(rows, RELOADED_OWNERS)
        cuts = [self._cut(copy, owners) for copy in product.copies.tolist()]
        # every piece of every column share: (n, q, k) in this order
        counts = np.array([len(c) for c in cuts], np.int64)
        copy = np.repeat(np.arange(len(cuts)), counts * columns)
        within = spread(np.zeros_like(counts), counts * columns)
        column, owner = np.divmod(within, counts[copy])
        piece = np.concatenate([np.tile(c, (columns, 1)) for c in cuts])
        piece[:, 4:] = self._outputs[column]
        largest = np.array([extents(c)[:, :2].prod(axis=1).max() for c in cuts], np.int64)
        channels = piece[:, 5] - piece[:, 4]
        strip = self._strip(largest[copy], channels)
        width = (self._outputs[:, 1] - self._outputs[:, 0])[self._part]
        scratch = self._scratch(largest[self._copy] * width)
        # every row share of every piece: (piece, m)
        member = np.tile(np.arange(rows), len(piece))
        of = np.repeat(np.arange(len(piece)), rows)
        number = (copy[of] * rows + member) * columns + column[of]
        # every core begins with the piece whose sum it owns, so that others can add to it
        rank = (owner[of] - member) % rows
        total, first = self._partial_sums(number, piece[of], rank, scratch)
        sums = _Sums(of, member == owner[of], number, rank, total, first)
        own = number[sums.own]
        added = self._add_up(sums, piece, self._core[own])
        return self._complete(piece, strip, own, total[sums.own], added)

    def _cut(self, copy: list[int], count: int) -> Boxes:
        return table(cut_rows_first(Box(*copy), count))

    def _partial_sums(
        self, number: Ints, piece: Boxes, rank: Ints, scratch: tuple[Ints, Ints]
    ) -> tuple[Ints, Ints]:
        """Each row share's sums of a piece: buffers and tasks."""
        graph, core = self._graph, self._core[number]
        total = graph.buffers(core, extents(piece).prod(axis=1) * self._accumulator_bytes)
        seen = self._reach_of(piece, self._part[number])
        gathered = self._gathered
        buffers = (gathered.buffer[number], total, scratch[0][number], scratch[1][number])
        offsets = np.zeros((len(number), len(buffers)), np.int64)
        offsets[:, 0] = offsets_of(self._reach[number], seen, self._product.source.element_bytes)
        template = self._products(number, piece, None)
        sides = Sides(template, rows_of(*buffers), self._group[number], offsets)
        before = gathered.done.meeting(number, seen).with_each(self._ready[number])
        tasks = graph.add_many(Kind.COMPUTE, core, self._product.layer, rank, sides, before)
        self._done.append((tasks, core))
        return total, tasks

    def _add_up(self, sums: _Sums, piece: Boxes, owner_core: Ints) -> Lists:
        """Send the other shares' sums to the owner, who adds them; the tasks for each piece."""
        graph, layer, widths = self._graph, self._product.layer, self._product.widths
        elements = extents(piece).prod(axis=1)
        total, first = sums.total[sums.own], sums.task[sums.own]
        tasks, owners = [first], [np.arange(len(piece))]
        others = np.flatnonzero(~sums.own)
        local = self._core[sums.number[others]] == owner_core[sums.piece[others]]
        for rows, is_local in ((others[local], True), (others[~local], False)):
            if not len(rows):
                continue
            of = sums.piece[rows]
            core, sender = owner_core[of], self._core[sums.number[rows]]
            size = elements[of] * self._accumulator_bytes
            staging = sums.total[rows] if is_local else graph.buffers(core, size)
            template = graph.known_each(
                ("sum", widths, is_local),
                (elements[of],),
                lambda i, n=elements[of], k=is_local: sum_template(int(n[i]), widths, local=k),
            )
            buffers = rows_of(total[of], staging)
            side = Sides(template, buffers, sender, np.zeros_like(buffers))
            before = Lists.columns(first[of], sums.task[rows])
            if is_local:
                added = graph.add_many(Kind.COMPUTE, core, layer, sums.rank[rows], side, before)
            else:
                send = graph.known_each(
                    ("send sum",), (size,), lambda i, n=size: send_sum_template(int(n[i]))
                )
                sent = Sides(send, sums.total[rows, None], core, np.zeros((len(rows), 1), np.int64))
                added = graph.add_messages(
                    core,
                    sender,
                    layer,
                    sums.rank[rows],
                    (side, sent),
                    before,
                    (np.ones_like(size), size),
                )
            tasks.append(added)
            owners.append(of)
            self._done += [(added, core), (added, sender)]
        owner, task = np.concatenate(owners), np.concatenate(tasks)
        order = np.argsort(owner, kind="stable")
        return Lists(np.bincount(owner, minlength=len(piece)), task[order])

    def _complete(self, piece: Boxes, strip: Ints, own: Ints, total: Ints, added: Lists) -> Tiles:
        """Bias, multiplier and shift of each piece, by the part that owns its sum."""
        graph, product, core = self._graph, self._product, self._core[own]
        height, width, channels = extents(piece).T
        elements = height * width * channels
        result = graph.buffers(core, elements * product.value.element_bytes)
        products = graph.buffers(core, elements * self._product_bytes)
        constants, begins, loaded = self._bring_constants(core, piece, strip, self._ready[own])
        buffers = rows_of(total, products, *[constants] * 3, result)
        offsets = np.zeros_like(buffers)
        offsets[:, 2:5] = begins
        template = graph.known_each(
            ("finish", product.widths),
            (height * width, channels, strip),
            lambda i: finish_template(
                int(height[i] * width[i]),
                int(channels[i]),
                product.widths,
                int(strip[i]),
            ),
        )
        sides = Sides(template, buffers, np.zeros_like(core), offsets)
        rank = np.full(len(piece), product.cores.shape[1], np.int64)
        before = added.with_each(loaded)
        task = graph.add_many(Kind.COMPUTE, core, product.layer, rank, sides, before)
        self._done.append((task, core))
        made = self._ungrouped(piece)
        return Tiles(core, made, result, Done.single(made, task))


@dataclass(frozen=True, slots=True, eq=False)
class _Sums:
    """Partial sums: their piece, whether their core owns it, part, rank, buffer and task."""

    piece: Ints
    own: NDArray[np.bool_]
    number: Ints
    rank: Ints
    total: Ints
    task: Ints
