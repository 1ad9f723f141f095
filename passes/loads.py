"""How long tasks keep the resources of a machine busy: what lower bounds are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost.machine import MachineTiming
from imccompiler.cost.rounding import PS_PER_NS
from imccompiler.hardware.schema import Machine
from imccompiler.passes.durations import Durations, TaskTimes
from imccompiler.passes.taskgraph import Kind, Side, TaskGraph
from imccompiler.passes.template import Template
from imccompiler.program.artifact import Function
from imccompiler.program.isa import AUX, IMM, MATRIX_OPS, OP, TRANSFER_OPS, VECTOR_OPS, Op

Resource = tuple[str, int, int]
"""A unit, its core and a number where a core has several; the global memory has core -1."""

MEMORY: Resource = ("global memory", -1, 0)


@dataclass(frozen=True, slots=True, eq=False)
class Loads:
    """Entry i: `task[i]` keeps resource `resource[i]` busy for `work_ns[i]`, all else apart.

    Attributes:
        names: Of the resources, in words.
        resource, task, work_ns: Shape (entries,).
        before_ns, after_ns: How long the task runs before it needs the resource and after it has
            left it, at least; shape (entries,).
        through_ns: From the first input that a task gets to the first result that needs it, at
            least; shape (tasks,).
    """

    names: tuple[str, ...]
    resource: NDArray[np.int64]
    task: NDArray[np.int64]
    work_ns: NDArray[np.float64]
    before_ns: NDArray[np.float64]
    after_ns: NDArray[np.float64]
    through_ns: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Footprint:
    """What one run of a template takes of each unit of its core, in ps.

    `groups` are crossbar groups, counted from the task's first; `through` is as in `Loads`.
    """

    units: dict[str, int]
    groups: dict[int, int]
    memory: int
    through: int


def core_loads(graph: TaskGraph, times: TaskTimes, machine: Machine) -> Loads:
    """Loads of cores that do one operation at a time: whole tasks serialise on them."""
    meter, cores, count = _Meter(machine, ()), machine.core_count, len(graph.tasks)
    core = np.array([t.core for t in graph.tasks], np.int64)
    peer = np.array([t.peer for t in graph.tasks], np.int64)
    sent = np.flatnonzero(peer >= 0)
    kept = [n for n, t in enumerate(graph.tasks) if t.kind in (Kind.LOAD, Kind.STORE)]
    memory = [meter.footprint(graph.tasks[n].side.template).memory / PS_PER_NS for n in kept]
    own, lead, none = times.own_ns, times.lead_ns, np.zeros(len(kept))
    return Loads(
        (*(f"core {c}" for c in range(cores)), MEMORY[0]),
        np.concatenate([core, peer[sent], np.full(len(kept), cores)]),
        np.concatenate([np.arange(count), sent, np.array(kept, np.int64)]),
        np.concatenate([own - lead, times.sender_ns[sent], np.array(memory, np.float64)]),
        np.concatenate([lead, np.zeros(len(sent)), none]),
        np.concatenate([np.zeros(count), (own - times.sender_ns)[sent].clip(min=0), none]),
        own,
    )


def unit_loads(graph: TaskGraph, machine: Machine, functions: Sequence[Function]) -> Loads:
    """Loads of cores with several operations in flight: only their single units serialise.

    The vector unit and the transfer unit hold one operation at a time, a crossbar group one
    product, and one instruction is decoded a period.
    """
    meter = _Meter(machine, functions)
    through = np.zeros(len(graph.tasks))
    entries: list[tuple[Resource, int, float]] = []
    for number, task in enumerate(graph.tasks):
        footprint = meter.footprint(task.side.template)
        through[number] = footprint.through / PS_PER_NS
        sides = [(task.core, task.side, footprint)]
        if task.sender is not None:
            sides.append((task.peer, task.sender, meter.footprint(task.sender.template)))
            sent, received, piece = meter.message_ps(task.peer, task.core, *task.payload)
            through[number] = piece / PS_PER_NS
            entries.append((("transfer unit", task.peer, 0), number, sent / PS_PER_NS))
            entries.append((("transfer unit", task.core, 0), number, received / PS_PER_NS))
        for core, side, taken in sides:
            entries.extend(_side_entries(number, core, side, taken))
    return _loads(entries, through)


def _side_entries(
    number: int, core: int, side: Side, taken: _Footprint
) -> Iterator[tuple[Resource, int, float]]:
    for unit, ps in taken.units.items():
        yield (unit, core, 0), number, ps / PS_PER_NS
    for group, ps in taken.groups.items():
        yield ("crossbar group", core, side.numbers[0] + group), number, ps / PS_PER_NS
    if taken.memory:
        yield MEMORY, number, taken.memory / PS_PER_NS


def _loads(entries: list[tuple[Resource, int, float]], through_ns: NDArray[np.float64]) -> Loads:
    index: dict[Resource, int] = {}
    resource = [index.setdefault(r, len(index)) for r, _, _ in entries]
    return Loads(
        tuple(_name(*r) for r in index),
        np.array(resource, np.int64),
        np.array([task for _, task, _ in entries], np.int64),
        np.array([work for _, _, work in entries], np.float64),
        np.zeros(len(entries)),
        np.zeros(len(entries)),
        through_ns,
    )


def _name(unit: str, core: int, number: int) -> str:
    if unit == "crossbar group":
        return f"core {core}, crossbar group {number}"
    return unit if core < 0 else f"core {core}" + ("" if unit == "core" else f", {unit}")


class _Meter:
    """Measures templates, each once."""

    def __init__(self, machine: Machine, functions: Sequence[Function]) -> None:
        timing = MachineTiming.of(machine)
        self._core, self._network = timing.main, timing.network
        self._durations = Durations(machine, functions)
        self._known: dict[int, _Footprint] = {}

    def message_ps(self, source: int, target: int, pieces: int, size: int) -> tuple[int, int, int]:
        """Time of a message on the sender's and on the receiver's unit, and that of one piece."""
        network, port = self._network, self._core.port
        asks = int(network.core_flit_ps[source, target])
        answers = int(network.core_flit_ps[target, source])
        read, travel = port.read_ps(size), int(network.message_ps(source, target, size))
        received = answers + read + travel + port.write_ps(size)
        return pieces * (asks + answers + read), pieces * received, asks + received

    def footprint(self, template: Template) -> _Footprint:
        """What a template takes; a message's transfers are left to `message_ps`."""
        key = id(template)
        if key not in self._known:
            self._known[key] = self._measure(template)
        return self._known[key]

    def _measure(self, template: Template) -> _Footprint:
        units = {"decoder": 0, "vector unit": 0, "transfer unit": 0}
        groups: dict[int, int] = {}
        least: dict[int, int] = {}
        memory = 0
        for row, times, widths in _run(template.code.tolist()):
            units["decoder"] += times * self._core.period_ps
            op = row[OP]
            if op <= Op.LOOP or op in (Op.SEND, Op.RECV):
                continue
            ps = self._durations.operation_ps(row, list(widths), template.group_crossbars)
            least[op] = min(ps, least.get(op, ps))
            if op in MATRIX_OPS:
                groups[row[IMM]] = groups.get(row[IMM], 0) + times * ps
            elif op in VECTOR_OPS:
                units["vector unit"] += times * ps
            elif op in TRANSFER_OPS:
                units["transfer unit"] += times * ps
                memory += times * self._memory_ps(op, row[IMM])
        if Op.MVMUL in least:  # a result passes a product and each of the vector operations
            through = least[Op.MVMUL] + sum(ps for op, ps in least.items() if op in VECTOR_OPS)
        else:
            through = min(least.values(), default=0)
        busy = {unit: ps for unit, ps in units.items() if ps}
        return _Footprint(busy, groups, memory, through)

    def _memory_ps(self, op: int, size: int) -> int:
        port = self._network.global_port
        return {Op.LD: port.read_ps(size), Op.ST: port.write_ps(size)}.get(Op(op), 0)


def _run(code: list[list[int]]) -> Iterator[tuple[list[int], int, tuple[int, int]]]:
    """Instructions, how often each runs, and the bit widths that then stand."""
    widths = (8, 8)
    open_loops: list[tuple[int, int]] = []  # end, times
    for at, row in enumerate(code):
        while open_loops and open_loops[-1][0] <= at:
            open_loops.pop()
        times = open_loops[-1][1] if open_loops else 1
        if row[OP] == Op.SETBW:
            widths = (row[IMM], row[AUX])
        yield row, times, widths
        if row[OP] == Op.LOOP:
            open_loops.append((at + 1 + row[AUX], times * row[IMM]))
