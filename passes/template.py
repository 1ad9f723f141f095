"""Templates: the instructions of one task with its addresses left open.

Tasks of the same shape share a template; `emit` copies it and fills in the addresses of the
buffers and the number (of a core, of a crossbar group) that differ.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from imccompiler.errors import InternalError
from imccompiler.program.isa import AUX, IMM, Code, Op


class Relocation(NamedTuple):
    """`code[row, column]` gets the address of a buffer or the task's number added."""

    row: int
    column: int
    operand: int  # into the task's buffers, or NUMBER


NUMBER = -1


@dataclass(frozen=True, slots=True, eq=False)
class Template:
    """Instructions with relocations.

    `group_crossbars` are the row blocks of each group that is multiplied with, and the crossbars
    side by side of each row block.
    """

    code: Code
    relocations: tuple[Relocation, ...]
    group_crossbars: tuple[tuple[int, int], ...] = ()

    def then(self, other: Template) -> Template:
        """This template followed by another on the same buffers and number."""
        rows = len(self.code)
        moved = tuple(r._replace(row=r.row + rows) for r in other.relocations)
        return Template(np.concatenate([self.code, other.code]), self.relocations + moved)


class TemplateBuilder:
    """Writes a template instruction by instruction.

    Registers 0 to 7 are free for the template's pointers. Bit widths are set where they change,
    and at the first use. The layer is left open: that of the task is filled in.
    """

    def __init__(self) -> None:
        self._rows: list[list[int]] = []
        self._relocations: list[Relocation] = []
        self._widths: tuple[int, int] | None = None

    def build(self, group_crossbars: tuple[tuple[int, int], ...] = ()) -> Template:
        """The finished template."""
        code = np.array(self._rows, np.int32).reshape(-1, 7)
        return Template(code, tuple(self._relocations), group_crossbars)

    def _row(
        self, op: Op, rd: int = 0, rs1: int = 0, rs2: int = 0, imm: int = 0, aux: int = 0
    ) -> int:
        self._rows.append([int(op), rd, rs1, rs2, imm, aux, -1])
        return len(self._rows) - 1

    @contextmanager
    def loop(self, count: int, *, sets_widths: bool = False) -> Generator[None]:
        """Repeat what is written inside `count` times.

        A body that sets bit widths says so: it then begins with unknown ones, since its second
        round enters with those that the first left.

        Raises:
            InternalError: The body changes widths and did not say so.
        """
        if count == 1:
            yield
            return
        row = self._row(Op.LOOP, imm=count)
        if sets_widths:
            self._widths = None
        before = self._widths
        yield
        self._rows[row][AUX] = len(self._rows) - row - 1
        if not sets_widths and self._widths != before:
            raise InternalError("a loop's body changes bit widths")

    def widths(self, input_bits: int, output_bits: int) -> None:
        """Set the bit widths unless they stand already."""
        if self._widths != (input_bits, output_bits):
            self._row(Op.SETBW, imm=input_bits, aux=output_bits)
            self._widths = (input_bits, output_bits)

    def idle(self, periods: int) -> None:
        """Let so many periods pass: bit widths are set in vain."""
        for _ in range(periods):
            self._row(Op.SETBW, imm=8, aux=8)
            self._widths = (8, 8)

    def point(self, register: int, buffer: int, offset: int = 0) -> None:
        """Register = address of a buffer + offset."""
        row = self._row(Op.SLDI, rd=register, imm=offset)
        self._relocations.append(Relocation(row, IMM, buffer))

    def number(self, register: int) -> None:
        """Register = the task's number."""
        row = self._row(Op.SLDI, rd=register)
        self._relocations.append(Relocation(row, IMM, NUMBER))

    def constant(self, register: int, value: int) -> None:
        """Register = value."""
        self._row(Op.SLDI, rd=register, imm=value)

    def advance(self, register: int, offset: int, source: int | None = None) -> None:
        """Register = source (itself) + offset; nothing is written if that changes nothing."""
        source = register if source is None else source
        if offset or source != register:
            self._row(Op.SADDI, rd=register, rs1=source, imm=offset)

    def mvmul(self, target: int, source: int, group: int) -> None:
        """Multiply with group `group`, counted from the task's number."""
        row = self._row(Op.MVMUL, rd=target, rs1=source, imm=group)
        self._relocations.append(Relocation(row, IMM, NUMBER))

    def program(self, group: int) -> None:
        """Program group `group`, counted from the task's number."""
        row = self._row(Op.MVWR, imm=group)
        self._relocations.append(Relocation(row, IMM, NUMBER))

    def vector(self, op: Op, target: int, first: int, second: int, n: int) -> None:
        """A vector instruction of n elements."""
        self._row(op, target, first, second, n)

    def function(self, target: int, first: int, second: int, n: int, index: int) -> None:
        """Call digital function `index`."""
        self._row(Op.VFUN, target, first, second, n, index)

    def move(self, target: int, source: int, size: int) -> None:
        """Copy bytes within local memory."""
        self._row(Op.LMV, target, source, imm=size)

    def fill(self, target: int, size: int, value: int) -> None:
        """Fill bytes."""
        self._row(Op.LLDI, target, imm=size, aux=value & 0xFF)

    def send(self, source: int, size: int) -> None:
        """Send to the core that is the task's number."""
        row = self._row(Op.SEND, rs1=source, imm=size)
        self._relocations.append(Relocation(row, AUX, NUMBER))

    def receive(self, target: int, size: int) -> None:
        """Receive from the core that is the task's number."""
        row = self._row(Op.RECV, rd=target, imm=size)
        self._relocations.append(Relocation(row, AUX, NUMBER))

    def load(self, target: int, address_pair: int, size: int) -> None:
        """Load from global memory."""
        self._row(Op.LD, rd=target, rs1=address_pair, imm=size)

    def store(self, address_pair: int, source: int, size: int) -> None:
        """Store to global memory."""
        self._row(Op.ST, rd=address_pair, rs1=source, imm=size)
