"""How long templates take on an otherwise idle core that has one operation in flight."""

from __future__ import annotations

from collections.abc import Callable

from imccompiler.passes.taskgraph import Kind, Task, TaskGraph
from imccompiler.passes.template import Template
from imccompiler.passes.times import CoreTimes
from imccompiler.program.isa import AUX, IMM, OP, Op, byte_width

TWO_OPERANDS = frozenset(
    {Op.VVADD, Op.VVSUB, Op.VVMAX, Op.VVMUL, Op.VVSLL, Op.VVSRA, Op.VVDMUL, Op.VVACC}
)
OUTPUT_WIDTH = frozenset({Op.VVMUL, Op.VVSLL, Op.VVSRA, Op.VVDMUL, Op.VAVG, Op.VVACC})
FUNCTIONS = frozenset({Op.VFUN, Op.VTANH, Op.VSIGM})
DISPATCH_PERIODS = 3  # from the end of an operation to the start of the next, when one is in flight

FlitTime = Callable[[int, int], float]
FunctionTime = Callable[[int], float]


class Durations:
    """Times of tasks; a template is measured once."""

    def __init__(
        self, times: CoreTimes, flit_ns: FlitTime, global_flit_ns: float, function_ns: FunctionTime
    ) -> None:
        self._times = times
        self._flit_ns = flit_ns
        self._global_flit_ns = global_flit_ns
        self._function_ns = function_ns
        self._known: dict[int, float] = {}

    def of(self, graph: TaskGraph) -> tuple[list[float], list[float]]:
        """Busy time of every task on its core, and of the sender of every message."""
        own: list[float] = []
        sender: list[float] = []
        for task in graph.tasks:
            if task.kind is Kind.MESSAGE:
                sends, receives = self._message(task)
                own.append(receives)
                sender.append(sends)
            else:
                own.append(self._template(task.side.template))
                sender.append(0.0)
        return own, sender

    def _message(self, task: Task) -> tuple[float, float]:
        """Both sides of a message whose sides begin together: (sender, receiver).

        A piece: two flits to agree, the sender reads, the data travels, the receiver writes;
        the next piece waits until the receiver is ready again.
        """
        t = self._times
        pieces, size = task.payload
        flit = self._flit_ns(task.peer, task.core)
        gap = DISPATCH_PERIODS * t.period_ns
        send = 2 * flit + t.read_ns(size) + gap
        receive = 2 * flit + t.read_ns(size) + t.flits(size) * flit + t.write_ns(size) + gap
        scalars = 2 * t.period_ns
        rest = self._template(task.side.template) - pieces * (t.write_ns(size) + gap)
        before = (pieces - 1) * (receive + scalars)
        return before + send + scalars, before + receive + max(rest, 0.0)

    def _template(self, template: Template) -> float:
        key = id(template)
        if key not in self._known:
            self._known[key] = self._measure(template)
        return self._known[key]

    def _measure(self, template: Template) -> float:
        code = template.code.tolist()
        widths = [8, 8]
        total, _ = self._span(code, 0, len(code), widths, template.group_crossbars)
        return total

    def _span(
        self, code: list[list[int]], begin: int, end: int, widths: list[int], groups: tuple[int, ...]
    ) -> tuple[float, int]:
        total = 0.0
        at = begin
        while at < end:
            row = code[at]
            if row[OP] == Op.LOOP:
                body, _ = self._span(code, at + 1, at + 1 + row[AUX], widths, groups)
                total += self._times.period_ns + row[IMM] * body
                at += row[AUX] + 1
                continue
            total += self._instruction(row, widths, groups)
            at += 1
        return total, at

    def _instruction(self, row: list[int], widths: list[int], groups: tuple[int, ...]) -> float:
        t = self._times
        op, n = row[OP], row[IMM]
        if op == Op.SETBW:
            widths[:] = [n, row[AUX]]
            return t.period_ns
        if op < Op.SETBW:
            return t.period_ns
        i, o = byte_width(widths[0]), byte_width(widths[1])
        gap = DISPATCH_PERIODS * t.period_ns
        if op == Op.MVMUL:
            return t.mvmul_ns(groups[n], i, o) + gap
        if op in FUNCTIONS:
            return self._function_ns(row[AUX]) + gap
        if op < Op.LD:
            written = o if op in OUTPUT_WIDTH else i
            steps = -(-n // t.lanes) * t.step_ns
            reads = 2 if op in TWO_OPERANDS else 1
            results = 1 if op in (Op.VVDMUL, Op.VAVG) else n
            return reads * t.read_ns(n * i) + steps + t.write_ns(results * written) + gap
        return self._transfer(op, n) + gap

    def _transfer(self, op: int, n: int) -> float:
        t = self._times
        if op == Op.LMV:
            return t.move_ns(n)
        if op in (Op.LLDI, Op.RECV):
            return t.write_ns(n)
        if op == Op.SEND:
            return t.read_ns(n)
        if op == Op.LD:
            return self._global_flit_ns + t.global_read_ns(n) + t.write_ns(n)
        if op == Op.ST:
            return t.read_ns(n) + t.flits(n) * self._global_flit_ns + t.global_write_ns(n)
        return t.period_ns
