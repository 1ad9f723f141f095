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
        groups, tiles, matrices = crossbar_tables(built, context.machine, context.store)
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
    order = plan.schedule.order.tolist()
    senders = [number for number in order if tasks[number].sender is not None]
    sides = [tasks[n].side for n in order] + [s for n in senders if (s := tasks[n].sender)]
    place = np.empty(len(tasks), np.int64)
    place[order] = np.arange(len(order))
    at = np.concatenate([np.arange(len(order)), place[senders]])
    core = np.array([tasks[n].core for n in order] + [tasks[n].peer for n in senders], np.int64)
    layer = np.array([tasks[n].layer for n in (*order, *senders)], np.int32)
    lengths = np.array([len(s.template.code) for s in sides], np.int64)
    sequence = np.lexsort((at, core))  # core after core, each in the order of the schedule
    ends = np.cumsum(lengths[sequence])
    begins = np.empty(len(sides), np.int64)
    begins[sequence] = ends - lengths[sequence]
    code = np.zeros((int(lengths.sum()), len(COLUMNS)), np.int32)
    _, template_of = np.unique([id(s.template) for s in sides], return_inverse=True)
    by_template = np.argsort(template_of, kind="stable")
    edges = np.flatnonzero(np.diff(template_of[by_template], prepend=-1))
    for users in np.split(by_template, edges[1:]):
        chosen = [sides[i] for i in users.tolist()]
        if chosen:
            _instantiate(code, chosen[0].template, begins[users], chosen, places.address)
    code[:, LAYER] = np.repeat(layer[sequence], lengths[sequence])
    totals = np.bincount(core, lengths, cores).astype(np.int64)
    return code, np.concatenate([[0], np.cumsum(totals)])


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
        key = (r.kind, r.operand)
        if key not in values:
            values[key] = _values(r.kind, r.operand, users, address)
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
