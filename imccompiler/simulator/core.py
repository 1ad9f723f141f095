"""One core, compiled: runs the instructions whose effects stay inside the core.

`run_core` goes on until the stream ends, an instruction needs the world outside (a message, the
global memory, a digital function, a crossbar), or a rule is broken. All images of a batch run
at once: control flow and addresses do not depend on data.

Everything that numba compiles stands in this file, since its cache looks at one file's date.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from imccompiler.program.isa import AUX, IMM, MAX_BITS, MAX_LOOP_DEPTH, OP, RD, RS1, RS2, Op

F = TypeVar("F", bound=Callable[..., Any])
Row = NDArray[np.int32]  # one instruction
Line = NDArray[np.uint8]  # local memory of one image
Values = NDArray[np.int64]


def _compiled(function: F) -> F:
    return cast("F", numba.njit(cache=True, nogil=True)(function))


class CoreArrays(NamedTuple):
    """Everything that a core works on; all arrays but `code` and `groups` change in place.

    Attributes:
        code: Its instructions, shape (n, 7).
        groups: Rows and outputs of its crossbar groups, shape (groups, 2).
        state: Control state, see the indices below, shape (STATE_SIZE,).
        registers: Shape (32,).
        memory: Local memory of each image, shape (images, bytes).
        defined: 1 where memory was written, shape (bytes,).
        scratch: Room for operands of the stream's longest vector, shape (2, n).
    """

    code: NDArray[np.int32]
    groups: NDArray[np.int64]
    state: NDArray[np.int64]
    registers: NDArray[np.int32]
    memory: NDArray[np.uint8]
    defined: NDArray[np.uint8]
    scratch: Values


# status of `run_core`
FINISHED, OUTSIDE_CORE, UNDEFINED, BEYOND, OVERLAP, NO_WIDTHS, BAD_SHIFT, BAD_LOOP = range(8)
_OK = FINISHED

# indices of the control state; with RESUME set, the caller carried out the instruction at PC
PC, INPUT_BITS, OUTPUT_BITS, DEPTH, RESUME, BAD_ADDRESS, BAD_BYTES, _LOOPS = range(8)
_LOOP_FIELDS = 3  # first instruction, end, rounds left
STATE_SIZE = _LOOPS + _LOOP_FIELDS * MAX_LOOP_DEPTH

_SADDI, _SMULI, _SADD, _SSUB, _SMUL = (
    int(op) for op in (Op.SADDI, Op.SMULI, Op.SADD, Op.SSUB, Op.SMUL)
)
_SETBW, _LOOP, _MVMUL, _LMV, _LLDI = (
    int(op) for op in (Op.SETBW, Op.LOOP, Op.MVMUL, Op.LMV, Op.LLDI)
)
_VVADD, _VVSUB, _VVMAX, _VVMUL, _VVSLL, _VVSRA, _VVDMUL = (
    int(op) for op in (Op.VVADD, Op.VVSUB, Op.VVMAX, Op.VVMUL, Op.VVSLL, Op.VVSRA, Op.VVDMUL)
)
_VRELU, _VAVG, _VMV, _VVACC = (int(op) for op in (Op.VRELU, Op.VAVG, Op.VMV, Op.VVACC))

_HUGE = 1 << 62  # beyond every width: saturates whatever is written
_HUGE_FLOAT = float(_HUGE)


@_compiled
def run_core(core: CoreArrays) -> int:
    """Run a core from where it stands, and say why it stopped; PC is then the instruction.

    OUTSIDE_CORE is the regular reason; for an `mvmul` the addresses have been checked.
    """
    state, code = core.state, core.code
    pc = state[PC]
    if state[RESUME]:
        state[RESUME] = 0
        pc = _next(state, pc)
    while pc < len(code):
        row = code[pc]
        op = row[OP]
        if op <= _SMUL:
            _scalar(row, core)
        else:
            status = _control(row, pc, core) if op <= _LOOP else _act(row, core)
            if status != _OK:
                state[PC] = pc
                return status
        pc = _next(state, pc)
    state[PC] = pc
    return FINISHED


@_compiled
def _register(row: Row, column: int, core: CoreArrays) -> Any:
    return np.int64(core.registers[row[column]])


@_compiled
def _next(state: Values, pc: int) -> Any:
    """The instruction after `pc`; at the end of a loop's body its first one, rounds permitting."""
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
def _scalar(row: Row, core: CoreArrays) -> None:
    op = row[OP]
    a, b = _register(row, RS1, core), _register(row, RS2, core)
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
    core.registers[row[RD]] = np.int32(value)  # wraps


