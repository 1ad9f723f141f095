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
    tasks = plan.built.graph.tasks
    sides: list[list[tuple[Side, int]]] = [[] for _ in range(cores)]
    for number in plan.schedule.order.tolist():
        task = tasks[number]
        sides[task.core].append((task.side, task.layer))
        if task.sender is not None:
            sides[task.peer].append((task.sender, task.layer))
    uses: dict[int, list[int]] = defaultdict(list)
    flat = [pair for mine in sides for pair in mine]
    for index, (side, _) in enumerate(flat):
        uses[id(side.template)].append(index)
    lengths = np.array([len(side.template.code) for side, _ in flat], np.int64)
    begins = np.concatenate([[0], np.cumsum(lengths)])
    first = np.concatenate([[0], np.cumsum([len(mine) for mine in sides])])
    code = np.zeros((int(begins[-1]), len(COLUMNS)), np.int32)
    for users in uses.values():
        chosen = [flat[i][0] for i in users]
        _instantiate(code, chosen[0].template, begins[users], chosen, places.address)
    code[:, LAYER] = np.repeat(np.array([layer for _, layer in flat], np.int32), lengths)
    return code, begins[first]


def _instantiate(
    code: NDArray[np.int32],
    template: Template,
    begins: NDArray[np.int64],
    users: list[Side],
    address: NDArray[np.int64],
) -> None:
    """Copy a template to all places where it is used, and fill in what differs."""
    rows = np.arange(len(template.code))
    code[begins[:, None] + rows] = template.code
    values: dict[tuple[int, int], NDArray[np.int64]] = {}
    for r in template.relocations:
        key = (r.kind, r.index)
        if key not in values:
            values[key] = _values(r.kind, r.index, users, address)
        code[begins + r.row, r.column] += values[key].astype(np.int32)


def _values(
    kind: int, index: int, users: list[Side], address: NDArray[np.int64]
) -> NDArray[np.int64]:
    if kind != BUFFER:
        return np.array([u.numbers[index] for u in users], np.int64)
    values = address[[u.buffers[index] for u in users]]
    if index < len(users[0].offsets):
        values += np.array([u.offsets[index] for u in users], np.int64)
    return values
