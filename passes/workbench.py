"""What the tasks of digital operators are made with: operands, constants, scratch and results."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from xdsl.ir import SSAValue

from imccompiler.hardware.schema import Machine
from imccompiler.ir.attributes import to_python
from imccompiler.ir.dialect import DigitalOp, DynamicMatmulOp, WeightOp
from imccompiler.ir.store import WeightStore
from imccompiler.passes.boxes import table
from imccompiler.passes.encoding import encode
from imccompiler.passes.gather import Gatherer, Requests
from imccompiler.passes.geometry import Box
from imccompiler.passes.ragged import starts_of
from imccompiler.passes.taskgraph import GraphBuilder, Kind, Side
from imccompiler.passes.values import Value
from imccompiler.program.artifact import Function, Quantization
from imccompiler.program.isa import byte_width

Places = Sequence[tuple[int, Box]]
"""Boxes on cores."""

Fetched = tuple[tuple[int, ...], tuple[int, ...]]
"""Buffers, and the tasks that fill them."""


class Job:
    """An operator with what its tasks are made from.

    `sources` are the tensors it reads; `tiles` (core, box, buffer, task) the parts made so far.
    """

    def __init__(
        self,
        op: DigitalOp | DynamicMatmulOp,
        layer: int,
        value: Value,
        values: Mapping[SSAValue, Value],
        quants: Mapping[SSAValue, Quantization],
    ) -> None:
        self.op = op
        self.layer = layer
        self.value = value
        self.quants = quants
        self.tiles: list[tuple[int, Box, int, int]] = []
        if isinstance(op, DynamicMatmulOp):
            self.op_type = "MatMul"
            self.attributes: dict[str, Any] = {}
            self.operands: list[SSAValue] = [op.lhs, op.rhs]
        else:
            self.op_type = op.op_type.data
            self.attributes = to_python(op.attrs)
            self.operands = [v for v in op.operands_ if not isinstance(v.owner, WeightOp)]
        self.sources = [values[v] for v in self.operands]

    @property
    def first(self) -> Value:
        """The first tensor that it reads."""
        return self.sources[0]

    @property
    def cores(self) -> list[int]:
        """The cores that are pinned for it, else all that have parts of what it reads."""
        if self.op.placement is not None:
            return list(self.op.placement.cores)
        return sorted({core for source in self.sources for core, _ in source.tiles.places})


@dataclass(frozen=True, slots=True, eq=False)
class Workbench:
    """Where tasks are put together; common to all digital operators."""

    machine: Machine
    graph: GraphBuilder
    gatherer: Gatherer
    functions: list[Function]
    store: WeightStore
    _constants: dict[tuple[int, ...], int] = field(default_factory=dict[tuple[int, ...], int])

    @property
    def memory(self) -> int:
        """Bytes of the smallest local memory."""
        kinds = self.machine.core_kinds.values()
        return min(kind.local_memory.kib for kind in kinds) * 1024

    def one_core(self, job: Job) -> int:
        """A core for an operator that is not split: a pinned one, else one with much memory."""
        if job.op.placement is not None:
            return job.op.placement.cores[0]
        return int(self.graph.bytes_of_cores(self.machine.core_count).argmin())

    def fetch(
        self, source: Value, places: Places, layer: int, padding: int = 0
    ) -> list[tuple[int, tuple[int, ...]]]:
        """A buffer with each box of a tensor on its core, and the tasks that fill it."""
        cores = np.array([core for core, _ in places], np.int64)
        ranks = np.arange(len(places))
        boxes = table(box for _, box in places)
        wanted = Requests(boxes, cores, ranks, np.full_like(ranks, -1))
        buffers, done = self.gatherer.gather(source, wanted, layer, padding)
        starts, tasks = starts_of(done.counts).tolist(), done.tasks.tolist()
        return [
            (buffer, tuple(tasks[a:b]))
            for buffer, (a, b) in zip(buffers.tolist(), pairwise(starts), strict=True)
        ]

    def fetch_all(self, job: Job, needs: Sequence[Places]) -> list[Fetched]:
        """For each part what it needs of every operand; `needs` are those of each operand."""
        got = [
            self.fetch(source, need, job.layer)
            for source, need in zip(job.sources, needs, strict=True)
        ]
        return [
            (tuple(buffer for buffer, _ in part), tuple(t for _, tasks in part for t in tasks))
            for part in zip(*got, strict=True)
        ]

    def emit(
        self,
        job: Job,
        core: int,
        box: Box,
        rank: int,
        template: int,
        buffers: tuple[int, ...],
        done: tuple[int, ...],
    ) -> None:
        """The task that makes a part of the result in a buffer of its own, the template's last."""
        result = self.graph.buffer(core, box.size * job.value.element_bytes)
        side = Side(template, (*buffers, result))
        task = self.graph.add(Kind.DIGITAL, core, job.layer, rank, side, done)
        job.tiles.append((core, box, result, task))

    def scratch(self, core: int, elements: int, bits: int) -> int:
        """A buffer for so many elements."""
        return self.graph.buffer(core, elements * byte_width(bits))

    def constant(self, core: int, count: int, value: int, bits: int) -> int:
        """A buffer that holds a value so many times; the same one for all who ask."""
        width = byte_width(bits)
        key = (core, count, value, width)
        if key not in self._constants:
            data = np.tile(encode(np.array([value]), width), count)
            self._constants[key] = self.graph.constant(core, data)
        return self._constants[key]
