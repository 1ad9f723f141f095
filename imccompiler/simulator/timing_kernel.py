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
    core, period = s.core, t.period_ps[c]
    while True:
        instruction, image = core[c, DECODED], core[c, DECODED_IMAGE]
        core[c, DECODED] = _fetch(t, s, c)
        core[c, DECODED_IMAGE] = core[c, IMAGE]
        now += period
        if instruction >= 0:
            op = t.code[instruction, OP]
            s.runs[instruction] += 1
            if op > _LOOP:
                if core[c, PAIR] == 0 and op < _FIRST_TRANSFER and op != _MVWR:
                    s.top[FAULT] = instruction
                    return False
                _decode(t, s, c, instruction, image)
                _wake_front(s, c, now)
                return True
            _scalar(t, s, c, instruction)
        elif core[c, DECODED] < 0:
            return True
        if not _may_go_on(t, s, c, now):  # only operations in flight can hold a scalar back
            return True


@_compiled
def _fetch(t: Tables, s: State, c: int) -> int:
    """The next instruction of a core, -1 when all images are done."""
    core = s.core
    pc = core[c, PC]
    if pc == t.core_start[c + 1]:
        if core[c, IMAGE] + 1 >= t.images:
            return -1
        core[c, IMAGE] += 1
        pc = t.core_start[c]
    following = pc + 1
    if t.code[pc, OP] == _LOOP:
        depth = core[c, DEPTH]
        s.loops[c, depth, 0] = following
        s.loops[c, depth, 1] = following + t.code[pc, AUX]
        s.loops[c, depth, 2] = t.code[pc, IMM]
        core[c, DEPTH] += 1
    else:
        while core[c, DEPTH] > 0:
            depth = core[c, DEPTH] - 1
            if following != s.loops[c, depth, 1]:
                break
            s.loops[c, depth, 2] -= 1
            if s.loops[c, depth, 2] > 0:
                following = s.loops[c, depth, 0]
                break
            core[c, DEPTH] = depth
    core[c, PC] = following
    return pc


@_compiled
def _scalar(t: Tables, s: State, c: int, instruction: int) -> None:
    code, registers = t.code, s.registers
    op, value = code[instruction, OP], np.int64(code[instruction, IMM])
    if op == _SETBW:
        s.core[c, PAIR] = t.target[instruction]
    if op >= _SETBW:
        return
    a = np.int64(registers[c, code[instruction, RS1]])
    b = np.int64(registers[c, code[instruction, RS2]])
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
    registers[c, code[instruction, RD]] = np.int32(value)  # wraps


@_compiled
def _decode(t: Tables, s: State, c: int, instruction: int, image: int) -> None:
    pending, row = s.pending, t.row[instruction] + s.core[c, PAIR]
    pending[c, INSTRUCTION], pending[c, ROW], pending[c, OP_IMAGE] = instruction, row, image
    pending[c, DONE_PS] = NEVER
    s.row_runs[row] += 1
    _set_range(t, s, c, READ1, READ1_FROM)
    _set_range(t, s, c, READ2, READ2_FROM)
    _set_range(t, s, c, WRITE, WRITE_FROM)


@_compiled
def _set_range(t: Tables, s: State, c: int, first: int, column: int) -> None:
    pending, row = s.pending, s.pending[c, ROW]
    source, extent = t.costs[row, column], t.costs[row, column + 1]
    if extent == NO_RANGE:
        pending[c, first], pending[c, first + 1] = NEVER, -NEVER
        return
    base = np.int64(0)
    if source != AT_ZERO:
        base += s.registers[c, t.code[pending[c, INSTRUCTION], source]]
    pending[c, first], pending[c, first + 1] = base, base + extent


@_compiled
def _may_go_on(t: Tables, s: State, c: int, now: int) -> bool:
    """Whether the edge `now` passes; if not, the front end is woken when it may."""
    core, rob = s.core, s.rob
    _retire(s, c, now)
    if core[c, ROB_COUNT] >= t.rob_size[c]:
        return _wait_for_slot(t, s, c, core[c, ROB_HEAD])
    instruction = s.pending[c, INSTRUCTION]
    if instruction < 0:
        return True
    slot = core[c, ROB_HEAD]
    for _ in range(core[c, ROB_COUNT]):
        if rob[c, slot, DONE_PS] >= now and _conflict(s, c, slot, t.orders_writes[c]):
            return _wait_for_slot(t, s, c, slot)
        slot = slot + 1 if slot + 1 < rob.shape[1] else 0
    op = t.code[instruction, OP]
    if op >= _FIRST_TRANSFER:
        return _wait_until(s, c, now, core[c, TRANSFER_FREE_PS], t.period_ps[c], ON_TRANSFER)
    if op >= _FIRST_VECTOR:
        return _wait_until(s, c, now, core[c, VECTOR_FREE_PS], t.period_ps[c], ON_VECTOR)
    return _wait_until(s, c, now, core[c, LATCH_PS] - 1, 1, ON_LATCH)


