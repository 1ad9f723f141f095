"""Fetching instructions, counted loops included, and what is done at decode.

Compiled into `timing_kernel.py`: see the note in `timing_records.py`.
"""

from __future__ import annotations

import numpy as np

from imccompiler.program.isa import AUX, IMM, OP, RD, RS1, RS2, Op
from imccompiler.simulator import timing_records as r
from imccompiler.simulator.timing_heap import Memory, compiled

_LOOP, _SETBW = int(Op.LOOP), int(Op.SETBW)
_SADDI, _SMULI = int(Op.SADDI), int(Op.SMULI)
_SADD, _SSUB, _SMUL = (int(o) for o in (Op.SADD, Op.SSUB, Op.SMUL))


@compiled
def fetch(m: Memory, c: int) -> int:
    """The next instruction of a core, NOTHING when all images are done."""
    pc = m[c + r.PC]
    if pc == m[c + r.END]:
        if m[c + r.IMAGE] + 1 >= m[r.IMAGES]:
            return r.NOTHING
        m[c + r.IMAGE] += 1
        pc = m[c + r.FIRST]
    following = pc + r.INSTRUCTION_SIZE
    if m[pc + OP] == _LOOP:
        loop = c + r.LOOPS + m[c + r.DEPTH] * r.LOOP_SIZE
        m[loop + r.LOOP_FIRST] = following
        m[loop + r.LOOP_END] = following + m[pc + AUX] * r.INSTRUCTION_SIZE
        m[loop + r.LOOP_LEFT] = m[pc + IMM]
        m[c + r.DEPTH] += 1
    else:
        while m[c + r.DEPTH] > 0:
            loop = c + r.LOOPS + (m[c + r.DEPTH] - 1) * r.LOOP_SIZE
            if following != m[loop + r.LOOP_END]:
                break
            m[loop + r.LOOP_LEFT] -= 1
            if m[loop + r.LOOP_LEFT] > 0:
                following = m[loop + r.LOOP_FIRST]
                break
            m[c + r.DEPTH] -= 1
    m[c + r.PC] = following
    return pc


@compiled
def run_scalar(m: Memory, c: int, instruction: int) -> None:
    """Carry out a scalar instruction or `setbw`; a loop was taken note of when fetched."""
    op, value = m[instruction + OP], m[instruction + IMM]
    if op == _SETBW:
        m[c + r.PAIR] = m[instruction + r.TARGET]
    if op >= _SETBW:
        return
    registers = c + r.REGISTER
    a = m[registers + m[instruction + RS1]]
    b = m[registers + m[instruction + RS2]]
    if op == _SADDI:
        value = a + value
    elif op == _SMULI:
        value = a * value
    elif op == _SADD:
        value = a + b
    elif op == _SSUB:
        value = a - b
    elif op == _SMUL:
        value = a * b
    m[registers + m[instruction + RD]] = np.int32(value)  # wraps
