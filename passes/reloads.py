"""Weights that come and go: the tasks that bring a segment's weights to a core, and their time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from imccompiler.cost.rounding import PS_PER_NS
from imccompiler.hardware.cores import cores_of_kind, of_cores
from imccompiler.hardware.schema import Machine
from imccompiler.ir.absent import is_absent
from imccompiler.ir.dialect import MatmulOp
from imccompiler.ir.store import WeightStore
from imccompiler.passes.base import CompileContext
from imccompiler.passes.blocks import Call, LayerBlocks, Part, block_matrix
from imccompiler.passes.moves import fetch_template, split_address, write_template
from imccompiler.passes.ragged import Ints
from imccompiler.passes.taskgraph import GraphBuilder, Kind, Side

CHUNK_SHARE = 8  # weights on their way to crossbars may take this fraction of a local memory


def reload_ns_per_crossbar(context: CompileContext, kind: str) -> float:
    """Time between crossbars in a stream of weights to all cores of a kind.

    All weights come through the one port of the global memory; a core also writes them into its
    local memory and programs its crossbars, which cores do side by side.
    """
    core, network = context.times.kinds[kind], context.times.network
    machine = context.machine
    size = weight_bytes(core.rows * core.outputs_per_crossbar, machine.weight_bits)
    served = network.global_port.read_ps(size)
    programmed = served + core.port.write_ps(size) + core.write_crossbar_ps
    return max(served, programmed / int(cores_of_kind(machine, kind).sum())) / PS_PER_NS


def weight_bytes(weights: int, bits: int) -> int:
    """Bytes of so many weights in the global memory, packed."""
    return -(-weights * bits // 8)


@dataclass(frozen=True, slots=True, eq=False)
class _Job:
    """A layer whose weights are loaded."""

    layer: int
    op: MatmulOp
    blocks: LayerBlocks
    segment: int


class Reloader:
    """Adds the tasks that load weights, on cores that have parts of several segments.

    On such a core the weights of a segment come when all its products of the segment before are
    done. On all other cores weights are there from the start.
    """

    def __init__(
        self,
        machine: Machine,
        module: ModuleOp,
        graph: GraphBuilder,
        store: WeightStore,
        allocate: Callable[[int], int],
    ) -> None:
        self._graph = graph
        self._store = store
        self._allocate = allocate
        self._weight_bits = machine.weight_bits
        memory = of_cores(machine, lambda kind: kind.local_memory.kib * 1024)
        self._chunks: list[int] = (memory // CHUNK_SHARE).tolist()
        self._turning = _cores_with_turns(module)
        self._segment: dict[int, int] = {}
        self._users: dict[int, list[int]] = {}  # tasks that need what is on the core
        self._last: dict[int, tuple[int, ...]] = {}  # what the next load of the core waits for
        self._ready: dict[tuple[int, int], int] = {}
        self._begun: dict[int, int] = {}
        self._addresses: dict[tuple[int, int], int] = {}
        self.images: list[tuple[int, NDArray[np.uint8]]] = []
        """The weights in the global memory: addresses and bytes; not those that are absent."""

    def load(
        self,
        layer: int,
        op: MatmulOp,
        blocks: LayerBlocks,
        parts: Sequence[Part],
        groups: Sequence[int],
    ) -> Ints:
        """Load a layer's parts; returns the task after which each is there, -1 if always.

        `parts` are those of a copy, `groups` the first groups of all copies' parts; groups that
        were loaded before, for another layer with the same weights, are there.
        """
        if op.segment is None or op.placement is None or not self._turning:
            return np.full(len(groups), -1, np.int64)
        job = _Job(layer, op, blocks, op.segment.number)
        return np.array(
            [
                self._load(job, index % len(parts), parts[index % len(parts)], core, group)
                for index, (core, group) in enumerate(zip(op.placement.cores, groups, strict=True))
            ],
            np.int64,
        )

    def begun(self, cores: Sequence[int]) -> Ints:
        """The task with which each core begins to load its present segment, -1 if there is none."""
        return np.array([self._begun.get(core, -1) for core in cores], np.int64)

    def used(self, cores: Ints, tasks: Ints) -> None:
        """Note a product's tasks: what is on their cores does not go before they are done.

        That holds for its sums, too: a core that went on without them would gather ever more.
        """
        if self._turning:
            for core, task in zip(cores.tolist(), tasks.tolist(), strict=True):
                if core in self._turning:
                    self._users.setdefault(core, []).append(task)

    def _load(self, job: _Job, index: int, part: Part, core: int, group: int) -> int:
        if core not in self._turning:
            return -1
        if (core, group) in self._ready:
            return self._ready[core, group]
        if self._segment.get(core) != job.segment:
            self._segment[core] = job.segment
            self._last[core] = (*self._last.get(core, ()), *self._users.pop(core, ()))
            self._begun.pop(core, None)
        address = self._address(job, index, part)
        number, most = 0, self._chunks[core]
        for calls in _chunks(part.calls, self._bytes, most):
            size = sum(map(self._bytes, calls))
            buffer = self._graph.buffer(core, min(size, most))
            for begin in range(0, size, most):
                piece = min(most, size - begin)
                side = fetch(self._graph, address + begin, piece, buffer)
                self._step(Kind.LOAD, job.layer, core, side)
            address += size
            count = len(calls)
            write = self._graph.known(("write", count), lambda n=count: write_template(n))
            self._step(Kind.WRITE, job.layer, core, Side(write, (buffer,), group + number))
            number += count
        (self._ready[core, group],) = self._last[core]
        return self._ready[core, group]

    def _step(self, kind: Kind, layer: int, core: int, side: Side) -> None:
        task = self._graph.add(kind, core, layer, 0, side, self._last[core])
        self._last[core] = (task,)
        self._begun.setdefault(core, task)

    def _bytes(self, call: Call) -> int:
        rows = sum(block.rows for block in call.stack)
        return weight_bytes(rows * (call.out1 - call.out0), self._weight_bits)

    def _address(self, job: _Job, index: int, part: Part) -> int:
        """Where a part's weights lie in the global memory; copies have them in common."""
        if (job.layer, index) not in self._addresses:
            size = sum(map(self._bytes, part.calls))
            self._addresses[job.layer, index] = address = self._allocate(size)
            codes = self._store[job.op.integer.weight] if job.op.integer is not None else None
            if codes is not None and not is_absent(codes):
                for call in part.calls:
                    data = _packed(_matrix(job, call, codes), self._weight_bits)
                    self.images.append((address, data))
                    address += data.size
        return self._addresses[job.layer, index]