@_compiled
def _control(row: Row, pc: int, core: CoreArrays) -> int:
    if row[OP] == _LOOP:
        return _enter_loop(row, pc, core)
    core.state[INPUT_BITS] = row[IMM]
    core.state[OUTPUT_BITS] = row[AUX]
    narrow, wide = min(row[IMM], row[AUX]), max(row[IMM], row[AUX])
    return _OK if narrow >= 1 and wide <= MAX_BITS else NO_WIDTHS


@_compiled
def _enter_loop(row: Row, pc: int, core: CoreArrays) -> int:
    state = core.state
    depth = state[DEPTH]
    loop = _LOOPS + _LOOP_FIELDS * depth
    end = pc + 1 + row[AUX]
    limit = state[loop - _LOOP_FIELDS + 1] if depth > 0 else len(core.code)
    if row[IMM] < 1 or row[AUX] < 1 or depth >= MAX_LOOP_DEPTH or end > limit:
        return BAD_LOOP
    state[loop] = pc + 1
    state[loop + 1] = end
    state[loop + 2] = row[IMM]
    state[DEPTH] = depth + 1
    return _OK


@_compiled
def _act(row: Row, core: CoreArrays) -> int:
    op = row[OP]
    if _VVADD <= op <= _VVACC:
        return _vector(row, core)
    if op == _LMV:
        return _move(row, core)
    if op == _LLDI:
        return _fill(row, core)
    return _check_mvmul(row, core) if op == _MVMUL else OUTSIDE_CORE


@_compiled
def check_read(core: CoreArrays, address: int, size: int) -> int:
    """Status of reading bytes: inside the memory, and all written before."""
    state, defined = core.state, core.defined
    state[BAD_ADDRESS], state[BAD_BYTES] = address, size
    if size < 1 or address < 0 or address + size > len(defined):
        return BEYOND
    part = defined[address : address + size]
    all_defined = np.uint8(1)
    for i in range(size):  # without an early end, so that it runs on whole vectors
        all_defined &= part[i]
    if all_defined:
        return _OK
    while defined[state[BAD_ADDRESS]]:
        state[BAD_ADDRESS] += 1
    return UNDEFINED


@_compiled
def check_write(core: CoreArrays, address: int, size: int) -> int:
    """Status of writing bytes; they count as written from here on."""
    core.state[BAD_ADDRESS], core.state[BAD_BYTES] = address, size
    if size < 1 or address < 0 or address + size > len(core.defined):
        return BEYOND
    core.defined[address : address + size] = 1
    return _OK


@_compiled
def _overlap(a: int, a_size: int, b: int, b_size: int) -> bool:
    return a < b + b_size and b < a + a_size


@_compiled
def _move(row: Row, core: CoreArrays) -> int:
    target, source, size = _register(row, RD, core), _register(row, RS1, core), row[IMM]
    status = check_read(core, source, size)
    if status == _OK:
        status = check_write(core, target, size)
    if status != _OK:
        return status
    for i in range(len(core.memory)):
        line = core.memory[i]
        if _overlap(source, size, target, size):
            line[target : target + size] = line[source : source + size].copy()
        else:
            to, part = line[target : target + size], line[source : source + size]
            for k in range(size):
                to[k] = part[k]
    return _OK


@_compiled
def _fill(row: Row, core: CoreArrays) -> int:
    target, size = _register(row, RD, core), row[IMM]
    status = check_write(core, target, size)
    if status == _OK:
        core.memory[:, target : target + size] = np.uint8(row[AUX] & 255)
    return status