@_compiled
def _retire(s: State, c: int, now: int) -> None:
    """Drop the operations that left the reorder buffer, in order, at edges before `now`."""
    core, rob = s.core, s.rob
    while core[c, ROB_COUNT] > 0:
        head = core[c, ROB_HEAD]
        done, image = rob[c, head, DONE_PS], rob[c, head, OP_IMAGE]
        if done >= now:
            return
        core[c, LEFT_PS] = max(core[c, LEFT_PS], done)
        s.image_end_ps[image] = max(s.image_end_ps[image], core[c, LEFT_PS])
        core[c, ROB_COUNT] -= 1
        core[c, ROB_HEAD] = head + 1 if head + 1 < rob.shape[1] else 0


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
def _conflict(s: State, c: int, slot: int, orders_writes: int) -> bool:
    """Whether the pending operation must wait for an earlier one."""
    if _meet(s, c, slot, WRITE, READ1) or _meet(s, c, slot, WRITE, READ2):
        return True
    if _meet(s, c, slot, READ1, WRITE) or _meet(s, c, slot, READ2, WRITE):
        return True
    return orders_writes != 0 and _meet(s, c, slot, WRITE, WRITE)


@_compiled
def _meet(s: State, c: int, slot: int, mine: int, others: int) -> bool:
    return (
        s.pending[c, mine] <= s.rob[c, slot, others + 1]
        and s.rob[c, slot, others] <= s.pending[c, mine + 1]
    )


@_compiled
def _dispatch(t: Tables, s: State, c: int, now: int) -> None:
    core = s.core
    slot = core[c, ROB_HEAD] + core[c, ROB_COUNT]
    slot = slot if slot < s.rob.shape[1] else slot - s.rob.shape[1]
    core[c, ROB_COUNT] += 1
    for column in range(ENTRY_SIZE):
        s.rob[c, slot, column] = s.pending[c, column]
    s.rob[c, slot, START_PS] = now
    instruction, row = s.pending[c, INSTRUCTION], s.pending[c, ROW]
    s.pending[c, INSTRUCTION] = -1
    op = t.code[instruction, OP]
    if op >= _FIRST_TRANSFER:
        core[c, TRANSFER_SLOT], core[c, TRANSFER_FREE_PS] = slot, NEVER
        _start_transfer(t, s, c, op, now)
    elif op >= _FIRST_VECTOR:
        core[c, VECTOR_SLOT], core[c, VECTOR_FREE_PS] = slot, NEVER
        read = _port(s, c, now, t.costs[row, READ_PS])
        _wake(s, read + t.costs[row, COMPUTE_PS], 2 * len(s.core) + c)
    else:
        if core[c, LATCH_SLOT] >= 0:
            _start_latched(t, s, c, now)
        core[c, LATCH_SLOT] = slot
        _set_latch(t, s, c, now + t.period_ps[c])


@_compiled
def _port(s: State, c: int, now: int, duration: int) -> int:
    """Queue a request at the local memory; when it ends."""
    end = max(s.core[c, PORT_FREE_PS], now) + duration
    s.core[c, PORT_FREE_PS] = end
    return end