def _matrix(job: _Job, call: Call, codes: NDArray[Any]) -> NDArray[np.integer]:
    """Weight codes of a call, row block after row block."""
    pack = job.blocks.packs[call.pack]
    outputs = slice(call.out0 - pack.out0, call.out1 - pack.out0)
    return np.concatenate(
        [
            block_matrix(job.op, codes, block, pack, job.blocks.unroll)[:, outputs]
            for block in call.stack
        ]
    )


def _packed(codes: NDArray[np.integer], bits: int) -> NDArray[np.uint8]:
    """Two's complement of so many bits each, one after the other, least significant bit first."""
    if bits == 8:
        return codes.astype(np.int8).view(np.uint8).reshape(-1)
    planes = codes.reshape(-1, 1).astype(np.int64) >> np.arange(bits) & 1
    return np.packbits(planes.astype(np.uint8).reshape(-1), bitorder="little")


def fetch(graph: GraphBuilder, address: int, size: int, buffer: int) -> Side:
    """Load bytes from the global memory into a buffer."""
    high, low = split_address(address)
    template = graph.known(("fetch", high, size), lambda: fetch_template(high, size))
    return Side(template, (buffer,), low)


def _cores_with_turns(module: ModuleOp) -> set[int]:
    """Cores that hold parts of more than one segment."""
    segments: dict[int, set[int]] = {}
    for op in module.body.block.ops:
        if isinstance(op, MatmulOp) and op.segment is not None and op.placement is not None:
            for core in op.placement.cores:
                segments.setdefault(core, set()).add(op.segment.number)
    return {core for core, numbers in segments.items() if len(numbers) > 1}


def _chunks(calls: Sequence[Call], size_of: Callable[[Call], int], most: int) -> list[list[Call]]:
    """Successive calls whose weights are moved together: up to `most` bytes, at least one call."""
    chunks: list[list[Call]] = []
    held = 0
    for call in calls:
        size = size_of(call)
        if not chunks or held + size > most:
            chunks.append([])
            held = 0
        chunks[-1].append(call)
        held += size
    return chunks
