"""How often instructions of each form run, from the loops around them: one pass over the code.

Compiled by numba, which notices changes of this file only.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.hardware.cores import kind_numbers
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import AUX, IMM, LAYER, MAX_LOOP_DEPTH, OP, Op
from imccompiler.simulator.timing_code import group_rows
from imccompiler.simulator.timing_energy import FORM_SIZE
from imccompiler.simulator.timing_heap import compiled

_LOOP, _SETBW, _FIRST = int(Op.LOOP), int(Op.SETBW), int(Op.MVMUL)
_MVWR, _VFUN, _SEND, _SYNC = int(Op.MVWR), int(Op.VFUN), int(Op.SEND), int(Op.SYNC)
_MULTIPLIER = -0x61C8864680B583EB  # odd, its bits in no order: 2^64 over the golden ratio


def tally(
    program: Program, machine: Machine
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """How often instructions run in one image.

    Returns:
        Forms in ascending order, columns as in `timing_energy`, shape (forms, FORM_SIZE); runs of
        each, shape (forms,); instruction, core and runs of each `send` and `sync`, shape
        (3, messages).
    """
    code = np.asarray(program.code)
    table = np.full(max(1024, 1 << (2 * len(code)).bit_length()), -1, np.int32)
    forms = np.empty((len(code), FORM_SIZE), np.int64)
    runs = np.zeros(len(code), np.int64)
    messages = np.empty((3, len(code)), np.int64)
    known, sent = _tally(
        code,
        np.asarray(program.core_start),
        kind_numbers(machine),
        group_rows(program),
        len(program.layers),
        table,
        forms,
        runs,
        messages,
    )
    order = np.lexsort(forms[:known].T[::-1])
    return forms[order], runs[order], messages[:, :sent]


@compiled
def _same(forms: Any, row: int, form: Any) -> bool:
    for i in range(FORM_SIZE):  # noqa: SIM110 (numba knows no `all`)
        if forms[row, i] != form[i]:
            return False
    return True


@compiled
def _slot(form: Any, table: Any, forms: Any) -> int:
    """Where in the table a form stands, or would."""
    mixed = 0
    for i in range(FORM_SIZE):
        mixed = (mixed ^ form[i]) * _MULTIPLIER  # wraps
    slot = (mixed >> 32) & (len(table) - 1)
    while table[slot] >= 0 and not _same(forms, table[slot], form):
        slot = (slot + 1) & (len(table) - 1)
    return slot


@compiled
def _tally(
    code: Any,
    core_start: Any,
    kinds: Any,
    groups: Any,
    layers: int,
    table: Any,
    forms: Any,
    runs: Any,
    messages: Any,
) -> tuple[int, int]:
    """Fill the last three; `table` has the row of a form in `forms`, found by its hash."""
    form = np.zeros(FORM_SIZE, np.int64)  # the last two, the widths, change with `setbw`
    ends = np.zeros(MAX_LOOP_DEPTH, np.int64)
    times = np.ones(MAX_LOOP_DEPTH + 1, np.int64)
    known = sent = depth = 0
    for core in range(len(core_start) - 1):
        for pc in range(core_start[core], core_start[core + 1]):
            while depth > 0 and ends[depth - 1] == pc:
                depth -= 1
            op = code[pc, OP]
            if op == _LOOP:
                ends[depth] = pc + 1 + code[pc, AUX]
                times[depth + 1] = times[depth] * code[pc, IMM]
                depth += 1
            elif op == _SETBW:
                form[FORM_SIZE - 2], form[FORM_SIZE - 1] = code[pc, IMM], code[pc, AUX]
            if op < _FIRST:
                continue
            form[0], form[1] = kinds[core], op
            form[2] = groups[pc] if op <= _MVWR else code[pc, IMM]
            form[3] = code[pc, AUX] + 1 if op == _VFUN else 0
            form[4] = code[pc, LAYER] if code[pc, LAYER] >= 0 else layers
            slot = _slot(form, table, forms)
            if table[slot] < 0:
                table[slot] = known
                for i in range(FORM_SIZE):
                    forms[known, i] = form[i]
                known += 1
            runs[table[slot]] += times[depth]
            if op in (_SEND, _SYNC):
                messages[0, sent], messages[1, sent], messages[2, sent] = pc, core, times[depth]
                sent += 1
        depth = 0
    return known, sent
