"""From decisions to tasks: the task graph of a placed module.

Walks the ops in order. A matrix product becomes, for every piece of every part, the bringing of
its input box, its windows, and the sum over row shares; a digital op becomes one task a tile.
"""

from __future__ import annotations

import gc
from dataclasses import dataclass, field

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from imccompiler.errors import PassError
from imccompiler.ir.decisions import Quant
from imccompiler.ir.dialect import (
    DigitalOp,
    DynamicMatmulOp,
    InputOp,
    MatmulOp,
    OutputOp,
    shape_of,
)
from imccompiler.passes.base import CompileContext
from imccompiler.passes.blocks import LayerBlocks, Part, layer_blocks, parts_of_copy
from imccompiler.passes.compute import (
    PieceShape,
    Widths,
    finish_template,
    gathered_bytes,
    matmul_template,
    send_sum_template,
    sum_template,
)
from imccompiler.passes.digital import DigitalBuilder
from imccompiler.passes.encoding import encode
from imccompiler.passes.geometry import Box, cut_grid, cut_rows_first
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.moves import load_template, store_template
from imccompiler.passes.taskgraph import Kind, Side, Task, TaskGraph
from imccompiler.passes.template import Template
from imccompiler.passes.values import Done, Gatherer, Tile, Value, tasks_for
from imccompiler.program.artifact import Function, Port, Quantization
from imccompiler.program.isa import byte_width

LOADERS = 16  # cores that load a network input
STRIPS = 128  # pieces in which it is loaded
CONSTANT_SHARE = 16  # all layers' constants may take this fraction of a local memory


@dataclass(frozen=True, slots=True)
class PlacedPart:
    """A part of a copy on its core, with its crossbar groups."""

    op: MatmulOp
    layer: int
    core: int
    part: Part
    blocks: LayerBlocks
    first_group: int


@dataclass(slots=True)
class Built:
    """A task graph and everything that `emit` needs beside it."""

    graph: TaskGraph
    layers: tuple[str, ...]
    parts: list[PlacedPart]
    functions: list[Function]
    inputs: list[Port]
    outputs: list[Port]
    global_bytes: int
    values: dict[SSAValue, Value] = field(default_factory=dict[SSAValue, Value])


def layer_name(op: Operation) -> str:
    """A layer's name: that of the ONNX node it came from."""
    source = getattr(op, "source", None)
    if source is not None:
        return source.node
    if isinstance(op, InputOp | OutputOp):
        return op.port.data
    return op.name


def quantization(quant: Quant | None, op: Operation) -> Quantization:
    """An op's quantisation.

    Raises:
        PassError: The module is not quantised yet.
    """
    if quant is None:
        raise PassError("has no quantisation", where=layer_name(op), hint="run `quantize` first")
    return Quantization(quant.scale, quant.zero_point, quant.bits)


def build(context: CompileContext, module: ModuleOp) -> Built:
    """The task graph of a placed module.

    Raises:
        PassError: A decision is missing.
    """

    def run() -> Built:
        # a hundred thousand small tuples and nothing to collect: the collector would only look
        enabled = gc.isenabled()
        gc.disable()
        try:
            return _Builder(context, module).run()
        finally:
            if enabled:
                gc.enable()

    return context.analysis("tasks", module, run)


