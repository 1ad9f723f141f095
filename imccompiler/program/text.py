"""Text form of instruction streams: a disassembler, and an assembler that reads it back.

One instruction a line; the body of a loop is indented; `;` begins a comment; `.layer 3` sets
the layer of the instructions that follow::

    .layer 0  ; conv1
    setbw in=8, out=24
    loop times=56
      mvmul r1, r2, group=0
      saddi r1, r1, imm=64
"""

from __future__ import annotations

import numpy as np

from imccompiler.errors import ProgramError
from imccompiler.program.artifact import Program
from imccompiler.program.isa import AUX, COLUMNS, LAYER, OP, Code, Op

_INDENT = "  "
_VECTOR = ("rd", "rs1", "rs2", "n=imm")
_UNARY = ("rd", "rs1", "n=imm")

# Operands in the order in which they are written: registers, then `name in the text=column`.
_OPERANDS: dict[Op, tuple[str, ...]] = {
    Op.SLDI: ("rd", "imm=imm"),
    Op.SADDI: ("rd", "rs1", "imm=imm"),
    Op.SMULI: ("rd", "rs1", "imm=imm"),
    Op.SADD: ("rd", "rs1", "rs2"),
    Op.SSUB: ("rd", "rs1", "rs2"),
    Op.SMUL: ("rd", "rs1", "rs2"),
    Op.SETBW: ("in=imm", "out=aux"),
    Op.LOOP: ("times=imm",),
    Op.MVMUL: ("rd", "rs1", "group=imm"),
    Op.MVWR: ("group=imm",),
    Op.VVADD: _VECTOR,
    Op.VVSUB: _VECTOR,
    Op.VVMAX: _VECTOR,
    Op.VVMUL: _VECTOR,
    Op.VVSLL: _VECTOR,
    Op.VVSRA: _VECTOR,
    Op.VVDMUL: _VECTOR,
    Op.VRELU: _UNARY,
    Op.VAVG: _UNARY,
    Op.VMV: _UNARY,
    Op.VVACC: _UNARY,
    Op.VTANH: (*_UNARY, "function=aux"),
    Op.VSIGM: (*_UNARY, "function=aux"),
    Op.VFUN: (*_VECTOR, "function=aux"),
    Op.LD: ("rd", "rs1", "bytes=imm"),
    Op.ST: ("rd", "rs1", "bytes=imm"),
    Op.LLDI: ("rd", "bytes=imm", "byte=aux"),
    Op.LMV: ("rd", "rs1", "bytes=imm"),
    Op.SEND: ("rs1", "bytes=imm", "core=aux"),
    Op.RECV: ("rd", "bytes=imm", "core=aux"),
    Op.SYNC: ("event=imm", "core=aux"),
    Op.WAIT: ("event=imm", "count=aux"),
}


def disassemble(program: Program, core: int) -> str:
    """The instructions of a core as text.

    Raises:
        ProgramError: There is no such core, or an operation code is unknown.
    """
    if not 0 <= core < program.core_count:
        raise ProgramError(
            f"there is no core {core}", hint=f"cores are 0..{program.core_count - 1}"
        )
    begin, end = (int(i) for i in program.core_start[core : core + 2])
    return render(program.code[begin:end], program.layers)


def render(code: Code, layers: tuple[str, ...] = ()) -> str:
    """Instructions as text; `layers` are named in comments."""
    lines: list[str] = []
    loop_ends: list[int] = []
    layer = 0
    for index, row in enumerate(code.tolist()):
        while loop_ends and loop_ends[-1] <= index:
            loop_ends.pop()
        indent = _INDENT * len(loop_ends)
        if row[LAYER] != layer or index == 0:
            layer = row[LAYER]
            name = f"  ; {layers[layer]}" if 0 <= layer < len(layers) else ""
            lines.append(f"{indent}.layer {layer}{name}")
        lines.append(indent + instruction_text(row))
        if row[OP] == Op.LOOP:
            loop_ends.append(index + 1 + row[AUX])
    return "\n".join(lines) + "\n"


def instruction_text(row: list[int]) -> str:
    """One instruction, such as `mvmul r1, r2, group=0`.

    Raises:
        ProgramError: The operation code is unknown.
    """
    try:
        op = Op(row[OP])
    except ValueError:
        raise ProgramError(f"no instruction has the code {row[OP]}") from None
    return f"{op.name.lower()} {', '.join(_operand_text(o, row) for o in _OPERANDS[op])}"


def _operand_text(operand: str, row: list[int]) -> str:
    name, named, column = operand.partition("=")
    if named:
        return f"{name}={row[COLUMNS.index(column)]}"
    return f"r{row[COLUMNS.index(name)]}"


def assemble(text: str) -> Code:
    """Instructions from text, in the form that `disassemble` writes.

    Raises:
        ProgramError: A line cannot be read; says which.
    """
    rows: list[list[int]] = []
    loops: list[tuple[int, int]] = []  # (indent of the loop's line, its instruction)
    layer = 0
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition(";")[0].rstrip()
        statement = content.strip()
        if not statement:
            continue
        where = f"line {number}"
        if statement.startswith(".layer"):
            layer = _integer(statement.removeprefix(".layer"), where)
            continue
        indent = len(content) - len(statement)
        while loops and indent <= loops[-1][0]:
            _close(rows, loops.pop()[1], where)
        row = _read_instruction(statement, where)
        row[LAYER] = layer
        if row[OP] == Op.LOOP:
            loops.append((indent, len(rows)))
        rows.append(row)
    while loops:
        _close(rows, loops.pop()[1], "the last line")
    return np.array(rows, np.int32).reshape(-1, len(COLUMNS))


def _close(rows: list[list[int]], loop: int, where: str) -> None:
    rows[loop][AUX] = len(rows) - loop - 1
    if rows[loop][AUX] == 0:
        raise ProgramError("the loop before it is empty", where=where, hint="indent its body")


def _read_instruction(statement: str, where: str) -> list[int]:
    mnemonic, _, rest = statement.partition(" ")
    op = Op.__members__.get(mnemonic.upper())
    if op is None:
        raise ProgramError(f"no instruction is named {mnemonic!r}", where=where)
    given = [part.strip() for part in rest.split(",")]
    wanted = _OPERANDS[op]
    if len(given) != len(wanted):
        raise ProgramError(f"{mnemonic} takes {len(wanted)} operands: {wanted}", where=where)
    row = [0] * len(COLUMNS)
    row[OP] = int(op)
    for operand, value in zip(wanted, given, strict=True):
        name, named, column = operand.partition("=")
        prefix = f"{name}=" if named else "r"
        if not value.startswith(prefix):
            raise ProgramError(f"expected {prefix}..., not {value!r}", where=where)
        row[COLUMNS.index(column or name)] = _integer(value.removeprefix(prefix), where)
    return row


def _integer(text: str, where: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise ProgramError(f"{text!r} is not an integer", where=where) from None
