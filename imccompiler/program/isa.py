"""The instruction set: operation codes, their units and what they touch.

The meaning of every operation is in `docs/program.md`; this file is its table.
"""

from __future__ import annotations

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

REGISTERS = 32
MAX_LOOP_DEPTH = 4
MAX_BITS = 62  # widest value of `setbw`
EVENTS = 32  # event counters of a core

COLUMNS = ("op", "rd", "rs1", "rs2", "imm", "aux", "layer")
OP, RD, RS1, RS2, IMM, AUX, LAYER = range(len(COLUMNS))


class Op(IntEnum):
    """Operation codes; the numbers are part of the file format."""

    # scalar, executed at decode
    SLDI = 0  # R[rd] = imm
    SADDI = 1  # R[rd] = R[rs1] + imm
    SMULI = 2  # R[rd] = R[rs1] * imm
    SADD = 3  # R[rd] = R[rs1] + R[rs2]
    SSUB = 4
    SMUL = 5
    SETBW = 6  # input bits = imm, output bits = aux
    LOOP = 7  # repeat the next `aux` instructions `imm` times
    # matrix unit
    MVMUL = 8  # M[R[rd]..] = group `imm` times M[R[rs1]..]
    MVWR = 9  # program the crossbars of group `imm`
    # vector unit, `imm` elements
    VVADD = 16
    VVSUB = 17
    VVMAX = 18
    VVMUL = 19
    VVSLL = 20
    VVSRA = 21
    VVDMUL = 22
    VRELU = 23
    VAVG = 24
    VMV = 25
    VVACC = 26  # rd (output width) += rs1 (input width)
    VTANH = 27  # function `aux`
    VSIGM = 28  # function `aux`
    VFUN = 29  # function `aux`; operands at R[rs1], R[rs2]
    # transfer unit, `imm` bytes
    LD = 32
    ST = 33
    LLDI = 34  # fill M[R[rd]..] with the byte `aux`
    LMV = 35
    SEND = 36  # M[R[rs1]..] to core `aux`
    RECV = 37  # M[R[rd]..] from core `aux`
    SYNC = 38  # raise event `imm` of core `aux`
    WAIT = 39  # wait until event `imm` counts `aux`


SCALAR_OPS = frozenset({Op.SLDI, Op.SADDI, Op.SMULI, Op.SADD, Op.SSUB, Op.SMUL})
MATRIX_OPS = frozenset({Op.MVMUL, Op.MVWR})
VECTOR_OPS = frozenset(range(Op.VVADD, Op.VFUN + 1))
TRANSFER_OPS = frozenset(range(Op.LD, Op.WAIT + 1))

Code = NDArray[np.int32]
"""Instructions, shape (n, len(COLUMNS))."""


def byte_width(bits: int) -> int:
    """Bytes that one value of `bits` bits takes in memory."""
    return -(-bits // 8)
