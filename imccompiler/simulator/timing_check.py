"""What the timing simulator asks of a program before it runs it."""

from __future__ import annotations

from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import ProgramError
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import (
    AUX,
    IMM,
    LAYER,
    MAX_LOOP_DEPTH,
    OP,
    RD,
    REGISTERS,
    RS1,
    RS2,
    Op,
)
from imccompiler.program.text import instruction_text
from imccompiler.program.tiles import CORE, GROUP

_FUNCTIONS = (Op.VTANH, Op.VSIGM, Op.VFUN)
_PEERS = (Op.SEND, Op.RECV, Op.SYNC)
_EVENTS = (Op.SYNC, Op.WAIT)
_EVENT_COUNT = 32
_CODES = np.array([int(op) for op in Op])


def where(program: Program, instruction: int) -> str:
    """Core, place, text and layer of an instruction (a row of `Program.code`)."""
    core = int(np.searchsorted(program.core_start, instruction, side="right")) - 1
    row = program.code[instruction].tolist()
    layers = program.layers
    layer = f", layer {layers[row[LAYER]]!r}" if 0 <= row[LAYER] < len(layers) else ""
    place = instruction - int(program.core_start[core])
    text = instruction_text(row) if row[OP] in _CODES else str(row)
    return f"core {core}, instruction {place} ({text}){layer}"


def core_of_instruction(program: Program) -> NDArray[np.int64]:
    """The core of every instruction, shape (n,)."""
    return np.repeat(np.arange(program.core_count), np.diff(program.core_start))


def group_rows(program: Program, machine: Machine) -> NDArray[np.int64]:
    """The row of the group table that every `mvmul` and `mvwr` drives, else -1; shape (n,).

    Raises:
        ProgramError: The program breaks a rule that its time depends on.
    """
    if program.core_count > machine.core_count:
        raise ProgramError(
            f"the program uses {program.core_count} cores, {machine.name} has {machine.core_count}"
        )
    code = program.code
    op, imm, aux = code[:, OP], code[:, IMM], code[:, AUX]
    core = core_of_instruction(program)
    _refuse(program, ~np.isin(op, _CODES), "is no instruction")
    for column in (RD, RS1, RS2):
        _refuse(program, _outside(code[:, column], REGISTERS), "names no register")
    acts = op >= Op.MVMUL
    _refuse(program, acts & _outside(code[:, LAYER], len(program.layers)), "names no layer")
    _refuse(
        program,
        np.isin(op, _FUNCTIONS) & _outside(aux, len(program.functions)),
        "names no function",
    )
    peer = np.isin(op, _PEERS) & (_outside(aux, program.core_count) | (aux == core))
    _refuse(program, peer, "does not name another core")
    _refuse(program, np.isin(op, _EVENTS) & _outside(imm, _EVENT_COUNT), "names no event")
    counts = (op >= Op.VVADD) & ~np.isin(op, _EVENTS) & (imm < 0)
    _refuse(program, counts, "has a negative size")
    _check_loops(program)
    return find_groups(program, core)


def find_groups(program: Program, core: NDArray[np.int64]) -> NDArray[np.int64]:
    """As `group_rows`, of a program whose other rules hold."""
    drives = np.isin(program.code[:, OP], (Op.MVMUL, Op.MVWR))
    stride = 1 << 32
    known = program.groups[:, CORE].astype(np.int64) * stride + program.groups[:, GROUP]
    order = np.argsort(known, kind="stable")
    wanted = core[drives] * stride + program.code[drives, IMM]
    at = np.minimum(np.searchsorted(known[order], wanted), max(len(known) - 1, 0))
    missing = np.zeros(len(program.code), bool)
    missing[drives] = known[order][at] != wanted if len(known) else True
    _refuse(program, missing, "drives a group that the core does not have")
    rows = np.full(len(program.code), -1, np.int64)
    rows[drives] = order[at]
    return rows


def _check_loops(program: Program) -> None:
    ends: list[int] = []
    core_end = 0
    for index in np.flatnonzero(program.code[:, OP] == Op.LOOP).tolist():
        while ends and ends[-1] <= index:
            ends.pop()
        if not ends:
            core_end = int(
                program.core_start[np.searchsorted(program.core_start, index, side="right")]
            )
        times, length = program.code[index, [IMM, AUX]].tolist()
        end = index + 1 + length
        limit = ends[-1] if ends else core_end
        if times < 1 or length < 1 or len(ends) >= MAX_LOOP_DEPTH or end > limit:
            _fail(program, index, "is empty, too deep or ends outside the loop around it")
        ends.append(end)


def _outside(values: NDArray[np.int32], count: int) -> NDArray[np.bool_]:
    return (values < 0) | (values >= count)


def _refuse(program: Program, wrong: NDArray[np.bool_], message: str) -> None:
    if wrong.any():
        _fail(program, int(wrong.argmax()), message)


def _fail(program: Program, instruction: int, message: str) -> NoReturn:
    raise ProgramError(message, where=where(program, instruction))
