"""Tasks of digital operators: their form, and those that are sums, maxima and means of windows."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from xdsl.ir import SSAValue

from imccompiler.ir.dialect import DigitalOp, DynamicMatmulOp, WeightOp, shape_of
from imccompiler.passes.compute import (
    PieceShape,
    add_template,
    average_template,
    max_pool_template,
    relu_template,
)
from imccompiler.passes.functions import FunctionBuilder
from imccompiler.passes.geometry import Box, Window2d, cut
from imccompiler.passes.pools import pool_window, slides_in_place
from imccompiler.passes.values import Tiles, Value
from imccompiler.passes.views import RENAMES, concatenated, renamed
from imccompiler.passes.workbench import Job, Places, Workbench
from imccompiler.program.artifact import Quantization
from imccompiler.program.isa import byte_width
from imccompiler.simulator.digital import integer_form
from imccompiler.simulator.integer import AddParameters, AverageParameters

CONSTANT_SHARE = 64  # constants of an elementwise operator may take this fraction of a memory
CONSTANT_BYTES = 16  # of one element: ones, two multipliers, an offset and a shift
GLOBAL_SPLIT = 8  # cores that share the channels of a global pooling

STREAM_BITS = {"add": 16, "average": 8, "maxpool": 8}
"""Widest codes that the streams of these forms are for; operands and result have one width."""


class DigitalBuilder:
    """Adds the tasks of digital operators to a graph."""

    def __init__(self, bench: Workbench, values: Mapping[SSAValue, Value]) -> None:
        self._bench = bench
        self._values = values
        self._functions = FunctionBuilder(bench)
        self._strip = max(1, min(2048, bench.memory // (CONSTANT_SHARE * CONSTANT_BYTES)))

    def build(
        self,
        op: DigitalOp | DynamicMatmulOp,
        layer: int,
        value: Value,
        quants: Mapping[SSAValue, Quantization],
    ) -> None:
        """Add the tasks that compute `value`, and give it its tiles."""
        job = Job(op, layer, value, self._values, quants)
        form = self._form(job)
        view = _view(job) if form == "move" else None
        match form:
            case _ if view is not None:
                value.tiles = view
                return
            case "add":
                self._add(job)
            case "maxpool":
                self._pool(job, self._max_pool)
            case "average":
                self._pool(job, self._average)
            case "relu":
                self._relu(job)
            case _:
                self._functions.build(job, moves=form == "move")
        value.tiles = Tiles.of(job.tiles)

    def _form(self, job: Job) -> str:
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

    def _add(self, job: Job) -> None:
        a, b = (job.quants[v] for v in job.operands)
        out = job.quants[job.op.result]
        p = AddParameters.from_quants(a, b, out, subtract=job.op_type == "Sub")
        product = max(p.product_bits, p.sum_bits)
        bits = a.bits
        wide = byte_width(p.multiplier_bits) * 8 if p.multiplier_bits > bits else bits
        tiles = job.first.tiles.places
        for rank, ((core, box), (operands, done)) in enumerate(
            zip(tiles, self._bench.fetch_all(job, [tiles] * len(job.operands)), strict=True)
        ):
            strip = min(box.size, self._strip)
            held = (
                *((1, bits), (p.multiplier_a, wide), (p.multiplier_b, wide)),
                *((p.offset, product), (p.shift, product)),
            )
            buffers = (
                *operands,
                *(self._bench.constant(core, strip, *each) for each in held),
                self._bench.scratch(core, strip, wide),
                self._bench.scratch(core, strip, product),
                self._bench.scratch(core, strip, product),
            )
            template = self._bench.graph.known(
                ("add", job.layer, box.size, strip),
                lambda size=box.size, n=strip: add_template(
                    size, n, bits, p.multiplier_bits, product
                ),
            )
            self._bench.emit(job, core, box, rank, template, buffers, done)

    def _relu(self, job: Job) -> None:
        quant = job.quants[job.op.result]
        tiles = job.first.tiles.places
        for rank, ((core, box), (operands, done)) in enumerate(
            zip(tiles, self._bench.fetch_all(job, [tiles] * len(job.operands)), strict=True)
        ):
            strip = min(box.size, self._strip)
            zero = self._bench.constant(core, strip, quant.zero_point, quant.bits)
            template = self._bench.graph.known(
                ("relu", job.layer, box.size),
                lambda size=box.size, n=strip: relu_template(size, n, quant.bits),
            )
            self._bench.emit(job, core, box, rank, template, (*operands, zero), done)

    def _pool(
        self,
        job: Job,
        make: Callable[[Job, Window2d, PieceShape, int], tuple[int, tuple[int, ...]]],
    ) -> None:
        source = job.first
        window = pool_window(job.op_type, job.attributes, source.layout)
        quant = job.quants[job.op.result]
        lowest = quant.low  # padding never wins a maximum; averages have none
        tiles = self._pool_tiles(job, source, window)
        reaches = [(core, window.reach(box)) for core, box in tiles]
        for rank, ((core, box), (_, reach), (buffer, done)) in enumerate(
            zip(tiles, reaches, self._bench.fetch(source, reaches, job.layer, lowest), strict=True)
        ):
            template, buffers = make(job, window, PieceShape(box, reach), core)
            self._bench.emit(job, core, box, rank, template, (buffer, *buffers), done)

    def _pool_tiles(self, job: Job, source: Value, window: Window2d) -> Places:
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
        self, job: Job, window: Window2d, shape: PieceShape, core: int
    ) -> tuple[int, tuple[int, ...]]:
        del core
        bits = job.quants[job.op.result].bits
        template = self._bench.graph.known(
            ("max", job.layer, shape.box.shape, shape.reach.shape),
            lambda: max_pool_template(window, shape, bits),
        )
        return template, ()

    def _average(
        self, job: Job, window: Window2d, shape: PieceShape, core: int
    ) -> tuple[int, tuple[int, ...]]:
        quant, out = job.quants[job.operands[0]], job.quants[job.op.result]
        p = AverageParameters.from_quants(quant, out, window.kernel[0] * window.kernel[1])
        channels = shape.box.channels
        held = (
            *((1, quant.bits), (p.multiplier, p.sum_bits)),
            *((p.offset, p.product_bits), (p.shift, p.product_bits)),
        )
        buffers = (
            self._bench.scratch(core, channels, p.sum_bits),
            self._bench.scratch(core, channels, p.sum_bits),
            self._bench.scratch(core, channels, p.product_bits),
            *(self._bench.constant(core, channels, *each) for each in held),
        )
        template = self._bench.graph.known(
            ("average", job.layer, shape.box.shape, shape.reach.shape),
            lambda: average_template(window, shape, quant.bits, p.sum_bits, p.product_bits),
        )
        return template, buffers


def _view(job: Job) -> Tiles | None:
    """The tiles of a result that is its operands' bytes, None if it is not."""
    if job.op_type == "Concat":
        axis = int(job.attributes["axis"]) % len(job.value.layout.shape)
        return concatenated(job.sources, axis, job.value.layout)
    return renamed(job.sources[0], job.value) if job.op_type in RENAMES else None
