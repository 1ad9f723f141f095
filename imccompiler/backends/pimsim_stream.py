"""One core's stream for pimsim-nn: loops unrolled, registers written as constants, as text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import numpy as np

from imccompiler.errors import ProgramError
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import AUX, IMM, LAYER, OP, RD, REGISTERS, RS1, RS2, Op

_NOT_THERE = (Op.MVWR, Op.VVACC, Op.VFUN)
_USES_WIDTHS = range(Op.MVMUL, Op.LD)

# Registers that an operation reads; a global address takes the register behind as well.
_REGISTERS: dict[int, tuple[int, ...]] = {
    **dict.fromkeys(range(Op.VVADD, Op.VVDMUL + 1), (RD, RS1, RS2)),
    **dict.fromkeys((Op.MVMUL, Op.VRELU, Op.VAVG, Op.VMV, Op.VTANH, Op.VSIGM), (RD, RS1)),
    **dict.fromkeys((Op.LD, Op.ST, Op.LMV), (RD, RS1)),
    Op.LLDI: (RD,),
    Op.SEND: (RS1,),
    Op.RECV: (RD,),
    Op.SYNC: (),
    Op.WAIT: (),
}
_PAIR = {Op.LD: RS1, Op.ST: RD}


class Messages:
    """Sizes of the messages between every two cores, in program order."""

    def __init__(self) -> None:
        self.sent: dict[tuple[int, int], list[int]] = {}
        self.received: dict[tuple[int, int], list[int]] = {}

    def check(self) -> None:
        """Every message must be received, in order and whole.

        Raises:
            ProgramError: One is not.
        """
        for pair in sorted(self.sent.keys() | self.received.keys()):
            sent, received = self.sent.get(pair, []), self.received.get(pair, [])
            if sent != received:
                first = next(
                    (i for i, (s, r) in enumerate(zip(sent, received, strict=False)) if s != r),
                    min(len(sent), len(received)),
                )
                raise ProgramError(
                    f"message {first} from core {pair[0]} to core {pair[1]} is not received as it "
                    f"was sent ({len(sent)} sent, {len(received)} received)"
                )


def check_operations(program: Program) -> None:
    """Every operation must be one that pimsim-nn has.

    Raises:
        ProgramError: One is not; names its layer and what it computes.
    """
    missing = np.flatnonzero(np.isin(program.code[:, OP], _NOT_THERE))
    if not len(missing):
        return
    row = program.code[missing[0]].tolist()
    layer = row[LAYER]
    what = f" ({program.functions[row[AUX]].op_type})" if row[OP] == Op.VFUN else ""
    raise ProgramError(
        f"pimsim-nn has no `{Op(row[OP]).name.lower()}`{what}; {len(missing)} instructions need it",
        where=f"layer {program.layers[layer]!r}" if 0 <= layer < len(program.layers) else None,
        hint="the program runs in our own simulators",
    )


def unroll(
    program: Program, machine: Machine, core: int, messages: Messages
) -> Iterator[tuple[str, str]]:
    """Name and text of every instruction of a core; its messages are noted in `messages`.

    Raises:
        ProgramError: An operation comes before the first `setbw`.
    """
    begin, end = program.core_start[core : core + 2].tolist()
    rows: list[list[int]] = program.code[begin:end].tolist()
    texts = [_text(row, program, machine, core) for row in rows]
    registers, told = [0] * REGISTERS, [0] * REGISTERS
    widths: tuple[int, int] | None = None
    told_widths: tuple[int, int] | None = None
    for index in _trace(rows):
        row = rows[index]
        op = row[OP]
        if op < Op.SETBW:
            registers[row[RD]] = _scalar(row, registers)
        elif op == Op.SETBW:
            widths = (row[IMM], row[AUX])
        else:
            name, text, reads = texts[index]
            if op in _USES_WIDTHS and widths != told_widths:
                told_widths = widths
                yield "setbw", _setbw(widths)
            if op in _USES_WIDTHS and widths is None:
                _fail(program, core, index)
            for register in reads:
                value = registers[register]
                if value != told[register]:
                    told[register] = value
                    yield "sldi", f'{{"op":"sldi","rd":{register},"imm":{value}}}'
            if op == Op.SEND:
                messages.sent.setdefault((core, row[AUX]), []).append(row[IMM])
            elif op == Op.RECV:
                messages.received.setdefault((row[AUX], core), []).append(row[IMM])
            yield name, text


def _trace(rows: list[list[int]]) -> Iterator[int]:
    """Indices of the instructions in the order in which they run, loops left out."""
    loops: list[list[int]] = []  # first, end, rounds left
    at, count = 0, len(rows)
    while at < count:
        row = rows[at]
        if row[OP] == Op.LOOP:
            loops.append([at + 1, at + 1 + row[AUX], row[IMM]])
        else:
            yield at
        at += 1
        while loops and at == loops[-1][1]:
            loops[-1][2] -= 1
            if loops[-1][2]:
                at = loops[-1][0]
                break
            loops.pop()


def _scalar(row: list[int], registers: list[int]) -> int:
    op, value = row[OP], row[IMM]
    a, b = registers[row[RS1]], registers[row[RS2]]
    if op == Op.SADDI:
        value = a + value
    elif op == Op.SMULI:
        value = a * value
    elif op == Op.SADD:
        value = a + b
    elif op == Op.SSUB:
        value = a - b
    elif op == Op.SMUL:
        value = a * b
    return (value + 2**31) % 2**32 - 2**31


def _text(
    row: list[int], program: Program, machine: Machine, core: int
) -> tuple[str, str, tuple[int, ...]]:
    """Name, JSON text and registers read of one operation."""
    op, imm, aux = row[OP], row[IMM], row[AUX]
    if op < Op.MVMUL:
        return "", "", ()
    columns = _REGISTERS[op]
    reads = [row[c] for c in columns] + ([row[_PAIR[Op(op)]] + 1] if op in _PAIR else [])
    fields = {("rd", "rs1", "rs2")[c - RD]: row[c] for c in columns}
    if op == Op.MVMUL:
        kind = machine.core_kinds[machine.kind_of_core()[core]]
        # pimsim-nn divides the bits of a row of cells by this to count the outputs
        fields |= {
            "mbiw": kind.columns_per_weight(program.weight_bits) * kind.cell.bits,
            "group": imm,
        }
    elif op < Op.LD:
        fields |= {"len": imm}
    elif op == Op.LLDI:
        fields |= {"imm": aux, "len": imm}
    elif op == Op.LMV:
        fields |= {"len": imm, "size": imm}
    elif op == Op.SEND:
        fields |= {"rd": row[RS1], "core": aux, "size": imm}
    elif op == Op.RECV:
        fields |= {"core": aux, "size": imm}
    elif op == Op.SYNC:
        fields |= {"core": aux, "event_register": imm}
    elif op == Op.WAIT:
        fields |= {"event_register": imm, "wait_value": aux}
    else:
        fields |= {"size": imm}
    name = Op(op).name.lower()
    values = "".join(f',"{key}":{value}' for key, value in fields.items())
    return name, f'{{"op":"{name}"{values}}}', tuple(reads)


def _setbw(widths: tuple[int, int] | None) -> str:
    ibiw, obiw = widths or (0, 0)
    return f'{{"op":"setbw","ibiw":{ibiw},"obiw":{obiw}}}'


def _fail(program: Program, core: int, index: int) -> NoReturn:
    row = program.code[program.core_start[core] + index]
    raise ProgramError(
        f"`{Op(int(row[OP])).name.lower()}` comes before any `setbw`",
        where=f"core {core}, instruction {index}",
    )
