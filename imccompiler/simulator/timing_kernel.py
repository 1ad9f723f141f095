"""The timing simulator's event loop, compiled: streams in, times out, nothing but integers.

Everything lies in one vector `m`: a header, then records of cores, groups, instructions and so
on, each known by its address; `timing_memory.py` lays it out. (Compiled functions that hand each
other one array are several times faster than those that share a tuple of twenty.) Times are in
picoseconds. What an operation costs stands in its row of costs, so there is no formula here,
only order: decode, dispatch, hazards, ports, switches, handshakes.

Events at the same time are handled in the order of their actors' numbers: first what ends
(switches, transfer units, vector units, crossbar groups), then the clock edges (front ends,
latches), each by core. Actors that cannot go on sleep; what ends wakes the one that waits for it.

Everything that numba compiles stands in this file, since its cache looks at one file's date.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba
import numpy as np

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
Memory = Any
"""An int64 vector (`Any`, since numpy's stubs take an element by an element for an array)."""


def _compiled(function: F) -> F:
    return cast("F", numba.njit(cache=True, nogil=True)(function))


NEVER = 1 << 62  # a time that is not known yet
ACTOR_BITS = 20
LAST_PS = 1 << (62 - ACTOR_BITS)  # 4.4 seconds
NOTHING = 0  # the address of no record
EVENTS = 32  # counted events of a core

# status of `run`
FINISHED, MORE_ITEMS, MORE_LOG, NO_WIDTHS, TOO_LONG = range(5)

# the header
CORES, CORE_COUNT, CORE_SIZE, GROUPS, GROUP_COUNT, FLITS_PS, SPANS_PS, IMAGE_ENDS_PS = range(8)
IMAGES, HEAP, HEAP_SIZE, FREE_ITEM, FREE_ITEMS, GLOBAL_FREE_PS, LOG, LOG_END = range(8, 16)
FAULT, HEADER_SIZE = range(16, 18)

# a core: what does not change, its streams and units, and arrays
NUMBER, PERIOD_PS, ROB_SIZE, ORDERS_WRITES, FIRST, END = range(6)
PC, DECODED, DECODED_IMAGE, IMAGE, PAIR, DEPTH, BLOCK = range(6, 13)
ROB_HEAD, ROB_COUNT, LEFT_PS, LAST_COMMIT_PS, PORT_FREE_PS = range(13, 18)
LATCH_SLOT, LATCH_PS, VECTOR_SLOT, VECTOR_FREE_PS, TRANSFER_SLOT, TRANSFER_FREE_PS = range(18, 24)
SWITCH_FREE_PS, ITEM_FIRST, ITEM_LAST, RECEIVE_FROM, READY_AT = range(24, 29)
WAIT_EVENT, WAIT_COUNT, BUSY_PS = range(29, 32)  # three busy times

# values of BLOCK beside the address of an operation in flight
ON_VECTOR, ON_TRANSFER, ON_LATCH = range(1, 4)
NO_EVENT = -1

# an operation, waiting for dispatch or in flight: ranges are first and last byte
INSTRUCTION, ROW, OP_IMAGE, START_PS, DONE_PS = range(5)
READ1, READ1_END, READ2, READ2_END, WRITE, WRITE_END, ENTRY_SIZE = range(5, 12)

REGISTER = BUSY_PS + 3
RAISED = REGISTER + REGISTERS
LOOPS = RAISED + EVENTS
LOOP_FIRST, LOOP_END, LOOP_LEFT, LOOP_SIZE = range(4)
PENDING = LOOPS + MAX_LOOP_DEPTH * LOOP_SIZE
ROB = PENDING + ENTRY_SIZE  # `rob_size` operations; the cores' records are as long as the longest

# a crossbar group; SHARING: a list of the groups that share a crossbar, itself included
GROUP_CORE, GROUP_SLOT, GROUP_FREE_PS, SHARING, SHARING_END, GROUP_SIZE = range(6)

# an instruction: its columns; its row of costs for no width pair; TARGET: of `mvmul` and `mvwr`
# the group, of messages the other core, of `wait` the count, of `setbw` the offset of its pair's
# row; how often it was run
COST_ROW, TARGET, RUNS, INSTRUCTION_SIZE = range(len(COLUMNS), len(COLUMNS) + 4)

# a row of costs; FROM: the column of a register, or AT_ZERO; EXTENT: what to add for the last
# byte of the range, or NO_RANGE; how often the row was used
READ_PS, COMPUTE_PS, WRITE_PS, TRAVEL_PS, FLITS, GLOBAL_PS = range(6)
READ1_FROM, READ1_EXTENT, READ2_FROM, READ2_EXTENT, WRITE_FROM, WRITE_EXTENT = range(6, 12)
ROW_RUNS, COST_SIZE = range(12, 14)
AT_ZERO = -1
NO_RANGE = -1

# an item in a switch, and its kinds
KIND, PEER, AMOUNT, ARRIVAL_PS, NEXT, ITEM_SIZE = range(6)
READY, GO, DATA, EVENT, GLOBAL = range(5)

MATRIX_UNIT, VECTOR_UNIT, TRANSFER_UNIT = range(3)
LOG_CORE, LOG_UNIT, LOG_INSTRUCTION, LOG_START_PS, LOG_END_PS, LOG_SIZE = range(6)

_LOOP, _SETBW, _MVMUL, _MVWR = (int(o) for o in (Op.LOOP, Op.SETBW, Op.MVMUL, Op.MVWR))
_SADDI, _SMULI = int(Op.SADDI), int(Op.SMULI)
_SADD, _SSUB, _SMUL = (int(o) for o in (Op.SADD, Op.SSUB, Op.SMUL))
_FIRST_VECTOR, _FIRST_TRANSFER = int(Op.VVADD), int(Op.LD)
_LD, _ST, _SEND, _RECV = (int(o) for o in (Op.LD, Op.ST, Op.SEND, Op.RECV))
_LMV, _SYNC, _WAIT = (int(o) for o in (Op.LMV, Op.SYNC, Op.WAIT))


@_compiled
def start(m: Memory) -> None:
    """Prepare the first clock edge of every core that has instructions."""
    for number in range(m[CORE_COUNT]):
        c = m[CORES] + number * m[CORE_SIZE]
        if m[c + FIRST] < m[c + END]:
            _wake_front(m, c, m[c + PERIOD_PS])


@_compiled
def run(m: Memory) -> int:
    """Handle events until none is left, or room or a rule is missing."""
    cores, groups = m[CORE_COUNT], m[GROUP_COUNT]
    while m[HEAP_SIZE] > 0:
        if m[FREE_ITEMS] < 2:
            return MORE_ITEMS
        if m[LOG_END] > 0 and m[LOG] + 2 * LOG_SIZE > m[LOG_END]:
            return MORE_LOG
        key = _pop(m)
        now, actor = key >> ACTOR_BITS, key & ((1 << ACTOR_BITS) - 1)
        if now >= LAST_PS:
            return TOO_LONG
        if actor < 3 * cores:
            c = m[CORES] + actor % cores * m[CORE_SIZE]
            if actor < cores:
                _arrive(m, c, now)
            elif actor < 2 * cores:
                _continue_transfer(m, c, now)
            else:
                _end_vector(m, c, now)
        elif actor < 3 * cores + groups:
            _end_product(m, m[GROUPS] + (actor - 3 * cores) * GROUP_SIZE, now)
        else:
            edge = actor - 3 * cores - groups
            c = m[CORES] + edge % cores * m[CORE_SIZE]
            if edge >= cores:
                _start_latched(m, c, now)
            elif not _front_end(m, c, now):
                return NO_WIDTHS
    return FINISHED


@_compiled
def retire_all(m: Memory) -> None:
    """Let everything that is done leave the reorder buffers."""
    for number in range(m[CORE_COUNT]):
        _retire(m, m[CORES] + number * m[CORE_SIZE], NEVER)


# the heap of events: times shifted by ACTOR_BITS, plus the actor


@_compiled
def _wake(m: Memory, time: int, actor: int) -> None:
    heap, key = m[HEAP], (time << ACTOR_BITS) + actor
    i = m[HEAP_SIZE]
    m[HEAP_SIZE] = i + 1
    while i > 0:
        above = (i - 1) >> 1
        if m[heap + above] <= key:
            break
        m[heap + i] = m[heap + above]
        i = above
    m[heap + i] = key


@_compiled
def _pop(m: Memory) -> int:
    heap, n = m[HEAP], m[HEAP_SIZE] - 1
    first, key = m[heap], m[heap + n]
    m[HEAP_SIZE] = n
    i = 0
    while True:
        below = 2 * i + 1
        if below >= n:
            break
        if below + 1 < n and m[heap + below + 1] < m[heap + below]:
            below += 1
        if m[heap + below] >= key:
            break
        m[heap + i] = m[heap + below]
        i = below
    m[heap + i] = key
    return first


@_compiled
def _wake_switch(m: Memory, c: int, time: int) -> None:
    _wake(m, time, m[c + NUMBER])


@_compiled
def _wake_transfer(m: Memory, c: int, time: int) -> None:
    _wake(m, time, m[CORE_COUNT] + m[c + NUMBER])


@_compiled
def _wake_vector(m: Memory, c: int, time: int) -> None:
    _wake(m, time, 2 * m[CORE_COUNT] + m[c + NUMBER])


@_compiled
def _wake_group(m: Memory, group: int, time: int) -> None:
    _wake(m, time, 3 * m[CORE_COUNT] + (group - m[GROUPS]) // GROUP_SIZE)


@_compiled
def _wake_front(m: Memory, c: int, time: int) -> None:
    m[c + BLOCK] = NOTHING
    _wake(m, time, 3 * m[CORE_COUNT] + m[GROUP_COUNT] + m[c + NUMBER])


@_compiled
def _wake_latch(m: Memory, c: int, time: int) -> None:
    _wake(m, time, 4 * m[CORE_COUNT] + m[GROUP_COUNT] + m[c + NUMBER])


# the front end: fetch, decode, dispatch


@_compiled
def _front_end(m: Memory, c: int, now: int) -> bool:
    """A clock edge: dispatch what waits, then decode until the next operation."""
    if not _may_go_on(m, c, now):
        return True
    if m[c + PENDING + INSTRUCTION] != NOTHING:
        _dispatch(m, c, now)
    while True:
        instruction, image = m[c + DECODED], m[c + DECODED_IMAGE]
        m[c + DECODED] = _fetch(m, c)
        m[c + DECODED_IMAGE] = m[c + IMAGE]
        now += m[c + PERIOD_PS]
        if instruction != NOTHING:
            op = m[instruction + OP]
            m[instruction + RUNS] += 1
            if op > _LOOP:
                if m[c + PAIR] == 0 and op < _FIRST_TRANSFER and op != _MVWR:
                    m[FAULT] = instruction
                    return False
                _decode(m, c, instruction, image)
                _wake_front(m, c, now)
                return True
            _scalar(m, c, instruction)
        elif m[c + DECODED] == NOTHING:
            return True
        if not _may_go_on(m, c, now):  # only operations in flight can hold a scalar back
            return True


@_compiled
def _fetch(m: Memory, c: int) -> int:
    """The next instruction of a core, NOTHING when all images are done."""
    pc = m[c + PC]
    if pc == m[c + END]:
        if m[c + IMAGE] + 1 >= m[IMAGES]:
            return NOTHING
        m[c + IMAGE] += 1
        pc = m[c + FIRST]
    following = pc + INSTRUCTION_SIZE
    if m[pc + OP] == _LOOP:
        loop = c + LOOPS + m[c + DEPTH] * LOOP_SIZE
        m[loop + LOOP_FIRST] = following
        m[loop + LOOP_END] = following + m[pc + AUX] * INSTRUCTION_SIZE
        m[loop + LOOP_LEFT] = m[pc + IMM]
        m[c + DEPTH] += 1
    else:
        while m[c + DEPTH] > 0:
            loop = c + LOOPS + (m[c + DEPTH] - 1) * LOOP_SIZE
            if following != m[loop + LOOP_END]:
                break
            m[loop + LOOP_LEFT] -= 1
            if m[loop + LOOP_LEFT] > 0:
                following = m[loop + LOOP_FIRST]
                break
            m[c + DEPTH] -= 1
    m[c + PC] = following
    return pc


@_compiled
def _scalar(m: Memory, c: int, instruction: int) -> None:
    op, value = m[instruction + OP], m[instruction + IMM]
    if op == _SETBW:
        m[c + PAIR] = m[instruction + TARGET]
    if op >= _SETBW:
        return
    registers = c + REGISTER
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


@_compiled
def _decode(m: Memory, c: int, instruction: int, image: int) -> None:
    pending, row = c + PENDING, m[instruction + COST_ROW] + m[c + PAIR]
    m[row + ROW_RUNS] += 1
    m[pending + INSTRUCTION] = instruction
    m[pending + ROW] = row
    m[pending + OP_IMAGE] = image
    m[pending + DONE_PS] = NEVER
    _set_range(m, c, row + READ1_FROM, pending + READ1)
    _set_range(m, c, row + READ2_FROM, pending + READ2)
    _set_range(m, c, row + WRITE_FROM, pending + WRITE)


@_compiled
def _set_range(m: Memory, c: int, cost: int, target: int) -> None:
    source, extent = m[cost], m[cost + 1]
    if extent == NO_RANGE:
        m[target], m[target + 1] = NEVER, -NEVER
        return
    base = 0
    if source != AT_ZERO:
        base = m[c + REGISTER + m[m[c + PENDING + INSTRUCTION] + source]]
    m[target], m[target + 1] = base, base + extent


@_compiled
def _may_go_on(m: Memory, c: int, now: int) -> bool:
    """Whether the edge `now` passes; if not, the front end is woken when it may."""
    _retire(m, c, now)
    if m[c + ROB_COUNT] >= m[c + ROB_SIZE]:
        return _wait_for_slot(m, c, c + ROB + m[c + ROB_HEAD] * ENTRY_SIZE)
    pending = c + PENDING
    if m[pending + INSTRUCTION] == NOTHING:
        return True
    place = m[c + ROB_HEAD]
    for _ in range(m[c + ROB_COUNT]):
        slot = c + ROB + place * ENTRY_SIZE
        if m[slot + DONE_PS] >= now and _conflict(m, pending, slot, m[c + ORDERS_WRITES]):
            return _wait_for_slot(m, c, slot)
        place = place + 1 if place + 1 < m[c + ROB_SIZE] else 0
    op = m[m[pending + INSTRUCTION] + OP]
    if op >= _FIRST_TRANSFER:
        return _wait_until(m, c, now, m[c + TRANSFER_FREE_PS] + m[c + PERIOD_PS], ON_TRANSFER)
    if op >= _FIRST_VECTOR:
        return _wait_until(m, c, now, m[c + VECTOR_FREE_PS] + m[c + PERIOD_PS], ON_VECTOR)
    return _wait_until(m, c, now, m[c + LATCH_PS], ON_LATCH)


@_compiled
def _retire(m: Memory, c: int, now: int) -> None:
    """Drop the operations that left the reorder buffer, in order, at edges before `now`."""
    while m[c + ROB_COUNT] > 0:
        head = m[c + ROB_HEAD]
        slot = c + ROB + head * ENTRY_SIZE
        if m[slot + DONE_PS] >= now:
            return
        m[c + LEFT_PS] = max(m[c + LEFT_PS], m[slot + DONE_PS])
        end = m[IMAGE_ENDS_PS] + m[slot + OP_IMAGE]
        m[end] = max(m[end], m[c + LEFT_PS])
        m[c + ROB_COUNT] -= 1
        m[c + ROB_HEAD] = head + 1 if head + 1 < m[c + ROB_SIZE] else 0


@_compiled
def _wait_for_slot(m: Memory, c: int, slot: int) -> bool:
    if m[slot + DONE_PS] == NEVER:
        m[c + BLOCK] = slot
    else:
        _wake_front(m, c, m[slot + DONE_PS] + m[c + PERIOD_PS])
    return False


@_compiled
def _wait_until(m: Memory, c: int, now: int, time: int, block: int) -> bool:
    """True if a unit that can start at the edge `time` can do so now."""
    if time <= now:
        return True
    if time >= NEVER:
        m[c + BLOCK] = block
    else:
        _wake_front(m, c, time)
    return False


@_compiled
def _conflict(m: Memory, a: int, b: int, orders_writes: int) -> bool:
    """Whether the operation `a` must wait for the earlier `b`."""
    if _meet(m, a + WRITE, b + READ1) or _meet(m, a + WRITE, b + READ2):
        return True
    if _meet(m, a + READ1, b + WRITE) or _meet(m, a + READ2, b + WRITE):
        return True
    return orders_writes != 0 and _meet(m, a + WRITE, b + WRITE)


@_compiled
def _meet(m: Memory, a: int, b: int) -> bool:
    return m[a] <= m[b + 1] and m[b] <= m[a + 1]


@_compiled
def _dispatch(m: Memory, c: int, now: int) -> None:
    place = m[c + ROB_HEAD] + m[c + ROB_COUNT]
    place = place if place < m[c + ROB_SIZE] else place - m[c + ROB_SIZE]
    m[c + ROB_COUNT] += 1
    slot, pending = c + ROB + place * ENTRY_SIZE, c + PENDING
    for i in range(ENTRY_SIZE):
        m[slot + i] = m[pending + i]
    m[slot + START_PS] = now
    m[pending + INSTRUCTION] = NOTHING
    row, op = m[slot + ROW], m[m[slot + INSTRUCTION] + OP]
    if op >= _FIRST_TRANSFER:
        m[c + TRANSFER_SLOT], m[c + TRANSFER_FREE_PS] = slot, NEVER
        _start_transfer(m, c, op, now)
    elif op >= _FIRST_VECTOR:
        m[c + VECTOR_SLOT], m[c + VECTOR_FREE_PS] = slot, NEVER
        _wake_vector(m, c, _port(m, c, now, m[row + READ_PS]) + m[row + COMPUTE_PS])
    else:
        if m[c + LATCH_SLOT] != NOTHING:
            _start_latched(m, c, now)
        m[c + LATCH_SLOT] = slot
        _set_latch(m, c, now + m[c + PERIOD_PS])


@_compiled
def _port(m: Memory, c: int, now: int, duration: int) -> int:
    """Queue a request at the local memory; when it ends."""
    end = max(m[c + PORT_FREE_PS], now) + duration
    m[c + PORT_FREE_PS] = end
    return end


@_compiled
def _done(m: Memory, c: int, slot: int, unit: int, free: int, commit: int) -> None:
    """An operation ends: its unit is free from the edge `free` on, `commit` retires it."""
    period, begin, instruction = m[c + PERIOD_PS], m[slot + START_PS], m[slot + INSTRUCTION]
    m[slot + DONE_PS] = commit + period
    m[c + BUSY_PS + unit] += free - begin
    span = m[SPANS_PS] + 2 * m[instruction + LAYER]
    m[span], m[span + 1] = min(m[span], begin), max(m[span + 1], free)
    if m[LOG_END] > 0:
        line = m[LOG]
        m[line + LOG_CORE], m[line + LOG_UNIT] = m[c + NUMBER], unit
        m[line + LOG_INSTRUCTION] = instruction
        m[line + LOG_START_PS], m[line + LOG_END_PS] = begin, free
        m[LOG] = line + LOG_SIZE
    block = m[c + BLOCK]
    if block == slot:
        _wake_front(m, c, commit + 2 * period)
    elif (block == ON_VECTOR and unit == VECTOR_UNIT) or (
        block == ON_TRANSFER and unit == TRANSFER_UNIT
    ):
        _wake_front(m, c, free + period)


@_compiled
def _edge(m: Memory, c: int, time: int) -> int:
    """The first clock edge of a core that is not before `time`."""
    return -(-time // m[c + PERIOD_PS]) * m[c + PERIOD_PS]


@_compiled
def _next_edge(m: Memory, c: int, time: int) -> int:
    """The first clock edge of a core after `time`."""
    return time // m[c + PERIOD_PS] * m[c + PERIOD_PS] + m[c + PERIOD_PS]


# vector unit and crossbar groups


@_compiled
def _end_vector(m: Memory, c: int, now: int) -> None:
    """The result is computed: write it."""
    slot = m[c + VECTOR_SLOT]
    free = _edge(m, c, _port(m, c, now, m[m[slot + ROW] + WRITE_PS]))
    m[c + VECTOR_FREE_PS] = free
    _done(m, c, slot, VECTOR_UNIT, free, free)


@_compiled
def _set_latch(m: Memory, c: int, earliest: int) -> None:
    """Start the latched product when all groups that share its crossbars are free."""
    group = m[m[m[c + LATCH_SLOT] + INSTRUCTION] + TARGET]
    time = earliest
    for i in range(m[group + SHARING], m[group + SHARING_END]):
        free = m[m[i] + GROUP_FREE_PS]
        if free == NEVER:
            m[c + LATCH_PS] = NEVER
            return
        time = max(time, free + m[c + PERIOD_PS])
    m[c + LATCH_PS] = time
    _wake_latch(m, c, time)
    if m[c + BLOCK] == ON_LATCH:
        _wake_front(m, c, time)


@_compiled
def _start_latched(m: Memory, c: int, now: int) -> None:
    slot = m[c + LATCH_SLOT]
    if slot == NOTHING or m[c + LATCH_PS] != now:  # the next dispatch came before, at this edge
        return
    m[c + LATCH_SLOT], m[c + LATCH_PS] = NOTHING, 0
    m[slot + START_PS] = now
    instruction, row = m[slot + INSTRUCTION], m[slot + ROW]
    group = m[instruction + TARGET]
    m[group + GROUP_SLOT], m[group + GROUP_FREE_PS] = slot, NEVER
    if m[instruction + OP] == _MVMUL:
        now = _port(m, c, now, m[row + READ_PS])
    _wake_group(m, group, now + m[row + COMPUTE_PS])


@_compiled
def _end_product(m: Memory, group: int, now: int) -> None:
    """The product is computed: write it; groups of a core retire one a cycle."""
    c, slot = m[group + GROUP_CORE], m[group + GROUP_SLOT]
    if m[m[slot + INSTRUCTION] + OP] == _MVMUL:
        now = _port(m, c, now, m[m[slot + ROW] + WRITE_PS])
    free = _edge(m, c, now)
    m[group + GROUP_FREE_PS] = free
    commit = max(free, m[c + LAST_COMMIT_PS] + m[c + PERIOD_PS])
    m[c + LAST_COMMIT_PS] = commit
    _done(m, c, slot, MATRIX_UNIT, free, commit)
    if m[c + LATCH_SLOT] != NOTHING and m[c + LATCH_PS] == NEVER:
        _set_latch(m, c, free + m[c + PERIOD_PS])


# the transfer unit


@_compiled
def _start_transfer(m: Memory, c: int, op: int, now: int) -> None:
    slot = m[c + TRANSFER_SLOT]
    instruction, row = m[slot + INSTRUCTION], m[slot + ROW]
    peer = m[instruction + TARGET]
    if op == _LD:
        _post(m, c, now, GLOBAL, NOTHING, 0, m[row + TRAVEL_PS], 0)
    elif op == _ST:
        _wake_transfer(m, c, _port(m, c, now, m[row + READ_PS]))
    elif op == _SEND:
        _post(m, c, now, READY, peer, 0, _flit(m, c, peer), m[c + PERIOD_PS])
    elif op == _RECV:
        m[c + RECEIVE_FROM] = peer
        if m[peer + READY_AT] == c:
            m[peer + READY_AT] = NOTHING
            _post(m, c, now, GO, peer, 0, _flit(m, c, peer), 0)
    elif op == _SYNC:
        _post(m, c, now, EVENT, peer, m[instruction + IMM], _flit(m, c, peer), 0)
        _end_transfer(m, c, now + 2 * m[c + PERIOD_PS])
    elif op == _WAIT:
        m[c + WAIT_EVENT], m[c + WAIT_COUNT] = m[instruction + IMM], peer
        _try_wait(m, c, now)
    else:
        if op == _LMV:
            _port(m, c, now, m[row + READ_PS])
        _end_transfer(m, c, _edge(m, c, _port(m, c, now, m[row + WRITE_PS])))


@_compiled
def _continue_transfer(m: Memory, c: int, now: int) -> None:
    """What was read from a memory is there."""
    slot = m[c + TRANSFER_SLOT]
    instruction, row = m[slot + INSTRUCTION], m[slot + ROW]
    if m[instruction + OP] == _LD:
        _end_transfer(m, c, _edge(m, c, _port(m, c, now, m[row + WRITE_PS])))
    elif m[instruction + OP] == _ST:
        _post(m, c, now, GLOBAL, NOTHING, 0, m[row + TRAVEL_PS], 0)
    else:
        peer = m[instruction + TARGET]
        _post(m, c, now, DATA, peer, 0, m[row + FLITS] * _flit(m, c, peer), 0)


@_compiled
def _end_transfer(m: Memory, c: int, free: int) -> None:
    m[c + TRANSFER_FREE_PS] = free
    _done(m, c, m[c + TRANSFER_SLOT], TRANSFER_UNIT, free, free)


@_compiled
def _try_wait(m: Memory, c: int, now: int) -> None:
    event = m[c + WAIT_EVENT]
    if event != NO_EVENT and m[c + RAISED + event] >= m[c + WAIT_COUNT]:
        m[c + RAISED + event] -= m[c + WAIT_COUNT]
        m[c + WAIT_EVENT] = NO_EVENT
        _end_transfer(m, c, _next_edge(m, c, now))


# the switch of a core: a queue, one item under way at a time


@_compiled
def _flit(m: Memory, c: int, peer: int) -> int:
    return m[m[FLITS_PS] + m[c + NUMBER] * m[CORE_COUNT] + m[peer + NUMBER]]


@_compiled
def _post(
    m: Memory, c: int, now: int, kind: int, peer: int, amount: int, travel: int, handling: int
) -> None:
    """Queue an item; it keeps the switch busy while it travels and is handled.

    While an access to the global memory is under way, whose end is not known, its transfer
    unit waits for it and nothing else is queued.
    """
    item = m[FREE_ITEM]
    m[FREE_ITEM] = m[item + NEXT]
    m[FREE_ITEMS] -= 1
    arrival = max(now, m[c + SWITCH_FREE_PS]) + travel
    m[c + SWITCH_FREE_PS] = arrival + handling
    m[item + KIND], m[item + PEER], m[item + AMOUNT] = kind, peer, amount
    m[item + ARRIVAL_PS], m[item + NEXT] = arrival, NOTHING
    if m[c + ITEM_FIRST] == NOTHING:
        m[c + ITEM_FIRST] = item
        _wake_switch(m, c, arrival)
    else:
        m[m[c + ITEM_LAST] + NEXT] = item
    m[c + ITEM_LAST] = item


@_compiled
def _arrive(m: Memory, c: int, now: int) -> None:
    """The first item of a switch reaches its target."""
    item = m[c + ITEM_FIRST]
    kind, peer, following = m[item + KIND], m[item + PEER], m[item + NEXT]
    m[c + ITEM_FIRST] = following
    if following != NOTHING:
        _wake_switch(m, c, m[following + ARRIVAL_PS])
    m[item + NEXT] = m[FREE_ITEM]
    m[FREE_ITEM] = item
    m[FREE_ITEMS] += 1
    if kind == READY:
        if m[peer + RECEIVE_FROM] == c:
            _post(m, peer, now, GO, c, 0, _flit(m, peer, c), 0)
        else:
            m[c + READY_AT] = peer
    elif kind == GO:
        read = _port(m, peer, now, m[m[m[peer + TRANSFER_SLOT] + ROW] + READ_PS])
        _wake_transfer(m, peer, read)
        _end_transfer(m, peer, _edge(m, peer, read))
    elif kind == DATA:
        m[peer + RECEIVE_FROM] = NOTHING
        end = _port(m, peer, now, m[m[m[peer + TRANSFER_SLOT] + ROW] + WRITE_PS])
        _end_transfer(m, peer, _edge(m, peer, end))
    elif kind == EVENT:
        m[peer + RAISED + m[item + AMOUNT]] += 1
        _try_wait(m, peer, now)
    else:
        _access_global(m, c, now)


@_compiled
def _access_global(m: Memory, c: int, now: int) -> None:
    slot = m[c + TRANSFER_SLOT]
    end = max(m[GLOBAL_FREE_PS], now) + m[m[slot + ROW] + GLOBAL_PS]
    m[GLOBAL_FREE_PS] = end
    m[c + SWITCH_FREE_PS] = end
    if m[m[slot + INSTRUCTION] + OP] == _LD:
        _wake_transfer(m, c, end)
    else:
        _end_transfer(m, c, _next_edge(m, c, end))
