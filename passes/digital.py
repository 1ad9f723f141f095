"""Tasks of the digital operators: which tiles they make, and the template of each tile."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import pairwise
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from imccompiler.hardware.schema import Machine
from imccompiler.ir.attributes import to_python
from imccompiler.ir.dialect import DigitalOp, DynamicMatmulOp, WeightOp, shape_of
from imccompiler.ir.store import WeightStore
from imccompiler.passes.boxes import table
from imccompiler.passes.compute import (
    PieceShape,
    add_template,
    average_template,
    function_template,
    max_pool_template,
    relu_template,
)
from imccompiler.passes.encoding import encode
from imccompiler.passes.gather import Gatherer, Requests
from imccompiler.passes.geometry import Box, Window2d, cut, cut_rows_first
from imccompiler.passes.moves import copy_template
from imccompiler.passes.pools import pool_window, slides_in_place
from imccompiler.passes.ragged import starts_of
from imccompiler.passes.shuffles import picks
from imccompiler.passes.splits import (
    Split,
    constant_for,
    extent_of,
    need_of,
    part_of,
    reshaped,
    split_of,
)
from imccompiler.passes.taskgraph import GraphBuilder, Kind, Side
from imccompiler.passes.template import Template
from imccompiler.passes.values import Done, Tiles, Value
from imccompiler.program.artifact import Function, Operand, Quantization
from imccompiler.program.isa import byte_width
from imccompiler.simulator.digital import integer_form
from imccompiler.simulator.integer import AddParameters, AverageParameters

CONSTANT_SHARE = 64  # constants of an elementwise operator may take this fraction of a memory
CONSTANT_BYTES = 16  # of one element: ones, two multipliers, an offset and a shift
GLOBAL_SPLIT = 8  # cores that share the channels of a global pooling
ROW_SPLIT = 8  # cores that share the rows of a function, if there are so many rows
THIN = 32  # channels: what has fewer of them would be read position by position
MOST_PARTS = 512  # tiles of an operand that a function follows
TILE_SHARE = 16  # operands and result of a function's part may take this fraction of a memory

STREAM_BITS = {"add": 16, "average": 8, "maxpool": 8}
"""Widest codes that the streams of these forms are for; operands and result have one width."""

RENAMES = frozenset(
    {"Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten", "Relu", "Clip"}
)  # as moves they keep every code where it is (a Relu that does nothing among them)


class DigitalBuilder:
    """Adds the tasks of digital operators to a graph."""

    def __init__(
        self,
        machine: Machine,
        graph: GraphBuilder,
        gatherer: Gatherer,
        values: dict[SSAValue, Value],
        functions: list[Function],
        store: WeightStore,
    ) -> None:
        self._machine = machine
        self._graph = graph
        self._gatherer = gatherer
        self._values = values
        self._functions = functions
        self._store = store
        self._constants: dict[tuple[Any, ...], int] = {}
        self._templates: dict[tuple[Any, ...], int] = {}
        self._memory = machine.main_kind.local_memory.kib * 1024
        self._strip = max(1, min(2048, self._memory // (CONSTANT_SHARE * CONSTANT_BYTES)))

    def build(
        self,
        op: DigitalOp | DynamicMatmulOp,
        layer: int,
        value: Value,
        quants: Mapping[SSAValue, Quantization],
    ) -> None:
        """Add the tasks that compute `value`."""
        job = _Job(op, layer, value, quants)
        match self._form(job):
            case "add":
                self._add(job)
            case "maxpool":
                self._pool(job, self._max_pool)
            case "average":
                self._pool(job, self._average)
            case "relu":
                self._relu(job)
            case "move" if self._rename(job) or self._concatenate(job) or self._shuffle(job):
                pass
            case _:
                self._function(job)
        if job.tiles:
            value.tiles = Tiles.of(job.tiles)

    def _form(self, job: _Job) -> str:
        if isinstance(job.op, DynamicMatmulOp):
            return "function"
        if any(isinstance(v.owner, WeightOp) for v in job.op.operands_):
            return "function"
        form = integer_form(
            job.op_type,
            job.attributes,
            [shape_of(v) for v in job.operands],
            [job.quants[v] for v in job.operands],
            job.quants[job.op.result],
        )
        if form in {"maxpool", "average"} and not slides_in_place(
            job.attributes, shape_of(job.operands[0])
        ):
            return "function"
        bits = {job.quants[v].bits for v in (*job.operands, job.op.result)}
        if form in STREAM_BITS and (len(bits) > 1 or max(bits) > STREAM_BITS[form]):
            return "function"
        return form

    # ---- tiles

    def _follow(self, job: _Job) -> list[tuple[int, Box]]:
        """The tiles of the first operand: for operators that need the same box of each."""
        return self._values[job.operands[0]].tiles.places

    def _one_core(self, job: _Job) -> int:
        """A core for an operator that is not split: a pinned one, else one with much memory."""
        if job.op.placement is not None:
            return job.op.placement.cores[0]
        return int(self._graph.bytes_of_cores(self._machine.core_count).argmin())

    # ---- integer forms

    def _add(self, job: _Job) -> None:
        a, b = (job.quants[v] for v in job.operands)
        out = job.quants[job.op.result]
        p = AddParameters.from_quants(a, b, out, subtract=job.op_type == "Sub")
        product = max(p.product_bits, p.sum_bits)
        bits = a.bits
        wide = byte_width(p.multiplier_bits) * 8 if p.multiplier_bits > bits else bits
        tiles = self._follow(job)
        for rank, ((core, box), (operands, done)) in enumerate(
            zip(tiles, self._operands(job, tiles), strict=True)
        ):
            strip = min(box.size, self._strip)
            constant = self._constant_maker(core, strip)
            buffers = (
                *operands,
                constant(1, bits),
                constant(p.multiplier_a, wide),
                constant(p.multiplier_b, wide),
                constant(p.offset, product),
                constant(p.shift, product),
                self._scratch(core, strip, wide),
                self._scratch(core, strip, product),
                self._scratch(core, strip, product),
            )
            template = self._template(
                ("add", job.layer, box.size, strip),
                lambda size=box.size, n=strip: add_template(
                    job.layer, size, n, bits, p.multiplier_bits, product
                ),
            )
            self._emit(job, core, box, rank, template, buffers, done)

    def _relu(self, job: _Job) -> None:
        quant = job.quants[job.op.result]
        tiles = self._follow(job)
        for rank, ((core, box), (operands, done)) in enumerate(
            zip(tiles, self._operands(job, tiles), strict=True)
        ):
            strip = min(box.size, self._strip)
            zero = self._constant_maker(core, strip)(quant.zero_point, quant.bits)
            template = self._template(
                ("relu", job.layer, box.size),
                lambda size=box.size, n=strip: relu_template(job.layer, size, n, quant.bits),
            )
            self._emit(job, core, box, rank, template, (*operands, zero), done)

    def _pool(
        self,
        job: _Job,
        make: Callable[[_Job, Window2d, PieceShape, int], tuple[int, tuple[int, ...]]],
    ) -> None:
        source = self._values[job.operands[0]]
        window = pool_window(job.op_type, job.attributes, source.layout)
        quant = job.quants[job.op.result]
        lowest = quant.low  # padding never wins a maximum; averages have none
        tiles = self._pool_tiles(job, source, window)
        reaches = [(core, window.reach(box)) for core, box in tiles]
        for rank, ((core, box), (_, reach), (buffer, done)) in enumerate(
            zip(tiles, reaches, self._fetch(source, reaches, job.layer, lowest), strict=True)
        ):
            template, buffers = make(job, window, PieceShape(box, reach), core)
            self._emit(job, core, box, rank, template, (buffer, *buffers), done)

    def _pool_tiles(self, job: _Job, source: Value, window: Window2d) -> list[tuple[int, Box]]:
        """Outputs go to the core that has the first input of their window, roughly."""
        whole = job.value.layout.whole
        if whole.positions == 1:
            cores = sorted({core for core, _ in source.tiles.places})[:GLOBAL_SPLIT]
            ranges = cut(whole.channels, len(cores))
            return [
                (core, whole._replace(c0=c0, c1=c1))
                for core, (c0, c1) in zip(cores, ranges, strict=False)
            ]
        tiles: list[tuple[int, Box]] = []
        for core, tile in source.tiles.places:
            y0, y1 = (-(-y // window.stride[0]) for y in (tile.y0, tile.y1))
            x0, x1 = (-(-x // window.stride[1]) for x in (tile.x0, tile.x1))
            if tile.y1 == source.layout.whole.y1:
                y1 = whole.y1
            if tile.x1 == source.layout.whole.x1:
                x1 = whole.x1
            box = tile._replace(y0=y0, y1=y1, x0=x0, x1=x1).intersect(whole)
            if box is not None:
                tiles.append((core, box))
        return tiles

    def _max_pool(
        self, job: _Job, window: Window2d, shape: PieceShape, core: int
    ) -> tuple[int, tuple[int, ...]]:
        del core
        bits = job.quants[job.op.result].bits
        template = self._template(
            ("max", job.layer, shape.box.shape, shape.reach.shape),
            lambda: max_pool_template(job.layer, window, shape, bits),
        )
        return template, ()

    def _average(
        self, job: _Job, window: Window2d, shape: PieceShape, core: int
    ) -> tuple[int, tuple[int, ...]]:
        quant, out = job.quants[job.operands[0]], job.quants[job.op.result]
        p = AverageParameters.from_quants(quant, out, window.kernel[0] * window.kernel[1])
        channels = shape.box.channels
        constant = self._constant_maker(core, channels)
        buffers = (
            self._scratch(core, channels, p.sum_bits),
            self._scratch(core, channels, p.sum_bits),
            self._scratch(core, channels, p.product_bits),
            constant(1, quant.bits),
            constant(p.multiplier, p.sum_bits),
            constant(p.offset, p.product_bits),
            constant(p.shift, p.product_bits),
        )
        template = self._template(
            ("average", job.layer, shape.box.shape, shape.reach.shape),
            lambda: average_template(
                job.layer, window, shape, quant.bits, p.sum_bits, p.product_bits
            ),
        )
        return template, buffers

    # ---- movement

    def _rename(self, job: _Job) -> bool:
        """The result's bytes are the operand's, in the same order: its tiles serve as they are."""
        source = self._values[job.operands[0]]
        a = [n for n in (source.layout.shape[i] for i in source.layout.axes) if n > 1]
        b = [n for n in (job.value.layout.shape[i] for i in job.value.layout.axes) if n > 1]
        if job.op_type not in RENAMES:
            return False
        if source.layout.grid == job.value.layout.grid and a == b and source.same_order(job.value):
            job.value.tiles = source.tiles
            return True
        boxes = reshaped(source.tiles.boxes, source.layout, job.value.layout)
        done = reshaped(source.tiles.done.boxes, source.layout, job.value.layout)
        if boxes is None or done is None or job.op_type != "Reshape":
            return False
        tiles = source.tiles
        job.value.tiles = Tiles(tiles.core, boxes, tiles.buffer, tiles.done._replace(boxes=done))
        return True

    def _concatenate(self, job: _Job) -> bool:
        """The operands' tiles are the result's, each operand's moved along the axis."""
        if job.op_type != "Concat":
            return False
        layout = job.value.layout
        sources = [self._values[v] for v in job.operands]
        axis = int(job.attributes["axis"]) % len(layout.shape)
        behind = len(layout.axes) - 1 - layout.axes.index(axis)  # axes further in
        outer = [layout.shape[a] for a in layout.axes[: -1 - behind]]
        if any(s.layout.axes != layout.axes for s in sources) or (behind > 1 and prod(outer) > 1):
            return False
        low = 4 - 2 * min(behind, 2)  # of the axis in a box
        inner = [layout.shape[a] for a in layout.axes[len(layout.axes) - behind : -2]]
        begin, parts = 0, list[Tiles]()
        for source in sources:
            tiles, shift = source.tiles, np.zeros(6, np.int64)
            shift[low : low + 2] = begin * prod(inner)
            done = tiles.done._replace(boxes=tiles.done.boxes + shift)
            parts.append(Tiles(tiles.core, tiles.boxes + shift, tiles.buffer, done))
            begin += source.layout.shape[axis]
        job.value.tiles = Tiles(
            np.concatenate([p.core for p in parts]),
            np.concatenate([p.boxes for p in parts]),
            np.concatenate([p.buffer for p in parts]),
            Done.after_another([p.done for p in parts]),
        )
        return True

    def _shuffle(self, job: _Job) -> bool:
        """A large tensor is moved in parts, whatever the movement is."""
        if len(job.operands) != 1 or self._split(job) is not None:
            return False
        source = self._values[job.operands[0]]
        tiles = self._row_tiles(job)
        if len(tiles) == 1 or job.value.layout.whole.size * TILE_SHARE < self._memory:
            return False
        shapes = [
            self._store[v.owner.key.data] if isinstance(v.owner, WeightOp) else shape_of(v)
            for v in job.op.operands
        ]
        found = picks(
            job.op_type,
            job.attributes,
            shapes,
            source.layout,
            job.value.layout,
            [box for _, box in tiles],
        )
        if found is None:
            return False
        needs = [(core, pick.box) for (core, _), pick in zip(tiles, found, strict=True)]
        code = job.quants[job.op.result]
        for rank, ((core, box), pick, (buffer, done)) in enumerate(
            zip(tiles, found, self._fetch(source, needs, job.layer), strict=True)
        ):
            operand, result = (Operand((n,), (0,), code) for n in (pick.box.size, box.size))
            key = ("shuffle", job.layer, operand, pick.places.tobytes())
            if key not in self._constants:
                self._constants[key] = len(self._functions)
                places: dict[int, NDArray[Any]] = {1: pick.places}
                function = Function("Gather", {"axis": 0}, (operand,), result, places)
                self._functions.append(function)
            index, elements = self._constants[key], max(box.size, pick.box.size)
            template = self._template(
                ("function", job.layer, index),
                lambda n=elements, i=index: function_template(job.layer, n, i, (1,)),
            )
            self._emit(job, core, box, rank, template, (buffer,), done)
        return True

    # ---- functions

    def _function(self, job: _Job) -> None:
        split = self._split(job)
        tiles = self._function_tiles(job, split)
        everything = job.value.layout.whole
        needs = [
            [(core, self._need(job, v, box, split, everything)) for core, box in tiles]
            for v in job.operands
        ]
        for rank, ((core, box), (buffers, done)) in enumerate(
            zip(tiles, self._fetch_all(job, needs, len(tiles)), strict=True)
        ):
            whole = box == everything
            operands: list[Operand] = []
            for v, need in zip(job.operands, needs, strict=True):
                layout = self._values[v].layout
                shape = layout.shape if whole else need[rank][1].shape
                if not whole and split is not None and (split.looked_up or split.flat):
                    shape = (shape[0] * shape[1], shape[2])
                axes = layout.axes if whole else tuple(range(len(shape)))
                operands.append(Operand(shape, axes, job.quants[v]))
            packed, before = self._pack(job, core, rank, operands, buffers, done)
            shape = job.value.layout.shape if whole else box.shape
            if not whole and split is not None and split.flat:
                shape = (box.positions, box.channels)
            axes = job.value.layout.axes if whole else tuple(range(len(shape)))
            result = Operand(shape, axes, job.quants[job.op.result])
            index = self._function_index(
                job, tuple(operands), result, None if whole else box, split
            )
            elements = max([box.size, *(int(np.prod(o.shape)) for o in operands)])
            ones = (1,) * len(operands)
            template = self._template(
                ("function", job.layer, index),
                lambda n=elements, i=index, k=ones: function_template(job.layer, n, i, k),
            )
            self._emit(job, core, box, rank, template, packed, before)

    def _split(self, job: _Job) -> Split | None:
        """How the function can be computed in parts."""
        if isinstance(job.op, DynamicMatmulOp):
            return None
        return split_of(
            job.op_type,
            job.attributes,
            [self._values[v].layout for v in job.operands],
            job.value.layout,
            [shape_of(v) for v in job.op.operands_ if isinstance(v.owner, WeightOp)],
        )

    def _function_tiles(self, job: _Job, split: Split | None) -> list[tuple[int, Box]]:
        whole = job.value.layout.whole
        if isinstance(job.op, DynamicMatmulOp):
            return self._head_tiles(job)
        if split is None:
            return [(self._one_core(job), whole)]
        if job.op.placement is None:
            for v in job.operands:
                source = self._values[v]
                served = [
                    (core, part_of(split, source.layout, job.value.layout, box))
                    for core, box in source.tiles.places
                ]
                parts = [(core, box) for core, box in served if box is not None]
                covered = sum(box.size for _, box in parts) == whole.size
                thin = any(box.channels < min(THIN, whole.channels) for _, box in parts)
                if covered and not thin and 1 < len(parts) <= MOST_PARTS:
                    return parts
        return self._row_tiles(job)

    def _row_tiles(self, job: _Job) -> list[tuple[int, Box]]:
        """Some rows of the result on each of some cores that have parts of the operands."""
        whole = job.value.layout.whole
        if job.op.placement is not None:
            cores = list(job.op.placement.cores)
        else:
            cores = sorted({c for v in job.operands for c, _ in self._values[v].tiles.places})
        values = [job.value, *(self._values[v] for v in job.operands)]
        size = sum(v.layout.whole.size * v.element_bytes for v in values)
        wanted = max(min(ROW_SPLIT, len(cores)), -(-size * TILE_SHARE // self._memory))
        if wanted > len(cores) and job.op.placement is None:  # their memories would not do
            count = self._machine.core_count
            cores = [i * count // wanted for i in range(min(wanted, count))]
        boxes = cut_rows_first(whole, min(wanted, whole.positions))
        if len(boxes) == 1:
            return [(cores[0] if job.op.placement else self._one_core(job), whole)]
        step = max(1, len(cores) // len(boxes))
        return [(cores[i * step % len(cores)], box) for i, box in enumerate(boxes)]

    def _head_tiles(self, job: _Job) -> list[tuple[int, Box]]:
        """A product of activations is split by its leading axes (attention heads)."""
        whole = job.value.layout.whole
        if not all(self._values[v].layout.grid[0] == whole.height for v in job.operands):
            return [(self._one_core(job), whole)]
        cores = (
            list(job.op.placement.cores)
            if job.op.placement
            else sorted({core for v in job.operands for core, _ in self._values[v].tiles.places})
        )
        return [
            (cores[i % len(cores)], whole._replace(y0=y0, y1=y1))
            for i, (y0, y1) in enumerate(cut(whole.height, max(1, len(cores))))
        ]

    def _need(self, job: _Job, v: SSAValue, box: Box, split: Split | None, everything: Box) -> Box:
        layout = self._values[v].layout
        if box == everything:
            return layout.whole
        if split is None:  # a product of activations, by heads
            return layout.whole._replace(y0=box.y0, y1=box.y1)
        return need_of(split, layout, job.value.layout, box)

    def _pack(
        self,
        job: _Job,
        core: int,
        rank: int,
        operands: list[Operand],
        buffers: tuple[int, ...],
        done: tuple[int, ...],
    ) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Operands after the second are packed behind it."""
        if len(buffers) <= 2:
            return buffers, done
        sizes = [int(np.prod(o.shape)) * byte_width(o.quantization.bits) for o in operands[1:]]
        target = self._graph.buffer(core, sum(sizes))
        tasks: list[int] = []
        offset = 0
        for buffer, size in zip(buffers[1:], sizes, strict=True):
            source, whole = Box(0, 1, 0, 1, 0, size), Box(0, 1, 0, 1, 0, sum(sizes))
            part = Box(0, 1, 0, 1, offset, offset + size)
            template = self._graph.template(copy_template(part, source, whole, 1))
            side = Side(template, (buffer, target), offsets=(0, offset))
            tasks.append(self._graph.add(Kind.COPY, core, job.layer, rank, side, done))
            offset += size
        return (buffers[0], target), done + tuple(tasks)

    def _function_index(
        self,
        job: _Job,
        operands: tuple[Operand, ...],
        result: Operand,
        part: Box | None,
        split: Split | None,
    ) -> int:
        """The number of the function of the whole result, or of a part of it."""
        weights = [
            (i, v.owner.key.data)
            for i, v in enumerate(job.op.operands)
            if isinstance(v.owner, WeightOp)
        ]
        extents = {
            i: extent_of(split, self._store[name].shape, job.value.layout, part)
            for i, name in weights
            if part is not None and split is not None
        }
        key = (job.layer, operands, result, part is None, *extents.items())
        if key in self._constants:
            return self._constants[key]
        op_type, attributes = job.op_type, dict(job.attributes)
        constants: dict[int, NDArray[np.float32]] = {}
        macs = 0
        if isinstance(job.op, DynamicMatmulOp):
            macs = int(np.prod(result.shape)) * operands[0].shape[-1]
        else:
            if part is not None and split is not None:
                op_type, attributes = split.op_type, dict(split.attributes)
            for position, name in weights:
                extent = extents.get(position, ())
                constants[position] = constant_for(self._store[name], job.value.layout, extent)
        self._functions.append(Function(op_type, attributes, operands, result, constants, macs))
        self._constants[key] = len(self._functions) - 1
        return self._constants[key]

    # ---- common

    def _operands(
        self, job: _Job, tiles: list[tuple[int, Box]]
    ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """For each tile the same box of every operand: buffers, and tasks to wait for."""
        return self._fetch_all(job, [tiles] * len(job.operands), len(tiles))

    def _fetch_all(
        self, job: _Job, needs: list[list[tuple[int, Box]]], tiles: int
    ) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        """For each tile what it needs of each operand: buffers, and tasks to wait for."""
        got = [
            self._fetch(self._values[v], need, job.layer)
            for v, need in zip(job.operands, needs, strict=True)
        ]
        return [
            (tuple(g[i][0] for g in got), tuple(task for g in got for task in g[i][1]))
            for i in range(tiles)
        ]

    def _fetch(
        self, source: Value, places: list[tuple[int, Box]], layer: int, padding: int = 0
    ) -> list[tuple[int, tuple[int, ...]]]:
        """A buffer with each box on its core, and the tasks that fill it."""
        buffers, done = self._gatherer.gather(source, _requests(places), layer, padding)
        starts, tasks = starts_of(done.counts).tolist(), done.tasks.tolist()
        return [
            (buffer, tuple(tasks[a:b]))
            for buffer, (a, b) in zip(buffers.tolist(), pairwise(starts), strict=True)
        ]

    def _emit(
        self,
        job: _Job,
        core: int,
        box: Box,
        rank: int,
        template: int,
        buffers: tuple[int, ...],
        done: tuple[int, ...],
    ) -> None:
        result = self._graph.buffer(core, box.size * job.value.element_bytes)
        side = Side(template, (*buffers, result))
        task = self._graph.add(Kind.DIGITAL, core, job.layer, rank, side, done)
        job.tiles.append((core, box, result, task))

    def _template(self, key: tuple[Any, ...], make: Callable[[], Template]) -> int:
        if key not in self._templates:
            self._templates[key] = self._graph.template(make())
        return self._templates[key]

    def _constant_maker(self, core: int, count: int) -> Callable[[int, int], int]:
        def make(value: int, bits: int) -> int:
            width = byte_width(bits)
            key = (core, count, value, width)
            if key not in self._constants:
                data = np.tile(encode(np.array([value]), width), count)
                self._constants[key] = self._graph.constant(core, data)
            return self._constants[key]

        return make

    def _scratch(self, core: int, elements: int, bits: int) -> int:
        return self._graph.buffer(core, elements * byte_width(bits))


class _Job:
    """An operator with what its tasks are made from."""

    def __init__(
        self,
        op: DigitalOp | DynamicMatmulOp,
        layer: int,
        value: Value,
        quants: Mapping[SSAValue, Quantization],
    ) -> None:
        self.op = op
        self.layer = layer
        self.value = value
        self.quants = quants
        self.tiles: list[tuple[int, Box, int, int]] = []  # core, box, buffer, task
        if isinstance(op, DynamicMatmulOp):
            self.op_type = "MatMul"
            self.attributes: dict[str, Any] = {}
            self.operands: list[SSAValue] = [op.lhs, op.rhs]
        else:
            self.op_type = op.op_type.data
            self.attributes = to_python(op.attrs)
            self.operands = [v for v in op.operands_ if not isinstance(v.owner, WeightOp)]


def _requests(places: list[tuple[int, Box]]) -> Requests:
    """Boxes on cores, ranked as they come."""
    cores = np.array([core for core, _ in places], np.int64)
    ranks = np.arange(len(places))
    return Requests(table(box for _, box in places), cores, ranks, np.full_like(ranks, -1))
