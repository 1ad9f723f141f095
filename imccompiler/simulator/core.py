"""One core, compiled: runs the instructions whose effects stay inside the core.

`run_core` goes on until the stream ends, an instruction needs the world outside (a message, the
global memory, a digital function, a crossbar), or a rule is broken. All images of a batch run
at once: control flow and addresses do not depend on data.

Everything that numba compiles stands in this file, since its cache looks at one file's date.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from imccompiler.program.isa import AUX, IMM, MAX_BITS, MAX_LOOP_DEPTH, OP, RD, RS1, RS2, Op

F = TypeVar("F", bound=Callable[..., Any])


def _compiled(function: F) -> F:
    return cast("F", numba.njit(cache=True, nogil=True)(function))


# status of `run_core`
FINISHED, OUTSIDE_CORE, UNDEFINED, BEYOND, OVERLAP, NO_WIDTHS, BAD_SHIFT, BAD_LOOP = range(8)

# entries of a core's control state, shape (STATE_SIZE,), int64
PC, INPUT_BITS, OUTPUT_BITS, DEPTH, RESUME, BAD_ADDRESS, BAD_BYTES, _LOOPS = range(8)
_LOOP_FIELDS = 3  # first instruction, end, rounds left
STATE_SIZE = _LOOPS + _LOOP_FIELDS * MAX_LOOP_DEPTH

_OK = FINISHED
_SLDI, _SADDI, _SMULI = int(Op.SLDI), int(Op.SADDI), int(Op.SMULI)
_SADD, _SSUB, _SMUL = int(Op.SADD), int(Op.SSUB), int(Op.SMUL)
_SETBW, _LOOP, _MVMUL = int(Op.SETBW), int(Op.LOOP), int(Op.MVMUL)
_VVADD, _VVSUB, _VVMAX, _VVMUL = int(Op.VVADD), int(Op.VVSUB), int(Op.VVMAX), int(Op.VVMUL)
_VVSLL, _VVSRA, _VVDMUL = int(Op.VVSLL), int(Op.VVSRA), int(Op.VVDMUL)
_VRELU, _VAVG, _VMV, _VVACC = int(Op.VRELU), int(Op.VAVG), int(Op.VMV), int(Op.VVACC)
_LLDI, _LMV = int(Op.LLDI), int(Op.LMV)

_HUGE = 1 << 62  # beyond every width: saturates whatever is written
_HUGE_FLOAT = float(_HUGE)


@_compiled
def run_core(
    code: NDArray[np.int32],
    state: NDArray[np.int64],
    registers: NDArray[np.int32],
    memory: NDArray[np.uint8],
    defined: NDArray[np.uint8],
    scratch: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> int:
    """Run a core from where it stands.

    Args:
        code: Its instructions, shape (n, 7).
        state: Its control state; on return, PC is the instruction that stopped it. With RESUME
            set, that instruction was carried out by the caller.
        registers: Shape (32,).
        memory: Local memory of each image, shape (images, bytes).
        defined: 1 where memory was written, shape (bytes,).
        scratch: At least the longest vector of the stream, shape (3, n).
        groups: Rows and outputs of each crossbar group, shape (groups, 2); for an `mvmul` the
            ranges are checked here.

    Returns:
        A status; OUTSIDE_CORE is the regular one.
    """
    pc = state[PC]
    if state[RESUME]:
        state[RESUME] = 0
        pc = _next(state, pc)
    while pc < len(code):
        row = code[pc]
        op = row[OP]
        status = _OK
        if op <= _SMUL:
            _scalar(op, row, registers)
        elif op == _SETBW:
            state[INPUT_BITS] = row[IMM]
            state[OUTPUT_BITS] = row[AUX]
        elif op == _LOOP:
            status = _enter_loop(row, state, pc, len(code))
        elif op == _LMV:
            status = _move(row, state, registers, memory, defined)
        elif op == _LLDI:
            status = _fill(row, state, registers, memory, defined)
        elif _VVADD <= op <= _VVACC:
            status = _vector(row, state, registers, memory, defined, scratch)
        elif op == _MVMUL:
            status = _check_mvmul(row, state, registers, defined, groups)
        else:
            status = OUTSIDE_CORE
        if status != _OK:
            state[PC] = pc
            return status
        pc = _next(state, pc)
    state[PC] = pc
    return FINISHED


@_compiled
def _next(state, pc):
    pc += 1
    while state[DEPTH] > 0:
        loop = _LOOPS + _LOOP_FIELDS * (state[DEPTH] - 1)
        if pc != state[loop + 1]:
            break
        state[loop + 2] -= 1
        if state[loop + 2] > 0:
            return state[loop]
        state[DEPTH] -= 1
    return pc


@_compiled
def _enter_loop(row, state, pc, length):
    depth = state[DEPTH]
    loop = _LOOPS + _LOOP_FIELDS * depth
    end = pc + 1 + row[AUX]
    if row[IMM] < 1 or row[AUX] < 1 or depth >= MAX_LOOP_DEPTH or end > length:
        return BAD_LOOP
    if depth > 0 and end > state[loop - _LOOP_FIELDS + 1]:
        return BAD_LOOP
    state[loop] = pc + 1
    state[loop + 1] = end
    state[loop + 2] = row[IMM]
    state[DEPTH] = depth + 1
    return _OK


@_compiled
def _scalar(op, row, registers):
    a = np.int64(registers[row[RS1]])
    b = np.int64(registers[row[RS2]])
    value = np.int64(row[IMM])
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
    registers[row[RD]] = np.int32(value)  # wraps


@_compiled
def check_read(state, defined, address, size):
    """Status of reading bytes: inside the memory, and all written before."""
    state[BAD_ADDRESS], state[BAD_BYTES] = address, size
    if address < 0 or address + size > len(defined):
        return BEYOND
    all_defined = np.uint8(1)
    for i in range(address, address + size):
        all_defined &= defined[i]
    if all_defined:
        return _OK
    for i in range(address, address + size):
        if not defined[i]:
            state[BAD_ADDRESS] = i
            break
    return UNDEFINED


@_compiled
def check_write(state, defined, address, size):
    """Status of writing bytes; they count as written from here on."""
    state[BAD_ADDRESS], state[BAD_BYTES] = address, size
    if address < 0 or address + size > len(defined):
        return BEYOND
    defined[address : address + size] = 1
    return _OK


@_compiled
def _overlap(a, a_size, b, b_size):
    return a < b + b_size and b < a + a_size


@_compiled
def _move(row, state, registers, memory, defined):
    target, source, size = registers[row[RD]], registers[row[RS1]], row[IMM]
    status = check_read(state, defined, source, size)
    if status == _OK:
        status = check_write(state, defined, target, size)
    if status == _OK:
        forwards = target <= source
        for i in range(len(memory)):
            line = memory[i]
            if forwards:
                for k in range(size):
                    line[target + k] = line[source + k]
            else:
                for k in range(size - 1, -1, -1):
                    line[target + k] = line[source + k]
    return status


@_compiled
def _fill(row, state, registers, memory, defined):
    target, size = registers[row[RD]], row[IMM]
    status = check_write(state, defined, target, size)
    if status == _OK:
        memory[:, target : target + size] = np.uint8(row[AUX] & 255)
    return status


@_compiled
def _check_mvmul(row, state, registers, defined, groups):
    group = row[IMM]
    if state[INPUT_BITS] == 0:
        return NO_WIDTHS
    if group < 0 or group >= len(groups):
        return OUTSIDE_CORE  # the caller knows no such group and says so
    source, source_bytes = registers[row[RS1]], groups[group, 0] * ((state[INPUT_BITS] + 7) // 8)
    target, target_bytes = registers[row[RD]], groups[group, 1] * ((state[OUTPUT_BITS] + 7) // 8)
    status = check_read(state, defined, source, source_bytes)
    if status == _OK:
        status = check_write(state, defined, target, target_bytes)
    if status == _OK and _overlap(source, source_bytes, target, target_bytes):
        status = OVERLAP
    return OUTSIDE_CORE if status == _OK else status


@_compiled
def _vector(row, state, registers, memory, defined, scratch):
    op, n = row[OP], row[IMM]
    input_bits, output_bits = state[INPUT_BITS], state[OUTPUT_BITS]
    if input_bits < 1 or input_bits > MAX_BITS or output_bits < 1 or output_bits > MAX_BITS:
        return NO_WIDTHS
    same = op == _VVADD or op == _VVSUB or op == _VVMAX or op == _VRELU or op == _VMV
    result_bits = input_bits if same else output_bits
    results = 1 if op == _VVDMUL or op == _VAVG else n
    size, result_size = n * ((input_bits + 7) // 8), results * ((result_bits + 7) // 8)
    target, first, second = registers[row[RD]], registers[row[RS1]], registers[row[RS2]]
    two_operands = op <= _VVDMUL

    status = check_read(state, defined, first, size)
    if status == _OK and two_operands:
        status = check_read(state, defined, second, size)
    if status == _OK and op == _VVACC:
        status = check_read(state, defined, target, result_size)
    if status == _OK:
        status = check_write(state, defined, target, result_size)
    if status != _OK:
        return status
    in_place = results == n and result_bits == input_bits
    if _overlap(first, size, target, result_size) and not (in_place and first == target):
        return OVERLAP
    if two_operands and _overlap(second, size, target, result_size):
        if not (in_place and second == target):
            return OVERLAP

    a, b = scratch[0], scratch[1]
    for i in range(len(memory)):
        line = memory[i]
        _decode(line, first, n, input_bits, a)
        if two_operands:
            _decode(line, second, n, input_bits, b)
        elif op == _VVACC:
            _decode(line, target, n, output_bits, b)
        if not _compute(op, n, input_bits, a, b):
            return BAD_SHIFT
        _encode(a, results, line, target, result_bits)
    return _OK


@_compiled
def _compute(op, n, bits, a, b):
    """Values of `a` (and `b`) of `bits` bits to results in `a`; False for a negative shift."""
    if op == _VVADD or op == _VVACC:
        for k in range(n):
            a[k] += b[k]
    elif op == _VVSUB:
        for k in range(n):
            a[k] -= b[k]
    elif op == _VVMAX:
        for k in range(n):
            a[k] = max(a[k], b[k])
    elif op == _VVMUL:
        for k in range(n):
            a[k] = _product(a[k], b[k]) if bits > 32 else a[k] * b[k]
    elif op == _VVSLL or op == _VVSRA:
        for k in range(n):
            if b[k] < 0:
                return False
            a[k] = _shift_left(a[k], b[k]) if op == _VVSLL else _shift_right(a[k], b[k])
    elif op == _VRELU:
        for k in range(n):
            a[k] = max(a[k], 0)
    elif op == _VVDMUL:
        a[0] = _dot(n, a, b)
    elif op == _VAVG:
        b[:n] = 1
        a[0] = _divide(_dot(n, a, b), n)
    return True


@_compiled
def _product(a, b):
    estimate = float(a) * float(b)
    if estimate >= _HUGE_FLOAT:
        return _HUGE
    return -_HUGE if estimate <= -_HUGE_FLOAT else a * b


@_compiled
def _dot(n, a, b):
    """Sum of products; beyond 2^62 that bound, so that it saturates and never wraps."""
    total, estimate = 0, 0.0
    for k in range(n):
        total += a[k] * b[k]
        estimate += float(a[k]) * float(b[k])
    if estimate >= _HUGE_FLOAT:
        return _HUGE
    return -_HUGE if estimate <= -_HUGE_FLOAT else total


@_compiled
def _shift_left(value, shift):
    if value == 0 or (shift < 62 and abs(value) <= _HUGE >> shift):
        return value << shift if shift < 62 else value
    return _HUGE if value > 0 else -_HUGE


@_compiled
def _shift_right(value, shift):
    """Division by 2^shift, ties to even."""
    if shift == 0:
        return value
    if shift > 62:
        return value * 0
    quotient = value >> shift
    rest, half = value - (quotient << shift), 1 << (shift - 1)
    if rest > half or (rest == half and quotient & 1):
        quotient += 1
    return quotient


@_compiled
def _divide(value, n):
    """Division by n > 0, ties to even."""
    quotient = value // n
    twice = 2 * (value - quotient * n)
    if twice > n or (twice == n and quotient & 1):
        quotient += 1
    return quotient


@_compiled
def _decode(line, address, n, bits, out):
    """n values of `bits` bits at an address."""
    width, shift = (bits + 7) // 8, 64 - bits
    if width == 1:
        for k in range(n):
            out[k] = (np.int64(line[address + k]) << shift) >> shift
    elif width == 2:
        for k in range(n):
            at = address + 2 * k
            value = np.int64(line[at]) | np.int64(line[at + 1]) << 8
            out[k] = (value << shift) >> shift
    else:
        for k in range(n):
            value = np.int64(0)
            for byte in range(width):
                value |= np.int64(line[address + k * width + byte]) << (8 * byte)
            out[k] = (value << shift) >> shift


@_compiled
def _encode(values, n, line, address, bits):
    """Write n values, saturated to `bits` bits."""
    width = (bits + 7) // 8
    high = (np.int64(1) << (bits - 1)) - 1
    low = -high - 1
    if width == 1:
        for k in range(n):
            line[address + k] = np.uint8(min(max(values[k], low), high) & 255)
    elif width == 2:
        for k in range(n):
            value = min(max(values[k], low), high)
            line[address + 2 * k] = np.uint8(value & 255)
            line[address + 2 * k + 1] = np.uint8((value >> 8) & 255)
    else:
        for k in range(n):
            value = min(max(values[k], low), high)
            for byte in range(width):
                line[address + k * width + byte] = np.uint8((value >> (8 * byte)) & 255)


@_compiled
def read_values(
    memory: NDArray[np.uint8], address: int, n: int, bits: int
) -> NDArray[np.int64]:
    """n values of `bits` bits at an address of every image, shape (images, n)."""
    out = np.empty((len(memory), n), np.int64)
    for i in range(len(memory)):
        _decode(memory[i], address, n, bits, out[i])
    return out


@_compiled
def write_values(
    memory: NDArray[np.uint8], address: int, values: NDArray[np.int64], bits: int
) -> None:
    """Write values of every image, shape (images, n), saturated to `bits` bits."""
    for i in range(len(memory)):
        _encode(values[i], values.shape[1], memory[i], address, bits)
