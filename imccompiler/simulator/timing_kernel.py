"""The timing simulator's event loop, compiled: streams in, times out, nothing but integers.

Everything lies in one vector `m`: a header, then records of cores, groups, instructions and so
on, each known by its address (`timing_records.py`; `timing_memory.py` lays them out). Compiled
functions that hand each other one array are ten times faster than those that share a tuple of
twenty. Times are in picoseconds. What an operation costs stands in its row of costs, so there is
no formula here, only order: decode, dispatch, hazards, ports, switches, handshakes.

Events at the same time are handled in the order of their actors' numbers: first what ends
(switches, transfer units, vector units, crossbar groups), then the clock edges (front ends,
latches), each by core. Actors that cannot go on sleep; what ends wakes the one that waits for it.
"""

from __future__ import annotations

from imccompiler.program.isa import IMM, LAYER, OP, Op
from imccompiler.simulator import timing_records as r
from imccompiler.simulator.timing_fetch import fetch, run_scalar
from imccompiler.simulator.timing_heap import (
    Memory,
    compiled,
    pop,
    wake_front,
    wake_group,
    wake_latch,
    wake_switch,
    wake_transfer,
    wake_vector,
)

_LOOP, _MVMUL, _MVWR = (int(o) for o in (Op.LOOP, Op.MVMUL, Op.MVWR))
_FIRST_VECTOR, _FIRST_TRANSFER = int(Op.VVADD), int(Op.LD)
_LD, _ST, _SEND, _RECV = (int(o) for o in (Op.LD, Op.ST, Op.SEND, Op.RECV))
_LMV, _SYNC, _WAIT = (int(o) for o in (Op.LMV, Op.SYNC, Op.WAIT))


@compiled
def start(m: Memory) -> None:
    """Prepare the first clock edge of every core that has instructions."""
    for number in range(m[r.CORE_COUNT]):
        c = m[r.CORES] + number * m[r.CORE_SIZE]
        if m[c + r.FIRST] < m[c + r.END]:
            wake_front(m, c, m[c + r.PERIOD_PS])


@compiled
def run(m: Memory) -> int:
    """Handle events until none is left, or room or a rule is missing."""
    cores, groups, bits = m[r.CORE_COUNT], m[r.GROUP_COUNT], m[r.ACTOR_BITS]
    while m[r.HEAP_SIZE] > 0:
        if m[r.FREE_ITEMS] < 2:
            return r.MORE_ITEMS
        if m[r.LOG_END] > 0 and m[r.LOG] + 2 * r.LOG_SIZE > m[r.LOG_END]:
            return r.MORE_LOG
        key = pop(m)
        now, actor = key >> bits, key & ((1 << bits) - 1)
        if now >> (r.TIME_BITS - bits) > 0:
            return r.TOO_LONG
        if actor < 3 * cores:
            c = m[r.CORES] + actor % cores * m[r.CORE_SIZE]
            if actor < cores:
                _arrive(m, c, now)
            elif actor < 2 * cores:
                _continue_transfer(m, c, now)
            else:
                _end_vector(m, c, now)
        elif actor < 3 * cores + groups:
            _end_product(m, m[r.GROUPS] + (actor - 3 * cores) * r.GROUP_SIZE, now)
        else:
            edge = actor - 3 * cores - groups
            c = m[r.CORES] + edge % cores * m[r.CORE_SIZE]
            if edge >= cores:
                _start_latched(m, c, now)
            elif not _front_end(m, c, now):
                return r.NO_WIDTHS
    return r.FINISHED


@compiled
def retire_all(m: Memory) -> None:
    """Let everything that is done leave the reorder buffers."""
    for number in range(m[r.CORE_COUNT]):
        _retire(m, m[r.CORES] + number * m[r.CORE_SIZE], r.NEVER)


# the front end: fetch, decode, dispatch


@compiled
def _front_end(m: Memory, c: int, now: int) -> bool:
    """A clock edge: dispatch what waits, then decode until the next operation."""
    if not _may_go_on(m, c, now):
        return True
    if m[c + r.PENDING + r.INSTRUCTION] != r.NOTHING:
        _dispatch(m, c, now)
    while True:
        instruction, image = m[c + r.DECODED], m[c + r.DECODED_IMAGE]
        m[c + r.DECODED] = fetch(m, c)
        m[c + r.DECODED_IMAGE] = m[c + r.IMAGE]
        now += m[c + r.PERIOD_PS]
        if instruction != r.NOTHING:
            op = m[instruction + OP]
            m[instruction + r.RUNS] += 1
            if op > _LOOP:
                if m[c + r.PAIR] == 0 and op < _FIRST_TRANSFER and op != _MVWR:
                    m[r.FAULT] = instruction
                    return False
                _decode(m, c, instruction, image)
                wake_front(m, c, now)
                return True
            run_scalar(m, c, instruction)
        elif m[c + r.DECODED] == r.NOTHING:
            return True
        if not _may_go_on(m, c, now):  # only operations in flight can hold a scalar back
            return True


