"""Tasks of digital functions and movements: in which parts, and the function of each part."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from math import prod
from typing import Any

from numpy.typing import NDArray

from imccompiler.ir.dialect import DynamicMatmulOp, WeightOp, shape_of
from imccompiler.passes.compute import function_template
from imccompiler.passes.geometry import Box, cut, cut_rows_first
from imccompiler.passes.moves import copy_template
from imccompiler.passes.shuffles import picks
from imccompiler.passes.splits import Split, constant_for, extent_of, need_of, part_of, split_of
from imccompiler.passes.taskgraph import Kind, Side
from imccompiler.passes.values import Value
from imccompiler.passes.workbench import Fetched, Job, Places, Workbench
from imccompiler.program.artifact import Function, Operand, Quantization
from imccompiler.program.isa import byte_width

ROW_SPLIT = 8  # cores that share the rows of a function, if there are so many rows
THIN = 32  # channels: what has fewer of them would be read position by position
MOST_PARTS = 512  # tiles of an operand that a function follows
TILE_SHARE = 16  # operands and result of a function's part may take this fraction of a memory


class FunctionBuilder:
    """Adds the tasks of functions that the vector unit or the host evaluates."""

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._numbers: dict[Hashable, int] = {}  # of the functions that there are

    def build(self, job: Job, *, moves: bool) -> None:
        """Add the tasks that compute a result, in parts where that can be.

        Args:
            job: The operator.
            moves: Whether it only moves codes.
        """
        if isinstance(job.op, DynamicMatmulOp):
            self._evaluate(job, self._head_parts(job), None)
            return
        split = split_of(
            job.op_type,
            job.attributes,
            [source.layout for source in job.sources],
            job.value.layout,
            [shape_of(v) for v in job.op.operands_ if isinstance(v.owner, WeightOp)],
        )
        if split is not None:
            self._evaluate(job, self._parts(job, split), split)
        elif not (moves and self._shuffle(job)):
            whole = [(self._bench.one_core(job), job.value.layout.whole)]
            self._evaluate(job, whole, None)

    # ---- parts

    def _parts(self, job: Job, split: Split) -> Places:
        """Where the parts of a result are made: beside those of an operand, if they will do."""
        whole = job.value.layout.whole
        for source in job.sources if job.op.placement is None else ():
            served = [
                (core, part_of(split, source.layout, job.value.layout, box))
                for core, box in source.tiles.places
            ]
            parts = [(core, box) for core, box in served if box is not None]
            covered = sum(box.size for _, box in parts) == whole.size
            thin = any(box.channels < min(THIN, whole.channels) for _, box in parts)
            if covered and not thin and 1 < len(parts) <= MOST_PARTS:
                return parts
        return self._row_parts(job)

    def _row_parts(self, job: Job) -> Places:
        """Some rows of the result on each of some cores that have parts of the operands."""
        whole, cores = job.value.layout.whole, job.cores
        values = (job.value, *job.sources)
        size = sum(v.layout.whole.size * v.element_bytes for v in values)
        wanted = max(min(ROW_SPLIT, len(cores)), -(-size * TILE_SHARE // self._bench.memory))
        if wanted > len(cores) and job.op.placement is None:  # their memories would not do
            count = self._bench.machine.core_count
            cores = [i * count // wanted for i in range(min(wanted, count))]
        boxes = cut_rows_first(whole, min(wanted, whole.positions))
        if len(boxes) == 1:
            return [(self._bench.one_core(job), whole)]
        step = max(1, len(cores) // len(boxes))
        return [(cores[i * step % len(cores)], box) for i, box in enumerate(boxes)]

    def _head_parts(self, job: Job) -> Places:
        """A product of activations is split by its leading axes (attention heads)."""
        whole = job.value.layout.whole
        if not all(source.layout.grid[0] == whole.height for source in job.sources):
            return [(self._bench.one_core(job), whole)]
        cores = job.cores
        return [
            (cores[i % len(cores)], whole._replace(y0=y0, y1=y1))
            for i, (y0, y1) in enumerate(cut(whole.height, max(1, len(cores))))
        ]

    # ---- movements

    def _shuffle(self, job: Job) -> bool:
        """A large tensor is moved in parts, whatever the movement is; says whether it was."""
        whole = job.value.layout.whole
        parts = self._row_parts(job)
        small = whole.size * TILE_SHARE < self._bench.memory
        if len(job.sources) != 1 or len(parts) == 1 or small:
            return False
        (source,), code = job.sources, job.quants[job.op.result]
        operands = [
            self._bench.store[v.owner.key.data] if isinstance(v.owner, WeightOp) else shape_of(v)
            for v in job.op.operands
        ]
        boxes, layouts = [box for _, box in parts], (source.layout, job.value.layout)
        found = picks(job.op_type, job.attributes, operands, *layouts, boxes)
        if found is None:
            return False
        needs = [(core, pick.box) for (core, _), pick in zip(parts, found, strict=True)]
        for rank, ((core, box), pick, (buffer, done)) in enumerate(
            zip(parts, found, self._bench.fetch(source, needs, job.layer), strict=True)
        ):
            operand, result = (Operand((n,), (0,), code) for n in (pick.box.size, box.size))
            constants: dict[int, NDArray[Any]] = {1: pick.places}
            function = Function("Gather", {"axis": 0}, (operand,), result, constants)
            number = self._number((job.layer, operand, pick.places.tobytes()), function)
            self._call(job, (core, box), rank, number, ((buffer,), done))
        return True

    # ---- functions

    def _evaluate(self, job: Job, parts: Places, split: Split | None) -> None:
        """A function of each part; the whole result is evaluated as the operator says."""
        needs = [
            [(core, self._need(job, source, box, split)) for core, box in parts]
            for source in job.sources
        ]
        for rank, ((core, box), fetched) in enumerate(
            zip(parts, self._bench.fetch_all(job, needs), strict=True)
        ):
            whole = box == job.value.layout.whole
            flat = split is not None and split.flat
            rows = flat or (split is not None and split.looked_up)
            result = _seen(job.value, None if whole else box, job.quants[job.op.result], flat=flat)
            operands = tuple(
                _seen(source, None if whole else need[rank][1], job.quants[v], flat=rows)
                for source, need, v in zip(job.sources, needs, job.operands, strict=True)
            )
            number = self._function(job, operands, result, None if whole else box, split)
            packed = self._pack(job, core, rank, operands, fetched)
            self._call(job, (core, box), rank, number, packed)

    def _need(self, job: Job, source: Value, part: Box, split: Split | None) -> Box:
        """The box of an operand that a part of the result needs."""
        if part == job.value.layout.whole:
            return source.layout.whole
        if split is None:  # a product of activations, by heads
            return source.layout.whole._replace(y0=part.y0, y1=part.y1)
        return need_of(split, source.layout, job.value.layout, part)

    def _pack(
        self, job: Job, core: int, rank: int, operands: Sequence[Operand], fetched: Fetched
    ) -> Fetched:
        """Operands after the second are packed behind it."""
        buffers, done = fetched
        if len(buffers) <= 2:
            return fetched
        graph = self._bench.graph
        sizes = [prod(o.shape) * byte_width(o.quantization.bits) for o in operands[1:]]
        target = graph.buffer(core, sum(sizes))
        tasks: list[int] = []
        offset = 0
        for buffer, size in zip(buffers[1:], sizes, strict=True):
            box = Box(0, 1, 0, 1, 0, size)
            template = graph.known(("bytes", size), lambda b=box: copy_template(b, b, b, 1))
            side = Side(template, (buffer, target), offsets=(0, offset))
            tasks.append(graph.add(Kind.COPY, core, job.layer, rank, side, done))
            offset += size
        return (buffers[0], target), (*done, *tasks)

    def _function(
        self,
        job: Job,
        operands: tuple[Operand, ...],
        result: Operand,
        part: Box | None,
        split: Split | None,
    ) -> int:
        """The number of the function of the whole result, or of a part of it."""
        store, layout = self._bench.store, job.value.layout
        weights = {
            i: store[v.owner.key.data]
            for i, v in enumerate(job.op.operands)
            if isinstance(v.owner, WeightOp)
        }
        op_type, attributes, extents = job.op_type, job.attributes, {}
        if part is not None and split is not None:
            op_type, attributes = split.op_type, split.attributes
            extents = {i: extent_of(split, w.shape, layout, part) for i, w in weights.items()}
        constants = {i: constant_for(w, layout, extents.get(i, ())) for i, w in weights.items()}
        heads = isinstance(job.op, DynamicMatmulOp)
        macs = prod(result.shape) * operands[0].shape[-1] if heads else 0
        function = Function(op_type, dict(attributes), operands, result, constants, macs)
        key = (job.layer, operands, result, part is None, *extents.items())
        return self._number(key, function)

    def _number(self, key: Hashable, function: Function) -> int:
        """The number of a function; one that is there under its key is not added again."""
        if key not in self._numbers:
            self._numbers[key] = len(self._bench.functions)
            self._bench.functions.append(function)
        return self._numbers[key]

    def _call(
        self, job: Job, part: tuple[int, Box], rank: int, number: int, fetched: Fetched
    ) -> None:
        """The task that calls a function for a part (core, box) of the result."""
        function, (core, box) = self._bench.functions[number], part
        operands = len(function.operands)
        elements = max(prod(o.shape) for o in (function.result, *function.operands))
        template = self._bench.graph.known(
            ("function", number), lambda: function_template(elements, number, operands)
        )
        buffers, done = fetched
        self._bench.emit(job, core, box, rank, template, buffers, done)


def _seen(value: Value, part: Box | None, quant: Quantization, *, flat: bool) -> Operand:
    """A tensor, or a part of it with rows, columns and channels, or `flat`: channels in one row."""
    if part is None:
        return Operand(value.layout.shape, value.layout.axes, quant)
    shape = (part.positions, part.channels) if flat else part.shape
    return Operand(shape, tuple(range(len(shape))), quant)