@_compiled
def _done(t: Tables, s: State, c: int, slot: int, unit: int, free: int, commit: int) -> None:
    """An operation ends: its unit is free from the edge `free` on, `commit` retires it."""
    rob, period = s.rob, t.period_ps[c]
    rob[c, slot, DONE_PS] = commit + period
    begin, instruction = rob[c, slot, START_PS], rob[c, slot, INSTRUCTION]
    layer, block = t.code[instruction, LAYER], s.core[c, BLOCK]
    s.busy_ps[c, unit] += free - begin
    s.layer_span_ps[layer, 0] = min(s.layer_span_ps[layer, 0], begin)
    s.layer_span_ps[layer, 1] = max(s.layer_span_ps[layer, 1], free)
    if len(s.log) > 0:
        log, line = s.log, s.top[LOG_SIZE]
        log[line, LOG_CORE], log[line, LOG_UNIT], log[line, LOG_INSTRUCTION] = c, unit, instruction
        log[line, LOG_START_PS], log[line, LOG_END_PS] = begin, free
        s.top[LOG_SIZE] = line + 1
    if block == slot:
        _wake_front(s, c, commit + 2 * period)
    elif (block == ON_VECTOR and unit == VECTOR_UNIT) or (
        block == ON_TRANSFER and unit == TRANSFER_UNIT
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
    core = s.core
    group = t.target[s.rob[c, core[c, LATCH_SLOT], INSTRUCTION]]
    time = earliest
    for i in range(t.sharing_start[group], t.sharing_start[group + 1]):
        free = s.group[t.sharing[i], 1]
        if free == NEVER:
            core[c, LATCH_PS] = NEVER
            return
        time = max(time, free + t.period_ps[c])
    core[c, LATCH_PS] = time
    _wake(s, time, 4 * len(s.core) + len(s.group) + c)
    if core[c, BLOCK] == ON_LATCH:
        _wake_front(s, c, time)


@_compiled
def _start_latched(t: Tables, s: State, c: int, now: int) -> None:
    core = s.core
    slot = core[c, LATCH_SLOT]
    if slot < 0 or core[c, LATCH_PS] != now:  # started already, at this edge, by the next dispatch
        return
    core[c, LATCH_SLOT], core[c, LATCH_PS] = -1, 0
    instruction, row = s.rob[c, slot, INSTRUCTION], s.rob[c, slot, ROW]
    s.rob[c, slot, START_PS] = now
    group = t.target[instruction]
    s.group[group, 0], s.group[group, 1] = slot, NEVER
    if t.code[instruction, OP] == _MVMUL:
        now = _port(s, c, now, t.costs[row, READ_PS])
    _wake(s, now + t.costs[row, COMPUTE_PS], 3 * len(s.core) + group)


@_compiled
def _end_product(t: Tables, s: State, group: int, now: int) -> None:
    """The product is computed: write it; groups of a core retire one a cycle."""
    c, slot = t.group_core[group], s.group[group, 0]
    core, period = s.core, t.period_ps[c]
    if t.code[s.rob[c, slot, INSTRUCTION], OP] == _MVMUL:
        now = _port(s, c, now, t.costs[s.rob[c, slot, ROW], WRITE_PS])
    free = _edge(now, period)
    s.group[group, 1] = free
    core[c, LAST_COMMIT_PS] = max(free, core[c, LAST_COMMIT_PS] + period)
    _done(t, s, c, slot, MATRIX_UNIT, free, core[c, LAST_COMMIT_PS])
    if core[c, LATCH_SLOT] >= 0 and core[c, LATCH_PS] == NEVER:
        _set_latch(t, s, c, free + period)


# the transfer unit


@_compiled
def _start_transfer(t: Tables, s: State, c: int, op: int, now: int) -> None:
    core, slot = s.core, s.core[c, TRANSFER_SLOT]
    instruction, row = s.rob[c, slot, INSTRUCTION], s.rob[c, slot, ROW]
    costs, peer = t.costs, t.target[instruction]
    if op == _LD:
        _post(s, c, now, GLOBAL, 0, 0, costs[row, TRAVEL_PS], 0)
    elif op == _ST:
        _wake(s, _port(s, c, now, costs[row, READ_PS]), len(s.core) + c)
    elif op == _SEND:
        _post(s, c, now, READY, peer, 0, t.flit_ps[c, peer], t.period_ps[c])
    elif op == _RECV:
        core[c, RECEIVE_FROM] = peer
        if s.core[peer, READY_AT] == c:
            s.core[peer, READY_AT] = -1
            _post(s, c, now, GO, peer, 0, t.flit_ps[c, peer], 0)
    elif op == _SYNC:
        event = t.code[instruction, IMM]
        _post(s, c, now, EVENT, peer, event, t.flit_ps[c, peer], 0)
        _end_transfer(t, s, c, now + 2 * t.period_ps[c])
    elif op == _WAIT:
        core[c, WAIT_EVENT], core[c, WAIT_COUNT] = t.code[instruction, IMM], peer
        _try_wait(t, s, c, now)
    else:
        if op == _LMV:
            _port(s, c, now, costs[row, READ_PS])
        _end_transfer(t, s, c, _edge(_port(s, c, now, costs[row, WRITE_PS]), t.period_ps[c]))


@_compiled
def _continue_transfer(t: Tables, s: State, c: int, now: int) -> None:
    """What was read from a memory is there."""
    slot = s.core[c, TRANSFER_SLOT]
    instruction, row = s.rob[c, slot, INSTRUCTION], s.rob[c, slot, ROW]
    costs, op, peer = t.costs, t.code[instruction, OP], t.target[instruction]
    if op == _LD:
        _end_transfer(t, s, c, _edge(_port(s, c, now, costs[row, WRITE_PS]), t.period_ps[c]))
    elif op == _ST:
        _post(s, c, now, GLOBAL, 0, 0, costs[row, TRAVEL_PS], 0)
    else:
        _post(s, c, now, DATA, peer, 0, costs[row, FLITS] * t.flit_ps[c, peer], 0)


@_compiled
def _end_transfer(t: Tables, s: State, c: int, free: int) -> None:
    s.core[c, TRANSFER_FREE_PS] = free
    _done(t, s, c, s.core[c, TRANSFER_SLOT], TRANSFER_UNIT, free, free)


@_compiled
def _try_wait(t: Tables, s: State, c: int, now: int) -> None:
    core = s.core
    event = core[c, WAIT_EVENT]
    if event >= 0 and s.raised[c, event] >= core[c, WAIT_COUNT]:
        s.raised[c, event] -= core[c, WAIT_COUNT]
        core[c, WAIT_EVENT] = -1
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
    core, items, top = s.core, s.items, s.top
    index = top[FREE_ITEM]
    top[FREE_ITEM] = items[index, NEXT]
    top[FREE_ITEMS] -= 1
    arrival = max(now, core[c, SWITCH_FREE_PS]) + travel
    core[c, SWITCH_FREE_PS] = arrival + handling
    items[index, KIND], items[index, PEER], items[index, AMOUNT] = kind, peer, amount
    items[index, ARRIVAL_PS], items[index, NEXT] = arrival, -1
    if core[c, ITEM_FIRST] < 0:
        core[c, ITEM_FIRST] = index
        _wake(s, arrival, c)
    else:
        items[core[c, ITEM_LAST], NEXT] = index
    core[c, ITEM_LAST] = index


@_compiled
def _arrive(t: Tables, s: State, c: int, now: int) -> None:
    """The first item of a switch reaches its target."""
    core, items, top = s.core, s.items, s.top
    index = core[c, ITEM_FIRST]
    kind, peer, amount = items[index, KIND], items[index, PEER], items[index, AMOUNT]
    following = items[index, NEXT]
    core[c, ITEM_FIRST] = following
    if following >= 0:
        _wake(s, items[following, ARRIVAL_PS], c)
    items[index, NEXT] = top[FREE_ITEM]
    top[FREE_ITEM] = index
    top[FREE_ITEMS] += 1
    if kind == READY:
        if core[peer, RECEIVE_FROM] == c:
            _post(s, peer, now, GO, c, 0, t.flit_ps[peer, c], 0)
        else:
            core[c, READY_AT] = peer
    elif kind == GO:
        row = s.rob[peer, core[peer, TRANSFER_SLOT], ROW]
        read = _port(s, peer, now, t.costs[row, READ_PS])
        _wake(s, read, len(s.core) + peer)
        _end_transfer(t, s, peer, _edge(read, t.period_ps[peer]))
    elif kind == DATA:
        row = s.rob[peer, core[peer, TRANSFER_SLOT], ROW]
        core[peer, RECEIVE_FROM] = -1
        end = _port(s, peer, now, t.costs[row, WRITE_PS])
        _end_transfer(t, s, peer, _edge(end, t.period_ps[peer]))
    elif kind == EVENT:
        s.raised[peer, amount] += 1
        _try_wait(t, s, peer, now)
    else:
        _access_global(t, s, c, now)


@_compiled
def _access_global(t: Tables, s: State, c: int, now: int) -> None:
    slot = s.core[c, TRANSFER_SLOT]
    instruction, row = s.rob[c, slot, INSTRUCTION], s.rob[c, slot, ROW]
    end = max(s.top[GLOBAL_FREE_PS], now) + t.costs[row, GLOBAL_PS]
    s.top[GLOBAL_FREE_PS] = end
    s.core[c, SWITCH_FREE_PS] = end
    if t.code[instruction, OP] == _LD:
        _wake(s, end, len(s.core) + c)
    else:
        _end_transfer(t, s, c, _next_edge(end, t.period_ps[c]))


@_compiled
def retire_all(s: State) -> None:
    """Let everything that is done leave the reorder buffers."""
    for c in range(len(s.core)):
        _retire(s, c, NEVER)