@compiled
def _decode(m: Memory, c: int, instruction: int, image: int) -> None:
    pending, row = c + r.PENDING, m[instruction + r.COST_ROW] + m[c + r.PAIR]
    m[row + r.ROW_RUNS] += 1
    m[pending + r.INSTRUCTION] = instruction
    m[pending + r.ROW] = row
    m[pending + r.OP_IMAGE] = image
    m[pending + r.DONE_PS] = r.NEVER
    _set_range(m, c, row + r.READ1_FROM, pending + r.READ1)
    _set_range(m, c, row + r.READ2_FROM, pending + r.READ2)
    _set_range(m, c, row + r.WRITE_FROM, pending + r.WRITE)


@compiled
def _set_range(m: Memory, c: int, cost: int, target: int) -> None:
    source, extent = m[cost], m[cost + 1]
    if extent == r.NO_RANGE:
        m[target], m[target + 1] = r.NEVER, -r.NEVER
        return
    base = 0
    if source != r.AT_ZERO:
        base = m[c + r.REGISTER + m[m[c + r.PENDING + r.INSTRUCTION] + source]]
    m[target], m[target + 1] = base, base + extent


@compiled
def _may_go_on(m: Memory, c: int, now: int) -> bool:
    """Whether the edge `now` passes; if not, the front end is woken when it may."""
    _retire(m, c, now)
    if m[c + r.ROB_COUNT] >= m[c + r.ROB_SIZE]:
        return _wait_for_slot(m, c, c + r.ROB + m[c + r.ROB_HEAD] * r.ENTRY_SIZE)
    pending = c + r.PENDING
    if m[pending + r.INSTRUCTION] == r.NOTHING:
        return True
    place = m[c + r.ROB_HEAD]
    for _ in range(m[c + r.ROB_COUNT]):
        slot = c + r.ROB + place * r.ENTRY_SIZE
        if m[slot + r.DONE_PS] >= now and _conflict(m, pending, slot, m[c + r.ORDERS_WRITES]):
            return _wait_for_slot(m, c, slot)
        place = place + 1 if place + 1 < m[c + r.ROB_SIZE] else 0
    op = m[m[pending + r.INSTRUCTION] + OP]
    if op >= _FIRST_TRANSFER:
        return _wait_until(m, c, now, m[c + r.TRANSFER_FREE_PS] + m[c + r.PERIOD_PS], r.ON_TRANSFER)
    if op >= _FIRST_VECTOR:
        return _wait_until(m, c, now, m[c + r.VECTOR_FREE_PS] + m[c + r.PERIOD_PS], r.ON_VECTOR)
    return _wait_until(m, c, now, m[c + r.LATCH_PS], r.ON_LATCH)


@compiled
def _retire(m: Memory, c: int, now: int) -> None:
    """Drop the operations that left the reorder buffer, in order, at edges before `now`."""
    while m[c + r.ROB_COUNT] > 0:
        head = m[c + r.ROB_HEAD]
        slot = c + r.ROB + head * r.ENTRY_SIZE
        if m[slot + r.DONE_PS] >= now:
            return
        m[c + r.LEFT_PS] = max(m[c + r.LEFT_PS], m[slot + r.DONE_PS])
        end = m[r.IMAGE_ENDS_PS] + m[slot + r.OP_IMAGE]
        m[end] = max(m[end], m[c + r.LEFT_PS])
        m[c + r.ROB_COUNT] -= 1
        m[c + r.ROB_HEAD] = head + 1 if head + 1 < m[c + r.ROB_SIZE] else 0


@compiled
def _wait_for_slot(m: Memory, c: int, slot: int) -> bool:
    if m[slot + r.DONE_PS] == r.NEVER:
        m[c + r.BLOCK] = slot
    else:
        wake_front(m, c, m[slot + r.DONE_PS] + m[c + r.PERIOD_PS])
    return False


@compiled
def _wait_until(m: Memory, c: int, now: int, time: int, block: int) -> bool:
    """True if a unit that can start at the edge `time` can do so now."""
    if time <= now:
        return True
    if time >= r.NEVER:
        m[c + r.BLOCK] = block
    else:
        wake_front(m, c, time)
    return False


