"""How long templates take on an otherwise idle core that has one operation in flight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost.host import HostTiming
from imccompiler.cost.machine import MachineTiming, Ports
from imccompiler.cost.network import NetworkTiming
from imccompiler.cost.rounding import PS_PER_NS
from imccompiler.cost.timing import CoreTiming
from imccompiler.hardware.cores import kind_numbers
from imccompiler.hardware.schema import Machine
from imccompiler.passes.taskgraph import Kind, TaskGraph
from imccompiler.passes.template import Template
from imccompiler.program.artifact import Function, Operand
from imccompiler.program.isa import AUX, IMM, OP, Op, byte_width

TWO_OPERANDS = frozenset(
    {Op.VVADD, Op.VVSUB, Op.VVMAX, Op.VVMUL, Op.VVSLL, Op.VVSRA, Op.VVDMUL, Op.VVACC}
)
OUTPUT_WIDTH = frozenset({Op.VVMUL, Op.VVSLL, Op.VVSRA, Op.VVDMUL, Op.VAVG, Op.VVACC})
SCALARS_A_PIECE = 1  # a pointer is advanced
FUNCTIONS = frozenset({Op.VFUN, Op.VTANH, Op.VSIGM})
DISPATCH_PERIODS = 2  # from the end of an operation to the start of the next, when one is in flight
MVMUL_PERIODS = 1  # a product passes one latch more

Groups = tuple[tuple[int, int], ...]
"""Row blocks and crossbars side by side of each group."""


@dataclass(frozen=True, slots=True, eq=False)
class TaskTimes:
    """Times of tasks, shape (tasks,), in ns.

    Attributes:
        own_ns: Busy time of the task's core.
        sender_ns: Busy time of the sender's core, for messages.
        switch_ns: From the start until the sender's switch (for loads and stores the core's
            switch and the global memory) is free again.
        lead_ns: For messages: how long after the sender the receiver may begin without delay,
            since the sender's question has to reach it first.
        request_ns: For loads and stores: until they reach the global memory, which may serve
            others until then.
    """

    own_ns: NDArray[np.float64]
    sender_ns: NDArray[np.float64]
    switch_ns: NDArray[np.float64]
    lead_ns: NDArray[np.float64]
    request_ns: NDArray[np.float64]


class Durations:
    """Times of tasks in ns; templates are measured, once each on each kind of core.

    Args:
        machine: The machine.
        functions: What `vfun` instructions call, for their sizes.
    """

    def __init__(self, machine: Machine, functions: Sequence[Function]) -> None:
        timing = MachineTiming.of(machine)
        self._network: NetworkTiming = timing.network
        host = HostTiming.of(machine.host)
        self._ports = Ports.of(timing)
        self._period_ps = timing.of_cores(lambda kind: kind.period_ps)
        self._kind_of_core = kind_numbers(machine)
        self._of_kind = [
            CoreDurations(timing.kinds[name], timing.network, functions, host)
            for name in machine.core_kinds
        ]

    def of(self, graph: TaskGraph) -> TaskTimes:
        """Times of every task."""
        own = self._own_ps(graph)
        gap = DISPATCH_PERIODS * self._period_ps
        kind = graph.kind
        sender, switch, lead, request = (np.zeros(len(own), np.int64) for _ in range(4))
        filled, stores = np.flatnonzero(kind == Kind.LOAD), np.flatnonzero(kind == Kind.STORE)
        switch[stores] = own[stores]
        for number in filled.tolist():
            code, core = graph.templates[graph.own_template[number]].code, graph.core[number]
            loads = np.flatnonzero(code[:, OP] == Op.LD)
            last = int(code[loads[-1], IMM])  # it is written when the memory is free
            switch[number] = own[number] - self._ports.write_ps(core, last) - gap[core]
            before = int(loads[0]) * self._period_ps[core]
            request[number] = before + self._network.global_flit_ps
        for number in stores.tolist():
            code = graph.templates[graph.own_template[number]].code
            first = int(code[code[:, OP] == Op.ST][0, IMM])
            travel = self._network.flits(first) * self._network.global_flit_ps
            request[number] = self._ports.read_ps(graph.core[number], first) + travel
        sent = np.flatnonzero(kind == Kind.MESSAGE)
        source, target = graph.peer[sent], graph.core[sent]
        sender[sent], own[sent], switch[sent] = self._messages(
            source, target, graph.pieces[sent], graph.piece_bytes[sent], own[sent]
        )
        lead[sent] = self._network.flit_ps(source, target)
        return TaskTimes(*(ps / PS_PER_NS for ps in (own, sender, switch, lead, request)))

    def _messages(
        self,
        source: NDArray[np.int64],
        target: NDArray[np.int64],
        pieces: NDArray[np.int64],
        size: NDArray[np.int64],
        alone: NDArray[np.int64],
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """Messages whose sides begin together: time of the sender, the receiver and the switch.

        A piece: two flits to agree, the sender reads, the data travels, the receiver writes. The
        sender asks for the next one as soon as the data has left its switch, the receiver answers
        once it has written. The sender's switch is busy until the last piece has left it.
        `alone` is the receiver's time without any waiting.
        """
        network, gap = self._network, DISPATCH_PERIODS * self._period_ps
        read, write = self._ports.read_ps(source, size), self._ports.write_ps(target, size)
        travel = network.message_ps(source, target, size)
        sending = network.handshake_ps(source, target) + read
        asks = network.flit_ps(source, target)
        answers = network.flit_ps(target, source)
        written = write + gap[target] + SCALARS_A_PIECE * self._period_ps[target]
        again = np.maximum(asks, written) + answers + read + travel
        before = (pieces - 1) * again
        rest = np.maximum(alone - pieces * (write + gap[target]), 0)
        left = before + sending + travel
        return before + sending + gap[source], left + write + gap[target] + rest, left

    def _own_ps(self, graph: TaskGraph) -> NDArray[np.int64]:
        """Times of tasks alone on their core; each template is measured once on each kind."""
        pairs, form = on_kinds(graph, self._kind_of_core[graph.core], graph.own_template)
        spans = [self._of_kind[kind].template_ps(graph.templates[t]) for kind, t in pairs]
        return np.array(spans, np.int64)[form]


def on_kinds(
    graph: TaskGraph, kind: NDArray[np.int64], template: NDArray[np.int64]
) -> tuple[list[tuple[int, int]], NDArray[np.int64]]:
    """The distinct pairs of a kind of core and a template, and which of them each entry is."""
    count = len(graph.templates)
    forms = kind * count + template
    place = np.full((int(kind.max(initial=0)) + 1) * count, -1, np.int64)
    place[forms] = 0
    known = np.flatnonzero(place == 0)
    place[known] = np.arange(len(known))
    return [divmod(each, count) for each in known.tolist()], place[forms]


class CoreDurations:
    """Times of templates and operations on one kind of core."""

    def __init__(
        self,
        core: CoreTiming,
        network: NetworkTiming,
        functions: Sequence[Function],
        host: HostTiming,
    ) -> None:
        self._core, self._network, self._functions = core, network, functions
        self._host = host
        self._gap_ps = DISPATCH_PERIODS * core.period_ps

    def template_ps(self, template: Template) -> int:
        """A template alone on its core."""
        code = template.code.tolist()
        return self._span(code, 0, len(code), [8, 8], template.group_crossbars)

    def _span(
        self,
        code: list[list[int]],
        begin: int,
        end: int,
        widths: list[int],
        groups: Groups,
    ) -> int:
        total = 0
        at = begin
        while at < end:
            row = code[at]
            if row[OP] == Op.LOOP:
                body = self._span(code, at + 1, at + 1 + row[AUX], widths, groups)
                total += self._core.period_ps + row[IMM] * body
                at += row[AUX] + 1
            else:
                total += self._instruction(row, widths, groups)
                at += 1
        return total

    def _instruction(self, row: list[int], widths: list[int], groups: Groups) -> int:
        op = row[OP]
        if op == Op.SETBW:
            widths[:] = [row[IMM], row[AUX]]
        if op <= Op.SETBW:
            return self._core.period_ps
        latch = MVMUL_PERIODS * self._core.period_ps if op == Op.MVMUL else 0
        period = self._core.period_ps  # an operation is over at the clock edge after it
        edges = -(-self.operation_ps(row, widths, groups) // period)
        return edges * period + self._gap_ps + latch

    def operation_ps(self, row: list[int], widths: list[int], groups: Groups) -> int:
        """An operation that is not scalar, alone on its unit, without any waiting for others."""
        core, op, n = self._core, row[OP], row[IMM]
        i, o = byte_width(widths[0]), byte_width(widths[1])
        if op == Op.MVMUL:
            row_blocks, crossbars = groups[n]
            return core.mvmul_ps(widths[0], crossbars, widths[1], row_blocks)
        if op == Op.MVWR:
            return core.mvwr_ps()
        if op in FUNCTIONS:
            return self._function(self._functions[row[AUX]], n)
        if op < Op.LD:
            results = 1 if op in (Op.VVDMUL, Op.VAVG) else n
            written = results * (o if op in OUTPUT_WIDTH else i)
            operands = 2 if op in TWO_OPERANDS else 1
            return core.vector_ps(n, operands, n * i, written)
        return self._transfer(op, n)

    def _function(self, function: Function, elements: int) -> int:
        core = self._core
        sizes = [_bytes(operand) for operand in function.operands]
        reads = sum(core.port.read_ps(size) for size in sizes)
        if function.on_host:
            compute = self._host.call_ps(sum(sizes) + _bytes(function.result))
        elif function.macs:
            compute = core.product_compute_ps(function.macs)
        else:
            compute = core.function_compute_ps(elements)
        return reads + compute + core.port.write_ps(_bytes(function.result))

    def _transfer(self, op: int, n: int) -> int:
        core, port = self._core, self._core.port
        if op == Op.LMV:
            return core.lmv_ps(n)
        if op in (Op.LLDI, Op.RECV):
            return port.write_ps(n)
        if op == Op.SEND:
            return port.read_ps(n)
        if op == Op.LD:
            return self._network.ld_ps(port, n)
        if op == Op.ST:
            return self._network.st_ps(port, n)
        return core.period_ps


def _bytes(operand: Operand) -> int:
    return prod(operand.shape) * byte_width(operand.quantization.bits)
