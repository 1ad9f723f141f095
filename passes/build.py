"""From decisions to tasks: the task graph of a placed module.

Walks the ops in order. A matrix product becomes, for every piece of every part, the bringing of
its input box, its windows, and the sum over row shares; a digital op becomes one task a tile.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from math import prod

import numpy as np
from numpy.typing import NDArray
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
from imccompiler.passes.boxes import table
from imccompiler.passes.compute import Widths
from imccompiler.passes.digital import DigitalBuilder
from imccompiler.passes.gather import Gatherer
from imccompiler.passes.geometry import Box, cut_grid
from imccompiler.passes.kinds import kind_name, stock
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.moves import load_template, store_template, wait_template
from imccompiler.passes.products import ConstantLoader, Product, build_product
from imccompiler.passes.reloads import Reloader
from imccompiler.passes.taskgraph import GraphBuilder, Kind, Side, TaskGraph
from imccompiler.passes.values import Tiles, Value
from imccompiler.passes.workbench import Workbench
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
    segment: int = 0


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
    global_images: list[tuple[int, NDArray[np.uint8]]]
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
    return context.analysis("tasks", module, lambda: _Builder(context, module).run())


class _Builder:
    def __init__(self, context: CompileContext, module: ModuleOp) -> None:
        self._context = context
        self._machine = context.machine
        self._module = module
        self._graph = GraphBuilder()
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
        self._ports = self._allocate_ports()
        self._constant_bytes = self._constant_budgets()
        self._constants = ConstantLoader(self._graph, self._allocate_global)
        self._reloads = Reloader(
            self._machine, module, self._graph, context.store, self._allocate_global
        )
        self._placed: dict[Hashable, list[int]] = {}
        bench = Workbench(
            self._machine, self._graph, self._gatherer, self._functions, context.store
        )
        self._digital = DigitalBuilder(bench, self._values)

    def _allocate_ports(self) -> dict[Operation, int]:
        """Addresses of inputs and outputs: before all weights, where 32 bits reach."""
        addresses: dict[Operation, int] = {}
        for op in self._module.body.block.ops:
            if isinstance(op, InputOp):
                shape, code = shape_of(op.result), op.quant
            elif isinstance(op, OutputOp):
                shape, code = shape_of(op.value), getattr(op.value.owner, "quant", None)
            else:
                continue
            width = byte_width(quantization(code, op).bits)
            addresses[op] = self._allocate_global(prod(shape) * width)
        return addresses

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
            self._graph.finish(),
            tuple(self._layers),
            self._parts,
            self._functions,
            self._inputs,
            self._outputs,
            self._global_bytes,
            [*self._reloads.images, *self._constants.images],
            self._values,
        )

    def _constant_budgets(self) -> dict[str, int]:
        """Bytes that the constants of one part may take on each kind of core.

        Those of one segment are there together.
        """
        segments: dict[int, NDArray[np.int64]] = {}
        parts = np.zeros(self._machine.core_count, np.int64)
        for op in self._module.body.block.ops:
            if isinstance(op, MatmulOp) and op.placement is not None:
                number = op.segment.number if op.segment is not None else 0
                held = segments.setdefault(number, np.zeros_like(parts))
                np.add.at(held, np.array(op.placement.cores, np.int64), 1)
        for held in segments.values():
            np.maximum(parts, held, out=parts)
        return {
            name: of.kind.local_memory.kib
            * 1024
            // (CONSTANT_SHARE * max(1, int(parts[of.cores].max(initial=0))))
            for name, of in stock(self._machine).items()
        }

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
        address = self._ports[op]
        shape = shape_of(op.result)
        self._inputs.append(Port(op.port.data, shape, value.layout.axes, quant, address))
        cores = self._reading_cores(op.result)[-LOADERS:]
        waits = self._stagger(cores, layer)
        tiles: list[tuple[int, Box, int, int]] = []
        for rank, box in enumerate(cut_grid(whole, (min(STRIPS, whole.height), 1))):
            core = cores[rank % len(cores)]
            buffer = self._graph.buffer(core, box.size * value.element_bytes)
            template = load_template(box, whole, address, value.element_bytes)
            side = Side(self._graph.template(template), (buffer,))
            task = self._graph.add(Kind.LOAD, core, layer, rank, side, waits[core])
            tiles.append((core, box, buffer, task))
        value.tiles = Tiles.of(tiles)

    def _stagger(self, cores: list[int], layer: int) -> dict[int, tuple[int, ...]]:
        """Let cores begin one period after the other; returns what each has to wait for.

        Else all would ask the global memory at once, and machines differ in whom they serve first.
        """
        waits: dict[int, tuple[int, ...]] = {}
        for periods, core in enumerate(sorted(cores)):
            side = Side(self._graph.template(wait_template(periods)), ())
            waits[core] = (self._graph.add(Kind.WAIT, core, layer, 0, side),) if periods else ()
        return waits

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
        address = self._ports[op]
        shape = shape_of(op.value)
        self._outputs.append(Port(op.port.data, shape, value.layout.axes, quant, address))
        tiles, every = value.tiles, np.arange(len(value.tiles.core))
        buffers, done = tiles.buffer.tolist(), tiles.done.all
        for rank, (core, box) in enumerate(tiles.places):
            template = store_template(box, whole, address, value.element_bytes)
            side = Side(self._graph.template(template), (buffers[rank],))
            before = done.pick(every[rank : rank + 1]).values.tolist()
            self._graph.add(Kind.STORE, core, layer, rank, side, before)

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
        blocks = layer_blocks(
            op, self._machine, integer.weight_bits, tiling.pack, replication.unroll
        )
        rows, columns = replication.row_split, replication.column_split
        parts = parts_of_copy(blocks, rows, columns)
        copies = cut_grid(
            blocks.grouped(value.layout.whole), (replication.grid[0], replication.grid[1])
        )
        key = (op.weight, op.tiling, replication, placement)
        if key not in self._placed:  # else these weights stand there already
            self._placed[key] = [
                self._place_part(op, layer, blocks, parts[i % len(parts)], core)
                for i, core in enumerate(placement.cores)
            ]
        groups = self._placed[key]
        ready = self._reloads.load(layer, op, blocks, parts, groups)
        shape = len(copies), rows, columns
        product = Product(
            layer,
            integer,
            blocks,
            [parts[row * columns : (row + 1) * columns] for row in range(rows)],
            table(copies),
            np.array(placement.cores, np.int64).reshape(shape),
            np.array(groups, np.int64).reshape(shape),
            Widths(
                self._quants[op.input].bits,
                integer.accumulator_bits,
                integer.product_bits,
                self._quants[op.result].bits,
            ),
            self._values[op.input],
            value,
            op.grain.pieces if op.grain else 1,
            self._constant_bytes[kind_name(op, self._machine)],
            ready.reshape(shape),
            self._reloads.begun(placement.cores).reshape(shape),
        )
        tasks, cores = build_product(
            product, self._graph, self._gatherer, self._context.store, self._constants
        )
        self._reloads.used(cores, tasks)

    def _place_part(
        self, op: MatmulOp, layer: int, blocks: LayerBlocks, part: Part, core: int
    ) -> int:
        group = self._groups.get(core, 0)
        self._groups[core] = group + len(part.calls)
        segment = op.segment.number if op.segment is not None else 0
        self._parts.append(PlacedPart(op, layer, core, part, blocks, group, segment))
        return group