@compiled
def _conflict(m: Memory, a: int, b: int, orders_writes: int) -> bool:
    """Whether the operation `a` must wait for the earlier `b`."""
    if _meet(m, a + r.WRITE, b + r.READ1) or _meet(m, a + r.WRITE, b + r.READ2):
        return True
    if _meet(m, a + r.READ1, b + r.WRITE) or _meet(m, a + r.READ2, b + r.WRITE):
        return True
    return orders_writes != 0 and _meet(m, a + r.WRITE, b + r.WRITE)


@compiled
def _meet(m: Memory, a: int, b: int) -> bool:
    return m[a] <= m[b + 1] and m[b] <= m[a + 1]


@compiled
def _dispatch(m: Memory, c: int, now: int) -> None:
    place = m[c + r.ROB_HEAD] + m[c + r.ROB_COUNT]
    place = place if place < m[c + r.ROB_SIZE] else place - m[c + r.ROB_SIZE]
    m[c + r.ROB_COUNT] += 1
    slot, pending = c + r.ROB + place * r.ENTRY_SIZE, c + r.PENDING
    for i in range(r.ENTRY_SIZE):
        m[slot + i] = m[pending + i]
    m[slot + r.START_PS] = now
    m[pending + r.INSTRUCTION] = r.NOTHING
    row, op = m[slot + r.ROW], m[m[slot + r.INSTRUCTION] + OP]
    if op >= _FIRST_TRANSFER:
        m[c + r.TRANSFER_SLOT], m[c + r.TRANSFER_FREE_PS] = slot, r.NEVER
        _start_transfer(m, c, op, now)
    elif op >= _FIRST_VECTOR:
        m[c + r.VECTOR_SLOT], m[c + r.VECTOR_FREE_PS] = slot, r.NEVER
        wake_vector(m, c, _port(m, c, now, m[row + r.READ_PS]) + m[row + r.COMPUTE_PS])
    else:
        if m[c + r.LATCH_SLOT] != r.NOTHING:
            _start_latched(m, c, now)
        m[c + r.LATCH_SLOT] = slot
        _set_latch(m, c, now + m[c + r.PERIOD_PS])


@compiled
def _port(m: Memory, c: int, now: int, duration: int) -> int:
    """Queue a request at the local memory; when it ends."""
    end = max(m[c + r.PORT_FREE_PS], now) + duration
    m[c + r.PORT_FREE_PS] = end
    return end


@compiled
def _done(m: Memory, c: int, slot: int, unit: int, free: int, commit: int) -> None:
    """An operation ends: its unit is free from the edge `free` on, `commit` retires it."""
    period, begin, instruction = m[c + r.PERIOD_PS], m[slot + r.START_PS], m[slot + r.INSTRUCTION]
    m[slot + r.DONE_PS] = commit + period
    m[c + r.BUSY_PS + unit] += free - begin
    span = m[r.SPANS_PS] + 2 * m[instruction + LAYER]
    m[span], m[span + 1] = min(m[span], begin), max(m[span + 1], free)
    if m[r.LOG_END] > 0:
        line = m[r.LOG]
        m[line + r.LOG_CORE], m[line + r.LOG_UNIT] = m[c + r.NUMBER], unit
        m[line + r.LOG_INSTRUCTION] = instruction
        m[line + r.LOG_START_PS], m[line + r.LOG_END_PS] = begin, free
        m[r.LOG] = line + r.LOG_SIZE
    block = m[c + r.BLOCK]
    if block == slot:
        wake_front(m, c, commit + 2 * period)
    elif (block == r.ON_VECTOR and unit == r.VECTOR_UNIT) or (
        block == r.ON_TRANSFER and unit == r.TRANSFER_UNIT
    ):
        wake_front(m, c, free + period)


