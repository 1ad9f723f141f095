"""`emit`: the program, every core's stream in the order of the schedule."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from imccompiler.passes.allocate import Allocation, allocation
from imccompiler.passes.base import CompileContext, ImcPass
from imccompiler.passes.crossbars import crossbar_tables
from imccompiler.passes.schedule import Planned, planned
from imccompiler.passes.taskgraph import Side
from imccompiler.passes.template import BUFFER, Template
from imccompiler.program.artifact import Program
from imccompiler.program.isa import COLUMNS


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
        groups, tiles, matrices = crossbar_tables(built, context.store)
        images = tuple(
            (built.graph.buffer_core[b], int(places.address[b]), data)
            for b, data in built.graph.constants.items()
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
    sides: list[list[Side]] = [[] for _ in range(cores)]
    for number in plan.schedule.order.tolist():
        task = graph.tasks[number]
        sides[task.core].append(task.side)
        if task.sender is not None:
            sides[task.peer].append(task.sender)
    lengths = [sum(len(s.template.code) for s in mine) for mine in sides]
    core_start = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    code = np.zeros((int(core_start[-1]), len(COLUMNS)), np.int32)
    uses: dict[int, tuple[Template, list[int], list[Side]]] = {}
    at = 0
    for mine in sides:
        for side in mine:
            entry = uses.get(id(side.template))
            if entry is None:
                entry = uses[id(side.template)] = (side.template, [], [])
            entry[1].append(at)
            entry[2].append(side)
            at += len(side.template.code)
    for template, offsets, users in uses.values():
        _instantiate(code, template, np.array(offsets), users, places.address)
    return code, core_start


def _instantiate(
    code: NDArray[np.int32],
    template: Template,
    offsets: NDArray[np.int64],
    users: list[Side],
    address: NDArray[np.int64],
) -> None:
    rows = np.arange(len(template.code))
    code[offsets[:, None] + rows[None, :]] = template.code[None]
    values: dict[tuple[int, int], NDArray[np.int64]] = {}
    wanted: dict[int, set[int]] = defaultdict(set)
    for r in template.relocations:
        wanted[r.kind].add(r.index)
    for kind, indices in wanted.items():
        for index in indices:
            if kind == BUFFER:
                values[kind, index] = address[[u.buffers[index] for u in users]]
            else:
                values[kind, index] = np.array([u.numbers[index] for u in users], np.int64)
    for r in template.relocations:
        code[offsets + r.row, r.column] += values[r.kind, r.index].astype(np.int32)
