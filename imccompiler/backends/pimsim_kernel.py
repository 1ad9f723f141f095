"""Unrolls one core's stream, compiled: loops written out, registers written as constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from imccompiler.program.isa import (
    AUX,
    COLUMNS,
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

F = TypeVar("F", bound=Callable[..., Any])

_SETBW, _LOOP = int(Op.SETBW), int(Op.LOOP)
_SLDI, _SADDI, _SMULI = int(Op.SLDI), int(Op.SADDI), int(Op.SMULI)
_SADD, _SSUB, _SMUL = int(Op.SADD), int(Op.SSUB), int(Op.SMUL)
_WIDTH = len(COLUMNS)


def _compiled(function: F) -> F:
    return cast("F", numba.njit(cache=True, nogil=True)(function))


@_compiled
def unroll(code: NDArray[np.int32], reads: NDArray[np.int64], out: NDArray[np.int32]) -> int:
    """Write a core's stream without loops and without scalar arithmetic.

    Before an operation stands one `sldi` for each register that it reads and whose value is not
    the one last written. Nothing is known of registers before the first of them.

    Args:
        code: The core's instructions, shape (n, 7).
        reads: Registers that each operation reads: a column of `code` and what is added to the
            register's number, or -1 for no more; shape (operations, 4, 2).
        out: Where to, shape (m, 7); what does not fit is only counted.

    Returns:
        Instructions of the unrolled stream.
    """
    value = np.zeros(REGISTERS, np.int32)
    written = np.zeros(REGISTERS, np.int32)
    known = np.zeros(REGISTERS, np.bool_)
    loops = np.zeros((MAX_LOOP_DEPTH, 3), np.int64)  # first instruction, end, rounds left
    depth, at, count = 0, 0, 0
    while at < len(code):
        row = code[at]
        op = row[OP]
        if op == _LOOP:
            loops[depth, 0], loops[depth, 1], loops[depth, 2] = at + 1, at + 1 + row[AUX], row[IMM]
            depth += 1
        elif op < _SETBW:
            value[row[RD]] = _scalar(row, value)
        else:
            for i in range(reads.shape[1]):
                if reads[op, i, 0] < 0:
                    break
                register = row[reads[op, i, 0]] + reads[op, i, 1]
                if not known[register] or written[register] != value[register]:
                    if count < len(out):
                        out[count, OP], out[count, RD] = _SLDI, register
                        out[count, IMM], out[count, LAYER] = value[register], row[LAYER]
                    count += 1
                    known[register], written[register] = True, value[register]
            if count < len(out):
                for column in range(_WIDTH):
                    out[count, column] = row[column]
            count += 1
        at += 1
        while depth > 0 and at == loops[depth - 1, 1]:
            loops[depth - 1, 2] -= 1
            if loops[depth - 1, 2] > 0:
                at = loops[depth - 1, 0]
                break
            depth -= 1
    return count


@_compiled
def _scalar(row: NDArray[np.int32], value: NDArray[np.int32]) -> np.int32:
    op, result = row[OP], np.int64(row[IMM])
    a, b = np.int64(value[row[RS1]]), np.int64(value[row[RS2]])
    if op == _SADDI:
        result = a + result
    elif op == _SMULI:
        result = a * result
    elif op == _SADD:
        result = a + b
    elif op == _SSUB:
        result = a - b
    elif op == _SMUL:
        result = a * b
    return np.int32(result)  # wraps
