"""The timing simulator's event loop, compiled: streams in, times out, nothing but integer arrays.

All times are integer picoseconds. What an operation costs stands in `Tables.costs`, so there is
no formula here, only order: decode, dispatch, hazards, ports, switches, handshakes. Events at
the same time are handled in the order of their actors' numbers: first what ends (switches,
transfer units, vector units, crossbar groups), then the clock edges (front ends, latches), each
by core. Actors that cannot go on sleep; whatever ends wakes the one that waits for it.

Everything that numba compiles stands in this file, since its cache looks at one file's date.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numba
import numpy as np
from numpy.typing import NDArray

from imccompiler.program.isa import AUX, IMM, LAYER, OP, RD, RS1, RS2, Op

F = TypeVar("F", bound=Callable[..., Any])
Ints = NDArray[np.int64]


def _compiled(function: F) -> F:
    return cast("F", numba.njit(cache=True, nogil=True)(function))


NEVER = 1 << 62  # a time that is not known yet
ACTOR_BITS = 20
LAST_PS = 1 << (62 - ACTOR_BITS)  # 4.4 seconds

# status of `run`
FINISHED, MORE_ITEMS, MORE_LOG, NO_WIDTHS, TOO_LONG = range(5)

# columns of `Tables.costs`; FROM: a column of the code, or AT_ZERO; EXTENT: bytes, or NO_RANGE
READ_PS, COMPUTE_PS, WRITE_PS, TRAVEL_PS, FLITS, GLOBAL_PS = range(6)
READ1_FROM, READ1_EXTENT, READ2_FROM, READ2_EXTENT, WRITE_FROM, WRITE_EXTENT, COST_SIZE = range(
    6, 13
)
AT_ZERO = -1
NO_RANGE = -1

# columns of `State.core`
PC, DECODED, DECODED_IMAGE, IMAGE, PAIR, DEPTH, BLOCK = range(7)
ROB_HEAD, ROB_COUNT, LEFT_PS, LAST_COMMIT_PS, PORT_FREE_PS = range(7, 12)
LATCH_SLOT, LATCH_PS, VECTOR_SLOT, VECTOR_FREE_PS, TRANSFER_SLOT, TRANSFER_FREE_PS = range(12, 18)
SWITCH_FREE_PS, ITEM_FIRST, ITEM_LAST, RECEIVE_FROM, READY_AT = range(18, 23)
WAIT_EVENT, WAIT_COUNT, CORE_SIZE = range(23, 26)

# values of BLOCK beside the slot of an operation in flight
NOT_BLOCKED, ON_VECTOR, ON_TRANSFER, ON_LATCH = range(-4, 0)

# columns of an operation: in `State.rob`, and in `State.pending` before its dispatch
INSTRUCTION, ROW, OP_IMAGE, START_PS, DONE_PS = range(5)
READ1, READ1_END, READ2, READ2_END, WRITE, WRITE_END, ENTRY_SIZE = range(5, 12)

# columns of an item in a switch, and its kinds
KIND, PEER, AMOUNT, ARRIVAL_PS, NEXT, ITEM_SIZE = range(6)
READY, GO, DATA, EVENT, GLOBAL = range(5)

# `State.top`
HEAP_SIZE, FREE_ITEM, FREE_ITEMS, GLOBAL_FREE_PS, LOG_SIZE, FAULT, TOP_SIZE = range(7)

MATRIX_UNIT, VECTOR_UNIT, TRANSFER_UNIT, UNITS = range(4)
LOG_CORE, LOG_UNIT, LOG_INSTRUCTION, LOG_START_PS, LOG_END_PS, LOG_COLUMNS = range(6)

_LOOP, _SETBW, _MVMUL, _MVWR = (int(o) for o in (Op.LOOP, Op.SETBW, Op.MVMUL, Op.MVWR))
_SLDI, _SADDI, _SMULI = (int(o) for o in (Op.SLDI, Op.SADDI, Op.SMULI))
_SADD, _SSUB, _SMUL = (int(o) for o in (Op.SADD, Op.SSUB, Op.SMUL))
_FIRST_VECTOR, _FIRST_TRANSFER = int(Op.VVADD), int(Op.LD)
_LD, _ST, _SEND, _RECV = (int(o) for o in (Op.LD, Op.ST, Op.SEND, Op.RECV))
_LMV, _SYNC, _WAIT = (int(o) for o in (Op.LMV, Op.SYNC, Op.WAIT))


class Tables(NamedTuple):
    """What does not change.

    Attributes:
        code: Instructions of all cores, shape (n, 7).
        core_start: First instruction of each core and the end, shape (cores + 1,).
        row: First row of `costs` of each instruction, to which the width pair is added; shape
            (n,).
        target: Of `mvmul` and `mvwr` the row of their group, of `setbw` the width pair, else
            `aux`; shape (n,).
        costs: Columns as above, shape (rows, COST_SIZE).
        flit_ps: Between every two cores, shape (cores, cores).
        sharing_start, sharing: Groups that share a crossbar with each group, itself included
            (rows of the group table; compressed sparse rows).
        group_core: Core of each group.
        period_ps, rob_size: Of each core.
        orders_writes: 1 where a write waits for earlier writes of the same bytes.
        images: Times that each stream is run.
    """

    code: NDArray[np.int32]
    core_start: Ints
    row: Ints
    target: Ints
    costs: Ints
    flit_ps: Ints
    sharing_start: Ints
    sharing: Ints
    group_core: Ints
    period_ps: Ints
    rob_size: Ints
    orders_writes: Ints
    images: int


class State(NamedTuple):
    """What changes; a stopped run goes on from it.

    Attributes:
        top: Scalars, shape (TOP_SIZE,); FAULT is the instruction that lacks widths.
        heap: Pending events, time shifted by ACTOR_BITS plus the actor.
        core: Columns as above, shape (cores, CORE_SIZE).
        registers: Shape (cores, 32).
        loops: First instruction, end and rounds left, shape (cores, MAX_LOOP_DEPTH, 3).
        rob: Operations in flight, a ring a core, shape (cores, largest rob, ENTRY_SIZE).
        pending: The operation that waits for dispatch, shape (cores, ENTRY_SIZE).
        group: Slot of the operation at work, and when the group is free, shape (groups, 2).
        raised: Event counts, shape (cores, 32).
        items: What is in the switches, linked lists, shape (capacity, ITEM_SIZE).
        runs: How often each instruction was run, shape (n,).
        row_runs: How often each row of `costs` was run, shape (rows,).
        image_end_ps: Shape (images,).
        busy_ps: Shape (cores, UNITS).
        layer_span_ps: First start and last end, shape (layers, 2).
        log: Operations with their times, shape (capacity, LOG_COLUMNS); empty: not wanted.
    """

    top: Ints
    heap: Ints
    core: Ints
    registers: NDArray[np.int32]
    loops: Ints
    rob: Ints
    pending: Ints
    group: Ints
    raised: Ints
    items: Ints
    runs: Ints
    row_runs: Ints
    image_end_ps: Ints
    busy_ps: Ints
    layer_span_ps: Ints
    log: Ints


@_compiled
def run(t: Tables, s: State) -> int:
    """Handle events until none is left, or room or a rule is missing."""
    cores, groups = len(s.core), len(s.group)
    while s.top[HEAP_SIZE] > 0:
        if s.top[FREE_ITEMS] < 2:
            return MORE_ITEMS
        if len(s.log) > 0 and s.top[LOG_SIZE] + 2 > len(s.log):
            return MORE_LOG
        key = _pop(s)
        now, actor = key >> ACTOR_BITS, key & ((1 << ACTOR_BITS) - 1)
        if now >= LAST_PS:
            return TOO_LONG
        if actor < cores:
            _arrive(t, s, actor, now)
        elif actor < 2 * cores:
            _continue_transfer(t, s, actor - cores, now)
        elif actor < 3 * cores:
            _end_vector(t, s, actor - 2 * cores, now)
        elif actor < 3 * cores + groups:
            _end_product(t, s, actor - 3 * cores, now)
        elif actor < 4 * cores + groups:
            if not _front_end(t, s, actor - 3 * cores - groups, now):
                return NO_WIDTHS
        else:
            _start_latched(t, s, actor - 4 * cores - groups, now)
    return FINISHED


# the heap


@_compiled
def _wake(s: State, time: int, actor: int) -> None:
    heap, key = s.heap, (time << ACTOR_BITS) + actor
    i = s.top[HEAP_SIZE]
    s.top[HEAP_SIZE] = i + 1
    while i > 0:
        above = (i - 1) >> 1
        if heap[above] <= key:
            break
        heap[i] = heap[above]
        i = above
    heap[i] = key


@_compiled
def _pop(s: State) -> int:
    heap = s.heap
    first = heap[0]
    n = s.top[HEAP_SIZE] - 1
    s.top[HEAP_SIZE] = n
    key = heap[n]
    i = 0
    while True:
        below = 2 * i + 1
        if below >= n:
            break
        if below + 1 < n and heap[below + 1] < heap[below]:
            below += 1
        if heap[below] >= key:
            break
        heap[i] = heap[below]
        i = below
    heap[i] = key
    return first


@_compiled
def _wake_front(s: State, c: int, time: int) -> None:
    s.core[c, BLOCK] = NOT_BLOCKED
    _wake(s, time, 3 * len(s.core) + len(s.group) + c)


# the front end: fetch, decode, dispatch


@_compiled
def start(t: Tables, s: State) -> None:
    """Prepare the first clock edge of every core that has instructions."""
    for c in range(len(s.core)):
        if t.core_start[c] < t.core_start[c + 1]:
            s.core[c, PC] = t.core_start[c]
            _wake_front(s, c, t.period_ps[c])


@_compiled
def _front_end(t: Tables, s: State, c: int, now: int) -> bool:
    """A clock edge: dispatch what waits, then decode until the next operation."""
    if not _may_go_on(t, s, c, now):
        return True
    if s.pending[c, INSTRUCTION] >= 0:
        _dispatch(t, s, c, now)
    core, period = s.core[c], t.period_ps[c]
    while True:
        instruction, image = core[DECODED], core[DECODED_IMAGE]
        core[DECODED] = _fetch(t, s, c)
        core[DECODED_IMAGE] = core[IMAGE]
        now += period
        if instruction >= 0:
            op = t.code[instruction, OP]
            s.runs[instruction] += 1
            if op > _LOOP:
                if core[PAIR] == 0 and op < _FIRST_TRANSFER and op != _MVWR:
                    s.top[FAULT] = instruction
                    return False
                _decode(t, s, c, instruction, image)
                _wake_front(s, c, now)
                return True
            _scalar(t, s, c, instruction)
        elif core[DECODED] < 0:
            return True
        if not _may_go_on(t, s, c, now):  # only operations in flight can hold a scalar back
            return True


@_compiled
def _fetch(t: Tables, s: State, c: int) -> int:
    """The next instruction of a core, -1 when all images are done."""
    core = s.core[c]
    pc = core[PC]
    if pc == t.core_start[c + 1]:
        if core[IMAGE] + 1 >= t.images:
            return -1
        core[IMAGE] += 1
        pc = t.core_start[c]
    row = t.code[pc]
    following = pc + 1
    if row[OP] == _LOOP:
        loop = s.loops[c, core[DEPTH]]
        loop[0], loop[1], loop[2] = following, following + row[AUX], row[IMM]
        core[DEPTH] += 1
    else:
        while core[DEPTH] > 0:
            loop = s.loops[c, core[DEPTH] - 1]
            if following != loop[1]:
                break
            loop[2] -= 1
            if loop[2] > 0:
                following = loop[0]
                break
            core[DEPTH] -= 1
    core[PC] = following
    return pc


@_compiled
def _scalar(t: Tables, s: State, c: int, instruction: int) -> None:
    row, registers = t.code[instruction], s.registers[c]
    op, value = row[OP], np.int64(row[IMM])
    if op == _SETBW:
        s.core[c, PAIR] = t.target[instruction]
    if op >= _SETBW:
        return
    a, b = np.int64(registers[row[RS1]]), np.int64(registers[row[RS2]])
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
def _decode(t: Tables, s: State, c: int, instruction: int, image: int) -> None:
    entry, row = s.pending[c], t.row[instruction] + s.core[c, PAIR]
    entry[INSTRUCTION], entry[ROW], entry[OP_IMAGE] = instruction, row, image
    entry[DONE_PS] = NEVER
    s.row_runs[row] += 1
    _set_range(t, s, c, READ1, READ1_FROM)
    _set_range(t, s, c, READ2, READ2_FROM)
    _set_range(t, s, c, WRITE, WRITE_FROM)


@_compiled
def _set_range(t: Tables, s: State, c: int, first: int, column: int) -> None:
    entry = s.pending[c]
    source, extent = t.costs[entry[ROW], column], t.costs[entry[ROW], column + 1]
    if extent == NO_RANGE:
        entry[first], entry[first + 1] = NEVER, -NEVER
        return
    base = np.int64(0)
    if source != AT_ZERO:
        base += s.registers[c, t.code[entry[INSTRUCTION], source]]
    entry[first], entry[first + 1] = base, base + extent


@_compiled
def _may_go_on(t: Tables, s: State, c: int, now: int) -> bool:
    """Whether the edge `now` passes; if not, the front end is woken when it may."""
    core, rob = s.core[c], s.rob[c]
    _retire(s, c, now)
    if core[ROB_COUNT] >= t.rob_size[c]:
        return _wait_for_slot(t, s, c, core[ROB_HEAD])
    entry = s.pending[c]
    if entry[INSTRUCTION] < 0:
        return True
    slot = core[ROB_HEAD]
    for _ in range(core[ROB_COUNT]):
        if rob[slot, DONE_PS] >= now and _conflict(entry, rob[slot], t.orders_writes[c]):
            return _wait_for_slot(t, s, c, slot)
        slot = slot + 1 if slot + 1 < len(rob) else 0
    op = t.code[entry[INSTRUCTION], OP]
    if op >= _FIRST_TRANSFER:
        return _wait_until(s, c, now, core[TRANSFER_FREE_PS], t.period_ps[c], ON_TRANSFER)
    if op >= _FIRST_VECTOR:
        return _wait_until(s, c, now, core[VECTOR_FREE_PS], t.period_ps[c], ON_VECTOR)
    return _wait_until(s, c, now, core[LATCH_PS] - 1, 1, ON_LATCH)


@_compiled
def _retire(s: State, c: int, now: int) -> None:
    """Drop the operations that left the reorder buffer, in order, at edges before `now`."""
    core, rob = s.core[c], s.rob[c]
    while core[ROB_COUNT] > 0:
        head = rob[core[ROB_HEAD]]
        if head[DONE_PS] >= now:
            return
        core[LEFT_PS] = max(core[LEFT_PS], head[DONE_PS])
        image = head[OP_IMAGE]
        s.image_end_ps[image] = max(s.image_end_ps[image], core[LEFT_PS])
        core[ROB_COUNT] -= 1
        core[ROB_HEAD] = core[ROB_HEAD] + 1 if core[ROB_HEAD] + 1 < len(rob) else 0


@_compiled
def _wait_for_slot(t: Tables, s: State, c: int, slot: int) -> bool:
    done = s.rob[c, slot, DONE_PS]
    if done == NEVER:
        s.core[c, BLOCK] = slot
    else:
        _wake_front(s, c, done + t.period_ps[c])
    return False


@_compiled
def _wait_until(s: State, c: int, now: int, free: int, period: int, block: int) -> bool:
    """True if a unit that is free at the edge `free` can start at `now`."""
    if free < now:
        return True
    if free >= NEVER - 1:
        s.core[c, BLOCK] = block
    else:
        _wake_front(s, c, free + period)
    return False


@_compiled
def _conflict(a: Ints, b: Ints, orders_writes: int) -> bool:
    """Whether `a` must wait for the earlier operation `b`."""
    if a[WRITE] <= b[READ1_END] and b[READ1] <= a[WRITE_END]:
        return True
    if a[WRITE] <= b[READ2_END] and b[READ2] <= a[WRITE_END]:
        return True
    if a[READ1] <= b[WRITE_END] and b[WRITE] <= a[READ1_END]:
        return True
    if a[READ2] <= b[WRITE_END] and b[WRITE] <= a[READ2_END]:
        return True
    return orders_writes != 0 and a[WRITE] <= b[WRITE_END] and b[WRITE] <= a[WRITE_END]


@_compiled
def _dispatch(t: Tables, s: State, c: int, now: int) -> None:
    core, period = s.core[c], t.period_ps[c]
    slot = core[ROB_HEAD] + core[ROB_COUNT]
    slot = slot if slot < s.rob.shape[1] else slot - s.rob.shape[1]
    core[ROB_COUNT] += 1
    entry = s.rob[c, slot]
    entry[:] = s.pending[c]
    entry[START_PS] = now
    s.pending[c, INSTRUCTION] = -1
    op = t.code[entry[INSTRUCTION], OP]
    if op >= _FIRST_TRANSFER:
        core[TRANSFER_SLOT], core[TRANSFER_FREE_PS] = slot, NEVER
        _start_transfer(t, s, c, op, now)
    elif op >= _FIRST_VECTOR:
        core[VECTOR_SLOT], core[VECTOR_FREE_PS] = slot, NEVER
        read = _port(s, c, now, t.costs[entry[ROW], READ_PS])
        _wake(s, read + t.costs[entry[ROW], COMPUTE_PS], 2 * len(s.core) + c)
    else:
        if core[LATCH_SLOT] >= 0:
            _start_latched(t, s, c, now)
        core[LATCH_SLOT] = slot
        _set_latch(t, s, c, now + period)


@_compiled
def _port(s: State, c: int, now: int, duration: int) -> int:
    """Queue a request at the local memory; when it ends."""
    end = max(s.core[c, PORT_FREE_PS], now) + duration
    s.core[c, PORT_FREE_PS] = end
    return end


@_compiled
def _done(t: Tables, s: State, c: int, slot: int, unit: int, free: int, commit: int) -> None:
    """An operation ends: its unit is free from the edge `free` on, `commit` retires it."""
    entry, core, period = s.rob[c, slot], s.core[c], t.period_ps[c]
    entry[DONE_PS] = commit + period
    begin = entry[START_PS]
    s.busy_ps[c, unit] += free - begin
    span = s.layer_span_ps[t.code[entry[INSTRUCTION], LAYER]]
    span[0], span[1] = min(span[0], begin), max(span[1], free)
    if len(s.log) > 0:
        line = s.log[s.top[LOG_SIZE]]
        line[LOG_CORE], line[LOG_UNIT], line[LOG_INSTRUCTION] = c, unit, entry[INSTRUCTION]
        line[LOG_START_PS], line[LOG_END_PS] = begin, free
        s.top[LOG_SIZE] += 1
    if core[BLOCK] == slot:
        _wake_front(s, c, entry[DONE_PS] + period)
    elif (core[BLOCK] == ON_VECTOR and unit == VECTOR_UNIT) or (
        core[BLOCK] == ON_TRANSFER and unit == TRANSFER_UNIT
    ):
        _wake_front(s, c, free + period)


@_compiled
def _edge(time: int, period: int) -> int:
    """The first clock edge that is not before `time`."""
    return -(-time // period) * period


@_compiled
def _next_edge(time: int, period: int) -> int:
    """The first clock edge after `time`."""
    return time // period * period + period


# vector unit and crossbar groups


@_compiled
def _end_vector(t: Tables, s: State, c: int, now: int) -> None:
    """The result is computed: write it."""
    slot = s.core[c, VECTOR_SLOT]
    end = _port(s, c, now, t.costs[s.rob[c, slot, ROW], WRITE_PS])
    free = _edge(end, t.period_ps[c])
    s.core[c, VECTOR_FREE_PS] = free
    _done(t, s, c, slot, VECTOR_UNIT, free, free)


@_compiled
def _set_latch(t: Tables, s: State, c: int, earliest: int) -> None:
    """Start the latched product when all groups that share its crossbars are free."""
    core = s.core[c]
    group = t.target[s.rob[c, core[LATCH_SLOT], INSTRUCTION]]
    time = earliest
    for i in range(t.sharing_start[group], t.sharing_start[group + 1]):
        free = s.group[t.sharing[i], 1]
        if free == NEVER:
            core[LATCH_PS] = NEVER
            return
        time = max(time, free + t.period_ps[c])
    core[LATCH_PS] = time
    _wake(s, time, 4 * len(s.core) + len(s.group) + c)
    if core[BLOCK] == ON_LATCH:
        _wake_front(s, c, time)


@_compiled
def _start_latched(t: Tables, s: State, c: int, now: int) -> None:
    core = s.core[c]
    slot = core[LATCH_SLOT]
    if slot < 0 or core[LATCH_PS] != now:  # started already, at this edge, by the next dispatch
        return
    core[LATCH_SLOT], core[LATCH_PS] = -1, 0
    entry = s.rob[c, slot]
    entry[START_PS] = now
    group = t.target[entry[INSTRUCTION]]
    s.group[group, 0], s.group[group, 1] = slot, NEVER
    if t.code[entry[INSTRUCTION], OP] == _MVMUL:
        now = _port(s, c, now, t.costs[entry[ROW], READ_PS])
    _wake(s, now + t.costs[entry[ROW], COMPUTE_PS], 3 * len(s.core) + group)


@_compiled
def _end_product(t: Tables, s: State, group: int, now: int) -> None:
    """The product is computed: write it; groups of a core retire one a cycle."""
    c, slot = t.group_core[group], s.group[group, 0]
    core, period, entry = s.core[c], t.period_ps[c], s.rob[c, slot]
    if t.code[entry[INSTRUCTION], OP] == _MVMUL:
        now = _port(s, c, now, t.costs[entry[ROW], WRITE_PS])
    free = _edge(now, period)
    s.group[group, 1] = free
    core[LAST_COMMIT_PS] = max(free, core[LAST_COMMIT_PS] + period)
    _done(t, s, c, slot, MATRIX_UNIT, free, core[LAST_COMMIT_PS])
    if core[LATCH_SLOT] >= 0 and core[LATCH_PS] == NEVER:
        _set_latch(t, s, c, free + period)


# the transfer unit


@_compiled
def _start_transfer(t: Tables, s: State, c: int, op: int, now: int) -> None:
    core, slot = s.core[c], s.core[c, TRANSFER_SLOT]
    instruction = s.rob[c, slot, INSTRUCTION]
    cost, peer = t.costs[s.rob[c, slot, ROW]], t.target[instruction]
    if op == _LD:
        _post(s, c, now, GLOBAL, 0, 0, cost[TRAVEL_PS], 0)
    elif op == _ST:
        _wake(s, _port(s, c, now, cost[READ_PS]), len(s.core) + c)
    elif op == _SEND:
        _post(s, c, now, READY, peer, 0, t.flit_ps[c, peer], t.period_ps[c])
    elif op == _RECV:
        core[RECEIVE_FROM] = peer
        if s.core[peer, READY_AT] == c:
            s.core[peer, READY_AT] = -1
            _post(s, c, now, GO, peer, 0, t.flit_ps[c, peer], 0)
    elif op == _SYNC:
        event = t.code[instruction, IMM]
        _post(s, c, now, EVENT, peer, event, t.flit_ps[c, peer], 0)
        _end_transfer(t, s, c, now + 2 * t.period_ps[c])
    elif op == _WAIT:
        core[WAIT_EVENT], core[WAIT_COUNT] = t.code[instruction, IMM], peer
        _try_wait(t, s, c, now)
    else:
        if op == _LMV:
            _port(s, c, now, cost[READ_PS])
        _end_transfer(t, s, c, _edge(_port(s, c, now, cost[WRITE_PS]), t.period_ps[c]))


@_compiled
def _continue_transfer(t: Tables, s: State, c: int, now: int) -> None:
    """What was read from a memory is there."""
    slot = s.core[c, TRANSFER_SLOT]
    instruction, cost = s.rob[c, slot, INSTRUCTION], t.costs[s.rob[c, slot, ROW]]
    op, peer = t.code[instruction, OP], t.target[instruction]
    if op == _LD:
        _end_transfer(t, s, c, _edge(_port(s, c, now, cost[WRITE_PS]), t.period_ps[c]))
    elif op == _ST:
        _post(s, c, now, GLOBAL, 0, 0, cost[TRAVEL_PS], 0)
    else:
        _post(s, c, now, DATA, peer, 0, cost[FLITS] * t.flit_ps[c, peer], 0)


@_compiled
def _end_transfer(t: Tables, s: State, c: int, free: int) -> None:
    s.core[c, TRANSFER_FREE_PS] = free
    _done(t, s, c, s.core[c, TRANSFER_SLOT], TRANSFER_UNIT, free, free)


@_compiled
def _try_wait(t: Tables, s: State, c: int, now: int) -> None:
    core = s.core[c]
    event = core[WAIT_EVENT]
    if event >= 0 and s.raised[c, event] >= core[WAIT_COUNT]:
        s.raised[c, event] -= core[WAIT_COUNT]
        core[WAIT_EVENT] = -1
        _end_transfer(t, s, c, _next_edge(now, t.period_ps[c]))


# the switch of a core: a queue, one item under way at a time


@_compiled
def _post(
    s: State, c: int, now: int, kind: int, peer: int, amount: int, travel: int, handling: int
) -> None:
    """Queue an item; it keeps the switch busy while it travels and is handled.

    While an access to the global memory is under way, whose end is not known, its transfer
    unit waits for it and nothing else is queued.
    """
    core, top = s.core[c], s.top
    index = top[FREE_ITEM]
    item = s.items[index]
    top[FREE_ITEM] = item[NEXT]
    top[FREE_ITEMS] -= 1
    arrival = max(now, core[SWITCH_FREE_PS]) + travel
    core[SWITCH_FREE_PS] = arrival + handling
    item[KIND], item[PEER], item[AMOUNT], item[ARRIVAL_PS], item[NEXT] = (
        kind,
        peer,
        amount,
        arrival,
        -1,
    )
    if core[ITEM_FIRST] < 0:
        core[ITEM_FIRST] = index
        _wake(s, arrival, c)
    else:
        s.items[core[ITEM_LAST], NEXT] = index
    core[ITEM_LAST] = index


@_compiled
def _arrive(t: Tables, s: State, c: int, now: int) -> None:
    """The first item of a switch reaches its target."""
    core, top = s.core[c], s.top
    index = core[ITEM_FIRST]
    item = s.items[index]
    kind, peer, amount = item[KIND], item[PEER], item[AMOUNT]
    core[ITEM_FIRST] = item[NEXT]
    if item[NEXT] >= 0:
        _wake(s, s.items[item[NEXT], ARRIVAL_PS], c)
    item[NEXT] = top[FREE_ITEM]
    top[FREE_ITEM] = index
    top[FREE_ITEMS] += 1
    if kind == READY:
        if s.core[peer, RECEIVE_FROM] == c:
            _post(s, peer, now, GO, c, 0, t.flit_ps[peer, c], 0)
        else:
            core[READY_AT] = peer
    elif kind == GO:
        cost = t.costs[s.rob[peer, s.core[peer, TRANSFER_SLOT], ROW]]
        read = _port(s, peer, now, cost[READ_PS])
        _wake(s, read, len(s.core) + peer)
        _end_transfer(t, s, peer, _edge(read, t.period_ps[peer]))
    elif kind == DATA:
        cost = t.costs[s.rob[peer, s.core[peer, TRANSFER_SLOT], ROW]]
        s.core[peer, RECEIVE_FROM] = -1
        end = _port(s, peer, now, cost[WRITE_PS])
        _end_transfer(t, s, peer, _edge(end, t.period_ps[peer]))
    elif kind == EVENT:
        s.raised[peer, amount] += 1
        _try_wait(t, s, peer, now)
    else:
        _access_global(t, s, c, now)


@_compiled
def _access_global(t: Tables, s: State, c: int, now: int) -> None:
    entry = s.rob[c, s.core[c, TRANSFER_SLOT]]
    end = max(s.top[GLOBAL_FREE_PS], now) + t.costs[entry[ROW], GLOBAL_PS]
    s.top[GLOBAL_FREE_PS] = end
    s.core[c, SWITCH_FREE_PS] = end
    if t.code[entry[INSTRUCTION], OP] == _LD:
        _wake(s, end, len(s.core) + c)
    else:
        _end_transfer(t, s, c, _next_edge(end, t.period_ps[c]))


@_compiled
def retire_all(s: State) -> None:
    """Let everything that is done leave the reorder buffers."""
    for c in range(len(s.core)):
        _retire(s, c, NEVER)
