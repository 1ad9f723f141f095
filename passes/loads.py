"""How long tasks keep the resources of a machine busy: what lower bounds are made of."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost.host import HostTiming
from imccompiler.cost.machine import MachineTiming, Ports
from imccompiler.cost.rounding import PS_PER_NS
from imccompiler.hardware.cores import kind_numbers
from imccompiler.hardware.schema import Machine
from imccompiler.passes.durations import CoreDurations, TaskTimes, on_kinds
from imccompiler.passes.ragged import Lists
from imccompiler.passes.taskgraph import TaskGraph
from imccompiler.passes.template import Template
from imccompiler.program.artifact import Function
from imccompiler.program.isa import AUX, IMM, MATRIX_OPS, OP, TRANSFER_OPS, VECTOR_OPS, Op

MEMORY = "global memory"
UNITS = ("decoder", "vector unit", "transfer unit")
"""What each core has one of, beside its crossbar groups."""


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

    `units` are in the order of UNITS; `groups` are crossbar groups, counted from the task's first;
    `through` is as in `Loads`.
    """

    units: tuple[int, ...]
    groups: dict[int, int]
    memory: int
    through: int


def core_loads(graph: TaskGraph, times: TaskTimes, machine: Machine) -> Loads:
    """Loads of cores that do one operation at a time: whole tasks serialise on them."""
    meter, cores = _Meter(machine, ()), machine.core_count
    every, sent = np.arange(len(graph)), np.flatnonzero(graph.peer >= 0)
    kept = np.flatnonzero(graph.uses_memory)
    memory = [
        meter.measure(graph.templates[t], 0).memory for t in graph.own_template[kept].tolist()
    ]
    own, lead, none = times.own_ns, times.lead_ns, np.zeros(len(kept))
    return Loads(
        (*(f"core {c}" for c in range(cores)), MEMORY),
        np.concatenate([graph.core, graph.peer[sent], np.full(len(kept), cores)]),
        np.concatenate([every, sent, kept]),
        np.concatenate([own - lead, times.sender_ns[sent], np.array(memory) / PS_PER_NS]),
        np.concatenate([lead, np.zeros(len(sent)), none]),
        np.concatenate([np.zeros(len(own)), (own - times.sender_ns)[sent].clip(min=0), none]),
        own,
    )


def unit_loads(graph: TaskGraph, machine: Machine, functions: Sequence[Function]) -> Loads:
    """Loads of cores with several operations in flight: only their single units serialise.

    The vector unit and the transfer unit hold one operation at a time, a crossbar group one
    product, and one instruction is decoded a period.
    """
    meter, cores = _Meter(machine, functions), machine.core_count
    side_core, task = graph.side_core, graph.side_task
    footprints, side = _footprints(meter, graph)
    sent = np.flatnonzero(graph.peer >= 0)
    source, target = graph.peer[sent], graph.core[sent]
    left, received, piece = meter.messages_ps(
        source, target, graph.pieces[sent], graph.piece_bytes[sent]
    )
    through = np.array([f.through for f in footprints], np.float64)[side[: len(graph)]]
    through[sent] = piece
    units = np.array([f.units for f in footprints], np.float64).reshape(-1, len(UNITS))
    groups = Lists(
        np.array([len(f.groups) for f in footprints], np.int64),
        np.arange(sum(len(f.groups) for f in footprints)),
    ).pick(side)
    group, ps = np.array([g for f in footprints for g in f.groups.items()]).reshape(-1, 2).T
    used = np.repeat(np.arange(len(side)), groups.counts)
    # resources: the memory, each unit of each core, then each group of each core
    memory = np.array([f.memory for f in footprints], np.float64)
    columns = [(np.zeros(len(side), np.int64), task, memory[side])]
    columns += [(1 + u * cores + side_core, task, units[side, u]) for u in range(len(UNITS))]
    transfer = 1 + UNITS.index("transfer unit") * cores
    columns += [(transfer + source, sent, left), (transfer + target, sent, received)]
    number = graph.side_number[used] + group.astype(np.int64)[groups.values]
    columns.append(
        (1 + (len(UNITS) + number) * cores + side_core[used], task[used], ps[groups.values])
    )
    resource, tasks, work = (np.concatenate(c) for c in zip(*columns, strict=True))
    resource, tasks, work = resource[work > 0], tasks[work > 0], work[work > 0]
    known, resource = np.unique(resource, return_inverse=True)
    none = np.zeros(len(work))
    names = tuple(_name(*divmod(r - 1, cores)) if r else MEMORY for r in known.tolist())
    return Loads(names, resource, tasks, work / PS_PER_NS, none, none, through / PS_PER_NS)


def _footprints(meter: _Meter, graph: TaskGraph) -> tuple[list[_Footprint], NDArray[np.int64]]:
    """Every template on every kind of core that runs it, and which of these each side is."""
    pairs, form = on_kinds(graph, meter.kind_of_core[graph.side_core], graph.side_template)
    return [meter.measure(graph.templates[number], kind) for kind, number in pairs], form


def _name(unit: int, core: int) -> str:
    number = unit - len(UNITS)
    return f"core {core}, " + (UNITS[unit] if number < 0 else f"crossbar group {number}")


class _Meter:
    """Measures templates and messages."""

    def __init__(self, machine: Machine, functions: Sequence[Function]) -> None:
        timing = MachineTiming.of(machine)
        self._network, self._ports = timing.network, Ports.of(timing)
        self.kind_of_core = kind_numbers(machine)
        self._period_ps = [timing.kinds[name].period_ps for name in machine.core_kinds]
        host = HostTiming.of(machine.host)
        self._durations = [
            CoreDurations(timing.kinds[name], timing.network, functions, host)
            for name in machine.core_kinds
        ]

    def messages_ps(
        self,
        source: NDArray[np.int64],
        target: NDArray[np.int64],
        pieces: NDArray[np.int64],
        size: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Times of messages on the sender's and on the receiver's unit, and those of one piece."""
        network, ports = self._network, self._ports
        asks = network.flit_ps(source, target)
        answers = network.flit_ps(target, source)
        read, travel = ports.read_ps(source, size), network.message_ps(source, target, size)
        received = answers + read + travel + ports.write_ps(target, size)
        return pieces * (asks + answers + read), pieces * received, asks + received

    def measure(self, template: Template, kind: int) -> _Footprint:
        """What a template takes on a kind of core; transfers are left to `messages_ps`."""
        units = dict.fromkeys(UNITS, 0)
        groups: dict[int, int] = {}
        least: dict[int, int] = {}
        memory = 0
        for row, times, widths in _run(template.code.tolist()):
            units["decoder"] += times * self._period_ps[kind]
            op = row[OP]
            if op <= Op.LOOP or op in (Op.SEND, Op.RECV):
                continue
            ps = self._durations[kind].operation_ps(row, list(widths), template.group_crossbars)
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
        return _Footprint(tuple(units[unit] for unit in UNITS), groups, memory, through)

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
