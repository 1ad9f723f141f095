"""How long templates take on an otherwise idle core that has one operation in flight."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost.machine import MachineTiming
from imccompiler.cost.network import NetworkTiming
from imccompiler.cost.rounding import PS_PER_NS
from imccompiler.cost.timing import CoreTiming
from imccompiler.hardware.schema import Machine
from imccompiler.passes.taskgraph import Kind, Task, TaskGraph
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


@dataclass(frozen=True, slots=True, eq=False)
class TaskTimes:
    """Times of tasks, shape (tasks,), in ns.

    Attributes:
        own_ns: Busy time of the task's core.
        sender_ns: Busy time of the sender's core, for messages.
        switch_ns: From the start until the sender's switch (for loads and stores the core's
            switch and the global memory) is free again.
    """

    own_ns: NDArray[np.float64]
    sender_ns: NDArray[np.float64]
    switch_ns: NDArray[np.float64]


class Durations:
    """Times of tasks in ns; a template is measured once.

    Args:
        machine: The machine.
        functions: What `vfun` instructions call, for their sizes.
    """

    def __init__(self, machine: Machine, functions: Sequence[Function]) -> None:
        timing = MachineTiming.of(machine)
        self._core: CoreTiming = timing.main
        self._network: NetworkTiming = timing.network
        self._functions = functions
        self._gap_ps = DISPATCH_PERIODS * timing.main.period_ps
        self._known: dict[int, int] = {}

    def of(self, graph: TaskGraph) -> TaskTimes:
        """Times of every task."""
        own: list[int] = []
        sender: list[int] = []
        switch: list[int] = []
        for task in graph.tasks:
            if task.kind is Kind.MESSAGE:
                sends, receives, travels = self._message(task)
                own.append(receives)
                sender.append(sends)
                switch.append(travels)
            else:
                own.append(self._template(task.side.template))
                sender.append(0)
                switch.append(self._global(task, own[-1]))
        return TaskTimes(
            np.array(own, np.float64) / PS_PER_NS,
            np.array(sender, np.float64) / PS_PER_NS,
            np.array(switch, np.float64) / PS_PER_NS,
        )

    def _global(self, task: Task, own: int) -> int:
        """How long a load or store holds the global memory: a load's last write is local."""
        if task.kind is Kind.STORE:
            return own
        if task.kind is not Kind.LOAD:
            return 0
        size = int(task.side.template.code[-1, IMM])
        return own - self._core.port.write_ps(size) - self._gap_ps

    def _message(self, task: Task) -> tuple[int, int, int]:
        """Both sides of a message whose sides begin together: (sender, receiver, switch).

        A piece: two flits to agree, the sender reads, the data travels, the receiver writes. The
        sender asks for the next one as soon as the data has left its switch, the receiver answers
        once it has written. The sender's switch is busy until the last piece has left it.
        """
        pieces, size = task.payload
        port = self._core.port
        sending = int(self._network.send_ps(port, task.peer, task.core, size))
        travel = int(self._network.message_ps(task.peer, task.core, size))
        delivery = sending + travel + port.write_ps(size)
        asks, answers = (
            int(self._network.message_ps(a, b, 1))
            for a, b in ((task.peer, task.core), (task.core, task.peer))
        )
        written = port.write_ps(size) + self._gap_ps + SCALARS_A_PIECE * self._core.period_ps
        again = max(asks, written) + answers + port.read_ps(size) + travel
        receive_alone = port.write_ps(size) + self._gap_ps
        rest = self._template(task.side.template) - pieces * receive_alone
        before = (pieces - 1) * again
        send = before + sending + self._gap_ps
        receive = before + delivery + self._gap_ps + max(rest, 0)
        return send, receive, before + sending + travel

    def _template(self, template: Template) -> int:
        key = id(template)
        if key not in self._known:
            code = template.code.tolist()
            self._known[key] = self._span(code, 0, len(code), [8, 8], template.group_crossbars)
        return self._known[key]

    def _span(
        self,
        code: list[list[int]],
        begin: int,
        end: int,
        widths: list[int],
        groups: tuple[int, ...],
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

    def _instruction(self, row: list[int], widths: list[int], groups: tuple[int, ...]) -> int:
        core, op, n = self._core, row[OP], row[IMM]
        if op == Op.SETBW:
            widths[:] = [n, row[AUX]]
        if op <= Op.SETBW:
            return core.period_ps
        i, o = byte_width(widths[0]), byte_width(widths[1])
        if op == Op.MVMUL:
            latch = MVMUL_PERIODS * core.period_ps
            return core.mvmul_ps(widths[0], groups[n], widths[1]) + self._gap_ps + latch
        if op in FUNCTIONS:
            return self._function(self._functions[row[AUX]], n) + self._gap_ps
        if op < Op.LD:
            results = 1 if op in (Op.VVDMUL, Op.VAVG) else n
            written = results * (o if op in OUTPUT_WIDTH else i)
            operands = 2 if op in TWO_OPERANDS else 1
            return core.vector_ps(n, operands, n * i, written) + self._gap_ps
        return self._transfer(op, n) + self._gap_ps

    def _function(self, function: Function, elements: int) -> int:
        core = self._core
        reads = sum(core.port.read_ps(_bytes(operand)) for operand in function.operands)
        compute = (
            core.product_compute_ps(function.macs)
            if function.macs
            else core.function_compute_ps(elements)
        )
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
