"""`emit`: the program, every core's stream in the order of the schedule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from imccompiler.passes.allocate import Allocation, allocation
from imccompiler.passes.base import CompileContext, ImcPass
from imccompiler.passes.crossbars import crossbar_tables
from imccompiler.passes.ragged import Ints, Lists, spread, starts_of
from imccompiler.passes.schedule import Planned, planned
from imccompiler.passes.taskgraph import TaskGraph
from imccompiler.passes.template import NUMBER
from imccompiler.program.artifact import GLOBAL, Program
from imccompiler.program.isa import COLUMNS, LAYER


@dataclass(frozen=True)
class EmitPass(ImcPass):
    """Writes the program into the compile context.

    Deterministic: copies each task's template in the order of its core and fills in addresses
    and numbers.

    On entry: the module has an order and its buffers fit. On exit: `context.program` is set.
    """

    name: ClassVar[str] = "emit"

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Link all templates."""
        plan = planned(context, module)
        places = allocation(context, module)
        code, core_start = link(plan, places, context.machine.core_count)
        built = plan.built
        groups, tiles, matrices = crossbar_tables(built, context.machine, context.store)
        images = (
            *(
                (int(built.graph.buffer_core[b]), int(places.address[b]), data)
                for b, data in built.graph.constants.items()
            ),
            *((GLOBAL, address, data) for address, data in built.global_images),
        )
        context.program = Program(
            code=code,
            core_start=core_start,
            groups=groups,
            tiles=tiles,
            matrices=matrices,
            images=images,
            functions=tuple(built.functions),
            inputs=tuple(built.inputs),
            outputs=tuple(built.outputs),
            layers=built.layers,
            weight_bits=context.machine.weight_bits,
            input_bits=context.machine.activation_bits,
            local_bytes=places.used_bytes,
            global_bytes=built.global_bytes,
        )


def link(
    plan: Planned, places: Allocation, cores: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """All cores' code, and where each core's begins."""
    graph = plan.built.graph
    place = np.empty(len(graph), np.int64)
    place[plan.schedule.order] = np.arange(len(graph))
    core, template = graph.side_core, graph.side_template
    sequence = np.lexsort((place[graph.side_task], core))  # each core in the schedule's order
    codes = [t.code for t in graph.templates]
    lengths = np.array([len(c) for c in codes], np.int64)
    rows = lengths[template]
    copied = spread(starts_of(lengths)[template[sequence]], rows[sequence])
    code = np.concatenate([*codes, np.zeros((0, len(COLUMNS)), np.int32)])[copied]
    code[:, LAYER] = np.repeat(graph.layer[graph.side_task[sequence]], rows[sequence])
    begins = np.empty(len(sequence), np.int64)
    begins[sequence] = starts_of(rows[sequence])[:-1]
    _relocate(code, graph, begins, places.address)
    return code, starts_of(np.bincount(core, rows, cores).astype(np.int64))


def _relocate(
    code: NDArray[np.int32], graph: TaskGraph, begins: Ints, address: NDArray[np.int64]
) -> None:
    """Add addresses and numbers where the templates leave them open; sides begin at `begins`."""
    open_places = Lists(
        np.array([len(t.relocations) for t in graph.templates], np.int64),
        np.arange(sum(len(t.relocations) for t in graph.templates)),
    ).pick(graph.side_template)
    side = np.repeat(np.arange(len(begins)), open_places.counts)
    relocations = np.array([r for t in graph.templates for r in t.relocations], np.int64)
    row, column, operand = relocations.reshape(-1, 3)[open_places.values].T
    values = graph.side_number[side]
    to_buffer = operand != NUMBER
    used = starts_of(graph.operands.counts)[side[to_buffer]] + operand[to_buffer]
    values[to_buffer] = address[graph.operands.values[used]] + graph.offsets[used]
    code[begins[side] + row, column] += values.astype(np.int32)