@_compiled
def _check_mvmul(row: Row, core: CoreArrays) -> int:
    group = row[IMM]
    if core.state[INPUT_BITS] == 0:
        return NO_WIDTHS
    if group < 0 or group >= len(core.groups):
        return OUTSIDE_CORE  # the caller knows no such group and says so
    source, target = _register(row, RS1, core), _register(row, RD, core)
    size = core.groups[group, 0] * ((core.state[INPUT_BITS] + 7) // 8)
    result_size = core.groups[group, 1] * ((core.state[OUTPUT_BITS] + 7) // 8)
    status = check_read(core, source, size)
    if status == _OK:
        status = check_write(core, target, result_size)
    if status == _OK:
        status = OVERLAP if _overlap(source, size, target, result_size) else OUTSIDE_CORE
    return status


class _Vector(NamedTuple):
    """Addresses, sizes and widths of a vector instruction."""

    op: int
    n: int
    results: int
    input_bits: int
    result_bits: int
    target: int
    first: int
    second: int
    size: int
    result_size: int


@_compiled
def _vector(row: Row, core: CoreArrays) -> int:
    state = core.state
    if state[INPUT_BITS] == 0:
        return NO_WIDTHS
    op, n, input_bits = row[OP], int(row[IMM]), state[INPUT_BITS]
    result_bits = state[OUTPUT_BITS]
    if op in (_VVADD, _VVSUB, _VVMAX, _VRELU, _VMV):
        result_bits = input_bits
    results = 1 if op in (_VVDMUL, _VAVG) else n
    v = _Vector(
        op,
        n,
        results,
        input_bits,
        result_bits,
        _register(row, RD, core),
        _register(row, RS1, core),
        _register(row, RS2, core),
        n * ((input_bits + 7) // 8),
        results * ((result_bits + 7) // 8),
    )
    status = _check_vector(v, core)
    if status != _OK:
        return status
    for i in range(len(core.memory)):
        if not _vector_line(v, core.memory[i], core.scratch[0], core.scratch[1]):
            return BAD_SHIFT
    return _OK


@_compiled
def _check_vector(v: _Vector, core: CoreArrays) -> int:
    status = check_read(core, v.first, v.size)
    if status == _OK and v.op <= _VVDMUL:
        status = check_read(core, v.second, v.size)
    if status == _OK and v.op == _VVACC:
        status = check_read(core, v.target, v.result_size)
    if status == _OK:
        status = check_write(core, v.target, v.result_size)
    if status == _OK and _forbidden_overlap(v, v.first):
        status = OVERLAP
    if status == _OK and v.op <= _VVDMUL and _forbidden_overlap(v, v.second):
        status = OVERLAP
    return status


@_compiled
def _forbidden_overlap(v: _Vector, operand: int) -> bool:
    """Whether the result overlaps an operand other than in place."""
    in_place = v.results == v.n and v.result_bits == v.input_bits and operand == v.target
    return not in_place and _overlap(operand, v.size, v.target, v.result_size)


@_compiled
def _vector_line(v: _Vector, line: Line, a: Values, b: Values) -> bool:
    """A vector instruction on one image; False for a negative shift."""
    _decode(line, v.first, v.n, v.input_bits, a)
    if v.op <= _VVDMUL:
        _decode(line, v.second, v.n, v.input_bits, b)
    elif v.op == _VVACC:
        _decode(line, v.target, v.n, v.result_bits, b)
    if v.op in (_VVSLL, _VVSRA):
        if not _shift(v.op, v.n, a, b):
            return False
    elif v.op in (_VVMUL, _VVDMUL, _VAVG):
        _multiply(v, a, b)
    else:
        _combine(v.op, v.n, a, b)
    _encode(a, v.results, line, v.target, v.result_bits)
    return True


@_compiled
def _combine(op: int, n: int, a: Values, b: Values) -> None:
    if op in (_VVADD, _VVACC):
        for k in range(n):
            a[k] += b[k]
    elif op == _VVSUB:
        for k in range(n):
            a[k] -= b[k]
    elif op == _VVMAX:
        for k in range(n):
            a[k] = max(a[k], b[k])
    elif op == _VRELU:
        for k in range(n):
            a[k] = max(a[k], 0)


@_compiled
def _multiply(v: _Vector, a: Values, b: Values) -> None:
    if v.op == _VAVG:
        b[: v.n] = 1
        a[0] = _divide(_dot(v.n, a, b), v.n)
    elif v.op == _VVDMUL:
        a[0] = _dot(v.n, a, b)
    elif v.input_bits <= 32:
        for k in range(v.n):
            a[k] *= b[k]
    else:
        for k in range(v.n):
            a[k] = _dot(1, a[k : k + 1], b[k : k + 1])


@_compiled
def _dot(n: int, a: Values, b: Values) -> int:
    """Sum of products; beyond 2^62 that bound, so that it saturates and never wraps."""
    total, estimate = 0, 0.0
    for k in range(n):
        total += a[k] * b[k]
        estimate += float(a[k]) * float(b[k])
    if estimate >= _HUGE_FLOAT:
        return _HUGE
    return -_HUGE if estimate <= -_HUGE_FLOAT else total


@_compiled
def _shift(op: int, n: int, a: Values, b: Values) -> bool:
    for k in range(n):
        if b[k] < 0:
            return False
        a[k] = _shift_left(a[k], b[k]) if op == _VVSLL else _shift_right(a[k], b[k])
    return True


@_compiled
def _shift_left(value: int, shift: int) -> int:
    if value == 0:
        return value
    if shift < 62 and abs(value) <= _HUGE >> shift:
        return value << shift
    return _HUGE if value > 0 else -_HUGE


@_compiled
def _shift_right(value: int, shift: int) -> int:
    """Division by 2^shift, ties to even."""
    if shift == 0:
        return value
    if shift > 62:
        return 0
    quotient = value >> shift
    rest, half = value - (quotient << shift), np.int64(1) << (shift - 1)
    if rest > half or (rest == half and quotient & 1):
        quotient += 1
    return quotient


@_compiled
def _divide(value: int, n: int) -> int:
    """Division by n > 0, ties to even."""
    quotient = value // n
    twice = 2 * (value - quotient * n)
    if twice > n or (twice == n and quotient & 1):
        quotient += 1
    return quotient


@_compiled
def _decode(line: Line, address: int, n: int, bits: int, out: Values) -> None:
    """Read values of `bits` bits; the usual widths have loops of their own, for speed."""
    width, shift = (bits + 7) // 8, 64 - bits
    b = line[address : address + n * width].reshape(n, width)
    if width == 1:
        for k in range(n):
            out[k] = np.int64(b[k, 0])
    elif width == 2:
        for k in range(n):
            out[k] = np.int64(b[k, 0]) | np.int64(b[k, 1]) << 8
    elif width == 3:
        for k in range(n):
            out[k] = np.int64(b[k, 0]) | np.int64(b[k, 1]) << 8 | np.int64(b[k, 2]) << 16
    else:
        _decode_wide(b, out)
    for k in range(n):
        out[k] = (out[k] << shift) >> shift


@_compiled
def _decode_wide(b: NDArray[np.uint8], out: Values) -> None:
    n, width = b.shape
    for k in range(n):
        low = np.int64(b[k, 0]) | np.int64(b[k, 1]) << 8
        out[k] = low | np.int64(b[k, 2]) << 16 | np.int64(b[k, 3]) << 24
    for byte in range(4, width):
        for k in range(n):
            out[k] |= np.int64(b[k, byte]) << (8 * byte)


@_compiled
def _encode(values: Values, n: int, line: Line, address: int, bits: int) -> None:
    """Write values, saturated to `bits` bits."""
    width = (bits + 7) // 8
    high = (np.int64(1) << (bits - 1)) - 1
    low = -high - 1
    for k in range(n):
        values[k] = min(max(values[k], low), high)
    b = line[address : address + n * width].reshape(n, width)
    if width == 1:
        for k in range(n):
            b[k, 0] = np.uint8(values[k])
    elif width == 2:
        for k in range(n):
            b[k, 0], b[k, 1] = np.uint8(values[k]), np.uint8(values[k] >> 8)
    elif width == 3:
        for k in range(n):
            b[k, 0], b[k, 1] = np.uint8(values[k]), np.uint8(values[k] >> 8)
            b[k, 2] = np.uint8(values[k] >> 16)
    else:
        for byte in range(width):
            for k in range(n):
                b[k, byte] = np.uint8(values[k] >> (8 * byte))


@_compiled
def read_values(memory: NDArray[np.uint8], address: int, n: int, bits: int) -> Values:
    """Values of `bits` bits of every image, shape (images, n)."""
    out = np.empty((len(memory), n), np.int64)
    for i in range(len(memory)):
        _decode(memory[i], address, n, bits, out[i])
    return out


@_compiled
def write_values(memory: NDArray[np.uint8], address: int, values: Values, bits: int) -> None:
    """Write values of every image, shape (images, n), saturated to `bits` bits."""
    for i in range(len(memory)):
        _encode(values[i], values.shape[1], memory[i], address, bits)