@compiled
def _edge(m: Memory, c: int, time: int) -> int:
    """The first clock edge of a core that is not before `time`."""
    return -(-time // m[c + r.PERIOD_PS]) * m[c + r.PERIOD_PS]


@compiled
def _next_edge(m: Memory, c: int, time: int) -> int:
    """The first clock edge of a core after `time`."""
    return time // m[c + r.PERIOD_PS] * m[c + r.PERIOD_PS] + m[c + r.PERIOD_PS]


# vector unit and crossbar groups


@compiled
def _end_vector(m: Memory, c: int, now: int) -> None:
    """The result is computed: write it."""
    slot = m[c + r.VECTOR_SLOT]
    free = _edge(m, c, _port(m, c, now, m[m[slot + r.ROW] + r.WRITE_PS]))
    m[c + r.VECTOR_FREE_PS] = free
    _done(m, c, slot, r.VECTOR_UNIT, free, free)


@compiled
def _set_latch(m: Memory, c: int, earliest: int) -> None:
    """Start the latched product when all groups that share its crossbars are free."""
    group = m[m[m[c + r.LATCH_SLOT] + r.INSTRUCTION] + r.TARGET]
    time = earliest
    for i in range(m[group + r.SHARING], m[group + r.SHARING_END]):
        free = m[m[i] + r.GROUP_FREE_PS]
        if free == r.NEVER:
            m[c + r.LATCH_PS] = r.NEVER
            return
        time = max(time, free + m[c + r.PERIOD_PS])
    m[c + r.LATCH_PS] = time
    wake_latch(m, c, time)
    if m[c + r.BLOCK] == r.ON_LATCH:
        wake_front(m, c, time)


@compiled
def _start_latched(m: Memory, c: int, now: int) -> None:
    slot = m[c + r.LATCH_SLOT]
    if slot == r.NOTHING or m[c + r.LATCH_PS] != now:  # the next dispatch came before, at this edge
        return
    m[c + r.LATCH_SLOT], m[c + r.LATCH_PS] = r.NOTHING, 0
    m[slot + r.START_PS] = now
    instruction, row = m[slot + r.INSTRUCTION], m[slot + r.ROW]
    group = m[instruction + r.TARGET]
    m[group + r.GROUP_SLOT], m[group + r.GROUP_FREE_PS] = slot, r.NEVER
    if m[instruction + OP] == _MVMUL:
        now = _port(m, c, now, m[row + r.READ_PS])
    wake_group(m, group, now + m[row + r.COMPUTE_PS])


@compiled
def _end_product(m: Memory, group: int, now: int) -> None:
    """The product is computed: write it; groups of a core retire one a cycle."""
    c, slot = m[group + r.GROUP_CORE], m[group + r.GROUP_SLOT]
    if m[m[slot + r.INSTRUCTION] + OP] == _MVMUL:
        now = _port(m, c, now, m[m[slot + r.ROW] + r.WRITE_PS])
    free = _edge(m, c, now)
    m[group + r.GROUP_FREE_PS] = free
    commit = max(free, m[c + r.LAST_COMMIT_PS] + m[c + r.PERIOD_PS])
    m[c + r.LAST_COMMIT_PS] = commit
    _done(m, c, slot, r.MATRIX_UNIT, free, commit)
    if m[c + r.LATCH_SLOT] != r.NOTHING and m[c + r.LATCH_PS] == r.NEVER:
        _set_latch(m, c, free + m[c + r.PERIOD_PS])


# the transfer unit


@compiled
def _start_transfer(m: Memory, c: int, op: int, now: int) -> None:
    slot = m[c + r.TRANSFER_SLOT]
    instruction, row = m[slot + r.INSTRUCTION], m[slot + r.ROW]
    peer, flit = m[instruction + r.TARGET], m[instruction + r.FLIT_PS]
    if op == _LD:
        _post(m, c, now, r.GLOBAL, r.NOTHING, 0, m[row + r.TRAVEL_PS], 0)
    elif op == _ST:
        wake_transfer(m, c, _port(m, c, now, m[row + r.READ_PS]))
    elif op == _SEND:
        _post(m, c, now, r.READY, peer, 0, flit, m[c + r.PERIOD_PS])
    elif op == _RECV:
        m[c + r.RECEIVE_FROM] = peer
        if m[peer + r.READY_AT] == c:
            m[peer + r.READY_AT] = r.NOTHING
            _post(m, c, now, r.GO, peer, 0, flit, 0)
    elif op == _SYNC:
        _post(m, c, now, r.EVENT, peer, m[instruction + IMM], flit, 0)
        _end_transfer(m, c, now + 2 * m[c + r.PERIOD_PS])
    elif op == _WAIT:
        m[c + r.WAIT_EVENT], m[c + r.WAIT_COUNT] = m[instruction + IMM], peer
        _try_wait(m, c, now)
    else:
        if op == _LMV:
            _port(m, c, now, m[row + r.READ_PS])
        _end_transfer(m, c, _edge(m, c, _port(m, c, now, m[row + r.WRITE_PS])))


@compiled
def _continue_transfer(m: Memory, c: int, now: int) -> None:
    """What was read from a memory is there."""
    slot = m[c + r.TRANSFER_SLOT]
    instruction, row = m[slot + r.INSTRUCTION], m[slot + r.ROW]
    if m[instruction + OP] == _LD:
        _end_transfer(m, c, _edge(m, c, _port(m, c, now, m[row + r.WRITE_PS])))
    elif m[instruction + OP] == _ST:
        _post(m, c, now, r.GLOBAL, r.NOTHING, 0, m[row + r.TRAVEL_PS], 0)
    else:
        peer = m[instruction + r.TARGET]
        travel = m[row + r.FLITS] * m[instruction + r.FLIT_PS]
        _post(m, c, now, r.DATA, peer, 0, travel, 0)


@compiled
def _end_transfer(m: Memory, c: int, free: int) -> None:
    m[c + r.TRANSFER_FREE_PS] = free
    _done(m, c, m[c + r.TRANSFER_SLOT], r.TRANSFER_UNIT, free, free)


@compiled
def _try_wait(m: Memory, c: int, now: int) -> None:
    event = m[c + r.WAIT_EVENT]
    if event != r.NO_EVENT and m[c + r.RAISED + event] >= m[c + r.WAIT_COUNT]:
        m[c + r.RAISED + event] -= m[c + r.WAIT_COUNT]
        m[c + r.WAIT_EVENT] = r.NO_EVENT
        _end_transfer(m, c, _next_edge(m, c, now))


# the switch of a core: a queue, one item under way at a time


@compiled
def _post(
    m: Memory, c: int, now: int, kind: int, peer: int, amount: int, travel: int, handling: int
) -> None:
    """Queue an item; it keeps the switch busy while it travels and is handled.

    While an access to the global memory is under way, whose end is not known, its transfer
    unit waits for it and nothing else is queued.
    """
    item = m[r.FREE_ITEM]
    m[r.FREE_ITEM] = m[item + r.NEXT]
    m[r.FREE_ITEMS] -= 1
    arrival = max(now, m[c + r.SWITCH_FREE_PS]) + travel
    m[c + r.SWITCH_FREE_PS] = arrival + handling
    m[item + r.KIND], m[item + r.PEER], m[item + r.AMOUNT] = kind, peer, amount
    m[item + r.ARRIVAL_PS], m[item + r.NEXT] = arrival, r.NOTHING
    if m[c + r.ITEM_FIRST] == r.NOTHING:
        m[c + r.ITEM_FIRST] = item
        wake_switch(m, c, arrival)
    else:
        m[m[c + r.ITEM_LAST] + r.NEXT] = item
    m[c + r.ITEM_LAST] = item


@compiled
def _arrive(m: Memory, c: int, now: int) -> None:
    """The first item of a switch reaches its target."""
    item = m[c + r.ITEM_FIRST]
    kind, peer, following = m[item + r.KIND], m[item + r.PEER], m[item + r.NEXT]
    m[c + r.ITEM_FIRST] = following
    if following != r.NOTHING:
        wake_switch(m, c, m[following + r.ARRIVAL_PS])
    m[item + r.NEXT] = m[r.FREE_ITEM]
    m[r.FREE_ITEM] = item
    m[r.FREE_ITEMS] += 1
    if kind == r.READY:
        if m[peer + r.RECEIVE_FROM] == c:
            receives = m[m[peer + r.TRANSFER_SLOT] + r.INSTRUCTION]
            _post(m, peer, now, r.GO, c, 0, m[receives + r.FLIT_PS], 0)
        else:
            m[c + r.READY_AT] = peer
    elif kind == r.GO:
        read = _port(m, peer, now, m[m[m[peer + r.TRANSFER_SLOT] + r.ROW] + r.READ_PS])
        wake_transfer(m, peer, read)
        _end_transfer(m, peer, _edge(m, peer, read))
    elif kind == r.DATA:
        m[peer + r.RECEIVE_FROM] = r.NOTHING
        end = _port(m, peer, now, m[m[m[peer + r.TRANSFER_SLOT] + r.ROW] + r.WRITE_PS])
        _end_transfer(m, peer, _edge(m, peer, end))
    elif kind == r.EVENT:
        m[peer + r.RAISED + m[item + r.AMOUNT]] += 1
        _try_wait(m, peer, now)
    else:
        _access_global(m, c, now)


@compiled
def _access_global(m: Memory, c: int, now: int) -> None:
    slot = m[c + r.TRANSFER_SLOT]
    end = max(m[r.GLOBAL_FREE_PS], now) + m[m[slot + r.ROW] + r.GLOBAL_PS]
    m[r.GLOBAL_FREE_PS] = end
    m[c + r.SWITCH_FREE_PS] = end
    if m[m[slot + r.INSTRUCTION] + OP] == _LD:
        wake_transfer(m, c, end)
    else:
        _end_transfer(m, c, _next_edge(m, c, end))
