"""Runs the timing kernel: its arrays, its need for room, and what it says of deadlocks."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost.machine import MachineTiming
from imccompiler.errors import ProgramError
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import AUX, IMM, MAX_LOOP_DEPTH, OP, REGISTERS, Op
from imccompiler.program.tiles import CORE, TILE, group_of_tiles
from imccompiler.simulator import timing_kernel as k
from imccompiler.simulator.timing_check import where
from imccompiler.simulator.timing_tables import CostTables

Ints = NDArray[np.int64]

_EVENTS = 32
_FIRST_LOG = 1 << 14
_MOST_NAMED = 20


def run(
    program: Program, machine: Machine, costs: CostTables, *, images: int, events: bool
) -> k.State:
    """Run a program to its end.

    Raises:
        ProgramError: Cores wait for each other, an operation comes before any `setbw`, or the
            run takes seconds of simulated time.
    """
    tables = _tables(program, machine, costs, images)
    state = _state(program, tables, events=events)
    k.start(tables, state)
    while (status := k.run(tables, state)) != k.FINISHED:
        if status == k.MORE_ITEMS:
            state = _with_more_items(state)
        elif status == k.MORE_LOG:
            room = np.empty_like(state.log)
            state = state._replace(log=np.concatenate([state.log, room]))
        elif status == k.NO_WIDTHS:
            raise ProgramError(
                "needs bit widths; is `setbw` missing?",
                where=where(program, int(state.top[k.FAULT])),
            )
        else:
            raise ProgramError(f"runs for more than {k.LAST_PS / 1e12:.1f} simulated seconds")
    k.retire_all(state)
    _check_finished(program, state, images)
    return state


def _tables(program: Program, machine: Machine, costs: CostTables, images: int) -> k.Tables:
    cores = program.core_count
    kinds = [machine.core_kinds[name] for name in machine.kind_of_core()[:cores]]
    times = MachineTiming.of(machine)
    sharing_start, sharing = _sharing(program)
    return k.Tables(
        code=np.ascontiguousarray(program.code, np.int32),
        core_start=np.asarray(program.core_start, np.int64),
        row=costs.row,
        target=costs.target,
        costs=costs.costs,
        flit_ps=np.ascontiguousarray(times.network.core_flit_ps[:cores, :cores]),
        sharing_start=sharing_start,
        sharing=sharing,
        group_core=program.groups[:, CORE].astype(np.int64),
        period_ps=np.array([times.core(c).period_ps for c in range(cores)], np.int64),
        rob_size=np.array([kind.rob_size for kind in kinds], np.int64),
        orders_writes=np.array([kind.hazards == "exact" for kind in kinds], np.int64),
        images=images,
    )


def _sharing(program: Program) -> tuple[Ints, Ints]:
    """Groups that have a tile on a crossbar of each group, itself included."""
    owner = group_of_tiles(program)
    count = len(program.groups)
    places = program.tiles[:, [TILE["core"], TILE["crossbar"]]]
    crossbar, index = np.unique(places, axis=0, return_inverse=True)
    on_crossbar: list[set[int]] = [set() for _ in crossbar]
    for place, group in zip(index.reshape(-1).tolist(), owner.tolist(), strict=True):
        if group >= 0:
            on_crossbar[place].add(group)
    partners: list[set[int]] = [{group} for group in range(count)]
    for groups in on_crossbar:
        if len(groups) > 1:
            for group in groups:
                partners[group] |= groups
    start = np.concatenate([[0], np.cumsum([len(p) for p in partners])]).astype(np.int64)
    return start, np.array([g for p in partners for g in sorted(p)], np.int64)


def _state(program: Program, tables: k.Tables, *, events: bool) -> k.State:
    cores, groups = program.core_count, len(program.groups)
    core = np.zeros((cores, k.CORE_SIZE), np.int64)
    nothing = [k.DECODED, k.LATCH_SLOT, k.ITEM_FIRST, k.ITEM_LAST, k.RECEIVE_FROM, k.READY_AT]
    core[:, [*nothing, k.WAIT_EVENT]] = -1
    core[:, k.BLOCK] = k.NOT_BLOCKED
    pending = np.zeros((cores, k.ENTRY_SIZE), np.int64)
    pending[:, k.INSTRUCTION] = -1
    items = np.zeros((4 * cores + 4, k.ITEM_SIZE), np.int64)
    items[:, k.NEXT] = np.arange(1, len(items) + 1)
    top = np.zeros(k.TOP_SIZE, np.int64)
    top[k.FREE_ITEMS] = len(items)
    span = np.zeros((len(program.layers), 2), np.int64)
    span[:, 0] = k.NEVER
    return k.State(
        top=top,
        heap=np.zeros(6 * cores + groups + 1, np.int64),
        core=core,
        registers=np.zeros((cores, REGISTERS), np.int32),
        loops=np.zeros((cores, MAX_LOOP_DEPTH, 3), np.int64),
        rob=np.zeros((cores, int(tables.rob_size.max(initial=1)), k.ENTRY_SIZE), np.int64),
        pending=pending,
        group=np.zeros((groups, 2), np.int64),
        raised=np.zeros((cores, _EVENTS), np.int64),
        items=items,
        runs=np.zeros(len(program.code), np.int64),
        row_runs=np.zeros(len(tables.costs), np.int64),
        image_end_ps=np.zeros(tables.images, np.int64),
        busy_ps=np.zeros((cores, k.UNITS), np.int64),
        layer_span_ps=span,
        log=np.zeros((_FIRST_LOG if events else 0, k.LOG_COLUMNS), np.int64),
    )


def _with_more_items(state: k.State) -> k.State:
    """Twice the room in the switches."""
    count = len(state.items)
    items = np.concatenate([state.items, np.zeros_like(state.items)])
    items[count:, k.NEXT] = np.arange(count + 1, 2 * count + 1)
    items[-1, k.NEXT] = state.top[k.FREE_ITEM]
    state.top[k.FREE_ITEM] = count
    state.top[k.FREE_ITEMS] += count
    return state._replace(items=items)


def _check_finished(program: Program, state: k.State, images: int) -> None:
    core = state.core
    started = program.core_start[:-1] < program.core_start[1:]
    fetched = (core[:, k.IMAGE] == images - 1) & (core[:, k.DECODED] < 0)
    done = fetched & (state.pending[:, k.INSTRUCTION] < 0) & (core[:, k.ROB_COUNT] == 0)
    stuck = np.flatnonzero(started & ~done)
    if len(stuck):
        lines = [_waiting(program, state, int(c)) for c in stuck[:_MOST_NAMED]]
        raise ProgramError(f"deadlock: {len(stuck)} cores wait for ever\n  " + "\n  ".join(lines))


def _waiting(program: Program, state: k.State, core: int) -> str:
    """What the oldest operation of a core waits for."""
    instruction = int(state.rob[core, state.core[core, k.ROB_HEAD], k.INSTRUCTION])
    op, imm, aux = program.code[instruction, [OP, IMM, AUX]].tolist()
    reason = {
        Op.SEND: f"core {aux} to receive",
        Op.RECV: f"core {aux} to send",
        Op.WAIT: f"event {imm} to count {aux}, not {int(state.raised[core, imm % _EVENTS])}",
    }
    return f"{where(program, instruction)} waits for {reason[Op(op)]}"
