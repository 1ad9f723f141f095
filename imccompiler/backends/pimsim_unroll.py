"""A program without loops and scalar arithmetic: what pimsim-nn can be given.

pimsim-nn has no loops, and executes a scalar instruction again at every clock edge at which it
cannot leave the decoder: `saddi r0, r0` behind a busy unit adds more than once. So registers are
written by `sldi` only, each where an operation reads a new value.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from imccompiler.backends.pimsim_kernel import unroll
from imccompiler.program.artifact import Program
from imccompiler.program.isa import AUX, COLUMNS, IMM, OP, RD, RS1, RS2, VECTOR_OPS, Code, Op

_BINARY = range(Op.VVADD, Op.VVDMUL + 1)

# (column, added to the register's number): a global address takes a pair of registers
_READS: dict[int, tuple[tuple[int, int], ...]] = {
    **dict.fromkeys(VECTOR_OPS, ((RD, 0), (RS1, 0))),
    **dict.fromkeys((*_BINARY, Op.VFUN), ((RD, 0), (RS1, 0), (RS2, 0))),
    Op.MVMUL: ((RD, 0), (RS1, 0)),
    Op.LD: ((RD, 0), (RS1, 0), (RS1, 1)),
    Op.ST: ((RD, 0), (RD, 1), (RS1, 0)),
    Op.LLDI: ((RD, 0),),
    Op.LMV: ((RD, 0), (RS1, 0)),
    Op.SEND: ((RS1, 0),),
    Op.RECV: ((RD, 0),),
}


def _read_table() -> NDArray[np.int64]:
    table = np.full((max(Op) + 1, 4, 2), -1, np.int64)
    for op, reads in _READS.items():
        table[op, : len(reads)] = reads
    return table


def unrolled_cores(program: Program) -> Iterator[tuple[int, Code]]:
    """Every core with instructions, and its stream as pimsim-nn gets it.

    It begins with a `setbw` and consists of `setbw`, `sldi` and the operations, which are those
    of the program in the same order with the same operands. Scalar instructions at its end,
    which no operation reads, are left out.
    """
    reads = _read_table()
    for core in np.flatnonzero(np.diff(program.core_start)).tolist():
        begin, end = program.core_start[core : core + 2].tolist()
        code = np.array(program.code[begin:end])
        out = np.zeros((unroll(code, reads, np.zeros((0, len(COLUMNS)), np.int32)), 7), np.int32)
        unroll(code, reads, out)
        operations = np.flatnonzero(out[:, OP] > Op.LOOP)
        if len(operations):
            yield core, _widths_first(program, out[: operations[-1] + 1])


def _widths_first(program: Program, code: Code) -> Code:
    """With a `setbw` in front: that of the program if it is first anyhow, else its first one."""
    if code[0, OP] == Op.SETBW:
        return code
    sets = np.flatnonzero(code[:, OP] == Op.SETBW)
    first = code[:1].copy()
    first[0, OP], first[0, RD : AUX + 1] = Op.SETBW, 0
    first[0, [IMM, AUX]] = code[sets[0], [IMM, AUX]] if len(sets) else program.input_bits
    return np.concatenate([first, code])


def unrolled(program: Program) -> Program:
    """The program whose streams are the unrolled ones, to run or time what pimsim-nn is given."""
    lengths = np.zeros(program.core_count, np.int64)
    streams: list[Code] = [np.zeros((0, len(COLUMNS)), np.int32)]
    for core, code in unrolled_cores(program):
        lengths[core] = len(code)
        streams.append(code)
    start = np.concatenate([[0], np.cumsum(lengths)])
    return replace(program, code=np.concatenate(streams), core_start=start)