class _Builder:
    def __init__(self, context: CompileContext, module: ModuleOp) -> None:
        self._context = context
        self._machine = context.machine
        self._kind = context.machine.main_kind
        self._module = module
        self._graph = TaskGraph()
        self._gatherer = Gatherer(self._graph)
        self._values: dict[SSAValue, Value] = {}
        self._quants: dict[SSAValue, Quantization] = {}
        self._layouts = assign_layouts(module)
        self._parts: list[PlacedPart] = []
        self._groups: dict[int, int] = {}
        self._layers: list[str] = []
        self._inputs: list[Port] = []
        self._outputs: list[Port] = []
        self._functions: list[Function] = []
        self._global_bytes = 0
        self._constant_bytes = self._constant_budget()
        self._templates: dict[tuple[object, ...], Template] = {}
        self._digital = DigitalBuilder(
            self._machine, self._graph, self._gatherer, self._values, self._functions, context.store
        )

    def run(self) -> Built:
        for op in self._module.body.block.ops:
            match op:
                case InputOp():
                    self._input(op)
                case MatmulOp():
                    self._matmul(op)
                case DigitalOp() | DynamicMatmulOp():
                    layer = self._layer(op)
                    value = self._new_value(op.result, quantization(op.quant, op))
                    self._digital.build(op, layer, value, self._quants)
                case OutputOp():
                    self._output(op)
                case _:
                    pass
        return Built(
            self._graph,
            tuple(self._layers),
            self._parts,
            self._functions,
            self._inputs,
            self._outputs,
            self._global_bytes,
            self._values,
        )

    def _constant_budget(self) -> int:
        """Bytes that the constants of one part may take."""
        parts = np.zeros(self._machine.core_count, np.int64)
        for op in self._module.body.block.ops:
            if isinstance(op, MatmulOp) and op.placement is not None:
                np.add.at(parts, np.array(op.placement.cores, np.int64), 1)
        memory = self._kind.local_memory.kib * 1024
        return memory // (CONSTANT_SHARE * max(1, int(parts.max())))

    def _layer(self, op: Operation) -> int:
        self._layers.append(layer_name(op))
        return len(self._layers) - 1

    def _new_value(self, result: SSAValue, quant: Quantization) -> Value:
        value = Value(self._layouts[result], byte_width(quant.bits), quant.zero_point)
        self._values[result] = value
        self._quants[result] = quant
        return value

    def _input(self, op: InputOp) -> None:
        """Strips of the input, loaded one after the other by few of the cores that read it.

        A core that waits for the global memory can do nothing else. Those that read the last
        part of the tensor would wait for it anyway.
        """
        layer = self._layer(op)
        quant = quantization(op.quant, op)
        value = self._new_value(op.result, quant)
        whole = value.layout.whole
        address = self._allocate_global(whole.size * value.element_bytes)
        shape = shape_of(op.result)
        self._inputs.append(Port(op.port.data, shape, value.layout.axes, quant, address))
        cores = self._reading_cores(op.result)[-LOADERS:]
        for rank, box in enumerate(cut_grid(whole, (min(STRIPS, whole.height), 1))):
            core = cores[rank % len(cores)]
            buffer = self._graph.buffer(core, box.size * value.element_bytes)
            template = load_template(box, whole, address, value.element_bytes)
            task = Task(Kind.LOAD, core, layer, rank, Side(template, (buffer,)))
            value.tiles.append(Tile(core, box, buffer, ((box, self._graph.add(task, ())),)))

    def _reading_cores(self, value: SSAValue) -> list[int]:
        for use in value.uses:
            placement = getattr(use.operation, "placement", None)
            if placement is not None:
                return list(dict.fromkeys(placement.cores))
        return [0]

    def _allocate_global(self, size: int) -> int:
        address = self._global_bytes
        align = self._machine.chip.global_memory.width_bytes
        self._global_bytes += -(-size // align) * align
        return address

    def _output(self, op: OutputOp) -> None:
        layer = self._layer(op)
        value = self._values[op.value]
        quant = self._quants[op.value]
        whole = value.layout.whole
        address = self._allocate_global(whole.size * value.element_bytes)
        shape = shape_of(op.value)
        self._outputs.append(Port(op.port.data, shape, value.layout.axes, quant, address))
        for rank, tile in enumerate(value.tiles):
            template = store_template(tile.box, whole, address, value.element_bytes)
            side = Side(template, (tile.buffer,))
            self._graph.add(Task(Kind.STORE, tile.core, layer, rank, side), tasks_for(tile.done))

    # ---- matrix products

    def _matmul(self, op: MatmulOp) -> None:
        layer = self._layer(op)
        name = self._layers[layer]
        integer, tiling, replication, placement = (
            op.integer,
            op.tiling,
            op.replication,
            op.placement,
        )
        if integer is None or tiling is None or replication is None or placement is None:
            raise PassError("is not mapped yet", where=name, hint="run the passes up to `place`")
        value = self._new_value(op.result, quantization(op.quant, op))
        bits, pack = integer.weight_bits, tiling.pack
        blocks = layer_blocks(op, self._machine, bits, pack, replication.unroll)
        parts = parts_of_copy(blocks, replication.row_split, replication.column_split)
        boxes = cut_grid(
            blocks.grouped(value.layout.whole), (replication.grid[0], replication.grid[1])
        )
        widths = Widths(
            self._machine.activation_bits,
            integer.accumulator_bits,
            integer.product_bits,
            op.quant.bits if op.quant else 8,
        )
        source = self._values[op.input]
        job = _Matmul(op, layer, blocks, widths, source, value, op.grain.pieces if op.grain else 1)
        per_copy = replication.row_split * replication.column_split
        for copy, box in enumerate(boxes):
            cores = placement.cores[copy * per_copy : (copy + 1) * per_copy]
            groups = [
                self._place_part(job, part, core) for part, core in zip(parts, cores, strict=True)
            ]
            for column in range(replication.column_split):
                members = [
                    (parts[i], cores[i], groups[i])
                    for i in range(column, per_copy, replication.column_split)
                ]
                part = members[0][0]
                self._column(job, members, box._replace(c0=part.out0, c1=part.out1))

    def _place_part(self, job: _Matmul, part: Part, core: int) -> int:
        group = self._groups.get(core, 0)
        self._groups[core] = group + len(part.calls)
        self._parts.append(PlacedPart(job.op, job.layer, core, part, job.blocks, group))
        return group

    def _column(self, job: _Matmul, members: list[tuple[Part, int, int]], box: Box) -> None:
        """All row shares of some columns of a copy.

        The input comes to each share at once. Where there is one share, the tile is computed in
        `grain` pieces; where there are several, it is cut into one piece a share, whose sum that
        share's core owns.
        """
        if len(members) == 1:  # pieces are whole rows, so that their results lie side by side
            pieces = cut_grid(box, (min(job.pieces, box.height), 1))
        else:
            pieces = cut_rows_first(box, len(members))
        largest = max(p.positions for p in pieces)
        per_value = byte_width(job.widths.accumulator) * 2 + byte_width(job.widths.product)
        budget = self._constant_bytes
        strip = max(1, min(largest, budget // (per_value * box.channels)))
        gathered = [self._gather(job, member, box) for member in members]
        if len(members) == 1:
            self._whole_sums(job, members[0], gathered[0], box, pieces, strip)
            return
        scratches = [
            self._scratch(job, member, reach, largest * box.channels)
            for member, (reach, _, _) in zip(members, gathered, strict=True)
        ]
        for owner, piece in enumerate(pieces):
            constants = self._constants(job, members[owner][1], box, strip)
            self._shared_sum(job, members, gathered, scratches, piece, owner, constants, strip)

    def _gather(
        self, job: _Matmul, member: tuple[Part, int, int], box: Box
    ) -> tuple[Box, int, Done]:
        part, core, _ = member
        reach = part.reach(job.blocks.window, box)
        buffer, done = self._gatherer.gather(
            job.source, reach, core, job.layer, 0, job.source.zero_point
        )
        return reach, buffer, done

    def _constants(self, job: _Matmul, core: int, box: Box, strip: int) -> tuple[int, int, int]:
        """Bias, multiplier and shift of some columns, repeated for `strip` positions."""
        key = (job.layer, core, box.c0, box.c1, strip)
        if key not in job.constants:
            integer = job.op.integer
            if integer is None:
                raise PassError("is not quantised", where=self._layers[job.layer])
            accumulator = byte_width(job.widths.accumulator)
            product = byte_width(job.widths.product)
            store = self._context.store
            job.constants[key] = tuple(
                self._graph.constant(
                    core,
                    np.tile(
                        encode(np.tile(store[entry], job.blocks.unroll)[box.c0 : box.c1], w), strip
                    ),
                )
                for entry, w in (
                    (integer.bias, accumulator),
                    (integer.multiplier, accumulator),
                    (integer.shift, product),
                )
            )
        bias, multiplier, shift = job.constants[key]
        return bias, multiplier, shift

    def _scratch(
        self, job: _Matmul, member: tuple[Part, int, int], reach: Box, elements: int
    ) -> tuple[int, int]:
        """Scratch of a part: planes of its further row blocks, and gathered inputs."""
        part, core, _ = member
        planes = (part.planes - 1) * elements * byte_width(job.widths.accumulator)
        gathered = gathered_bytes(part, job.blocks.window, reach)
        return self._graph.buffer(core, planes), self._graph.buffer(core, gathered)

    def _whole_sums(
        self,
        job: _Matmul,
        member: tuple[Part, int, int],
        gathered: tuple[Box, int, Done],
        box: Box,
        pieces: list[Box],
        strip: int,
    ) -> None:
        """Pieces of a tile whose sums are whole on one core: one result, common scratch."""
        graph = self._graph
        part, core, group = member
        reach, source, done = gathered
        largest = max(p.positions for p in pieces) * part.columns
        sums = graph.buffer(core, largest * byte_width(job.widths.accumulator))
        planes, scratch = self._scratch(job, member, reach, largest)
        products = graph.buffer(core, largest * byte_width(job.widths.product))
        result = graph.buffer(core, box.size * job.value.element_bytes)
        constants = self._constants(job, core, box, strip)
        completed: list[tuple[Box, int]] = []
        for rank, piece in enumerate(pieces):
            template = self._matmul_template(job, part, piece, reach, strip)
            seen = part.reach(job.blocks.window, piece)
            buffers = (source, sums, planes, scratch, products, *constants, result)
            offsets = [0] * len(buffers)
            offsets[0] = reach.offset_of(seen)
            offsets[-1] = box.offset_of(piece, job.value.element_bytes)
            side = Side(template, buffers, (group,), tuple(offsets))
            task = Task(Kind.COMPUTE, core, job.layer, rank, side)
            before = tasks_for(done, seen)
            completed.append((job.blocks.ungrouped(piece), graph.add(task, before)))
        job.value.tiles.append(Tile(core, job.blocks.ungrouped(box), result, tuple(completed)))

    def _shared_sum(
        self,
        job: _Matmul,
        members: list[tuple[Part, int, int]],
        gathered: list[tuple[Box, int, Done]],
        scratches: list[tuple[int, int]],
        piece: Box,
        owner: int,
        constants: tuple[int, int, int],
        strip: int,
    ) -> None:
        """A piece whose sum is spread over the row shares and completed by its owner."""
        graph = self._graph
        sums: list[tuple[int, int]] = []  # (buffer, task) of each member
        for member, (part, core, group) in enumerate(members):
            # every core begins with the piece whose sum it owns, so that others can add to it
            rank = (owner - member) % len(members)
            reach, source, done = gathered[member]
            total = graph.buffer(core, piece.size * byte_width(job.widths.accumulator))
            planes, scratch = scratches[member]
            template = self._matmul_template(job, part, piece, reach, None)
            seen = part.reach(job.blocks.window, piece)
            buffers = (source, total, planes, scratch)
            side = Side(template, buffers, (group,), (reach.offset_of(seen),))
            before = tasks_for(done, seen)
            task = graph.add(Task(Kind.COMPUTE, core, job.layer, rank, side), before)
            sums.append((total, task))
        core = members[owner][1]
        result = graph.buffer(core, piece.size * job.value.element_bytes)
        products = graph.buffer(core, piece.size * byte_width(job.widths.product))
        last = self._reduce(job, members, piece, owner, sums, (products, *constants, result), strip)
        made = job.blocks.ungrouped(piece)
        job.value.tiles.append(Tile(core, made, result, ((made, last),)))

    def _matmul_template(
        self,
        job: _Matmul,
        part: Part,
        piece: Box,
        reach: Box,
        finish: int | None,
    ) -> Template:
        key = (job.layer, id(part), piece.shape, reach.shape, finish)
        if key not in self._templates:
            self._templates[key] = matmul_template(
                job.layer,
                part,
                job.blocks.window,
                PieceShape(piece, reach),
                job.widths,
                finish=finish,
                columns_per_crossbar=job.blocks.columns_per_crossbar,
            )
        return self._templates[key]

    def _reduce(
        self,
        job: _Matmul,
        members: list[tuple[Part, int, int]],
        piece: Box,
        owner: int,
        sums: list[tuple[int, int]],
        completion: tuple[int, ...],
        strip: int,
    ) -> int:
        """Send the other shares' sums to the owner, who adds them and completes the piece."""
        graph, layer = self._graph, job.layer
        core = members[owner][1]
        size = piece.size * byte_width(job.widths.accumulator)
        total, first = sums[owner]
        added = [first]
        for member, (_, sender, _) in enumerate(members):
            if member == owner:
                continue
            rank = (owner - member) % len(members)
            buffer, computed = sums[member]
            staging = graph.buffer(core, size) if sender != core else buffer
            key = ("reduce", layer, piece.size, sender == core)
            if key not in self._templates:
                self._templates[key] = sum_template(
                    layer, piece.size, job.widths, local=sender == core
                )
                self._templates["send", layer, piece.size] = send_sum_template(layer, size)
            receive = Side(self._templates[key], (total, staging), (sender,))
            if sender == core:
                task = Task(Kind.COMPUTE, core, layer, rank, receive)
            else:
                send = Side(self._templates["send", layer, piece.size], (buffer,), (core,))
                task = Task(Kind.MESSAGE, core, layer, rank, receive, sender, send, (1, size))
            added.append(graph.add(task, (first, computed)))
        key = ("finish", layer, piece.positions, piece.channels, strip)
        if key not in self._templates:
            self._templates[key] = finish_template(
                layer, piece.positions, piece.channels, job.widths, strip
            )
        side = Side(self._templates[key], (total, *completion))
        return graph.add(Task(Kind.COMPUTE, core, layer, len(members), side), tuple(added))


@dataclass(slots=True)
class _Matmul:
    op: MatmulOp
    layer: int
    blocks: LayerBlocks
    widths: Widths
    source: Value
    value: Value
    pieces: int
    constants: dict[tuple[int, ...], tuple[int, ...]] = field(
        default_factory=dict[tuple[int, ...], tuple[int, ...]]
    )
