"""Runs the timing kernel: its need for room, its results, and what it says of deadlocks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import ProgramError
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import AUX, IMM, OP, Op
from imccompiler.simulator import timing_kernel
from imccompiler.simulator import timing_records as r
from imccompiler.simulator.timing_code import where
from imccompiler.simulator.timing_memory import Memory
from imccompiler.simulator.timing_tables import CostTables

Ints = NDArray[np.int64]

_MOST_NAMED = 20


@dataclass(frozen=True, slots=True)
class Run:
    """What the kernel found, times in picoseconds.

    Attributes:
        image_end_ps: When the last operation of each image retired, shape (images,).
        finish_ps: When the last operation of each core retired, shape (cores,).
        busy_ps: Shape (cores, units).
        span_ps: First start and last end of each layer, shape (layers, 2); ends 0 for none.
        runs: How often each instruction was run, shape (n,).
        row_runs: How often each row of costs was used, shape (rows,).
        log: Core, unit, instruction, start and end of every operation, shape (operations, 5);
            empty if not asked for.
    """

    image_end_ps: Ints
    finish_ps: Ints
    busy_ps: Ints
    span_ps: Ints
    runs: Ints
    row_runs: Ints
    log: Ints


def run(program: Program, machine: Machine, costs: CostTables, *, images: int, events: bool) -> Run:
    """Run a program to its end.

    Raises:
        ProgramError: Cores wait for each other, an operation comes before any `setbw`, or the
            run takes seconds of simulated time.
    """
    memory = Memory(program, machine, costs, images=images, events=events)
    timing_kernel.start(memory.words)
    while (status := timing_kernel.run(memory.words)) != r.FINISHED:
        if status == r.MORE_ITEMS:
            memory.add_items()
        elif status == r.MORE_LOG:
            memory.take_log()
        elif status == r.NO_WIDTHS:
            raise ProgramError(
                "needs bit widths; is `setbw` missing?",
                where=where(program, memory.index_of(int(memory.words[r.FAULT]))),
            )
        else:
            last_ps = 1 << (r.TIME_BITS - int(memory.words[r.ACTOR_BITS]))
            raise ProgramError(f"runs for more than {last_ps / 1e12:.1f} simulated seconds")
    timing_kernel.retire_all(memory.words)
    memory.take_log()
    _check_finished(program, memory, images)
    return Run(
        image_end_ps=memory.part("image_ends"),
        finish_ps=memory.cores[:, r.LEFT_PS],
        busy_ps=memory.cores[:, r.BUSY_PS : r.BUSY_PS + 3],
        span_ps=memory.part("spans").reshape(-1, 2)[:-1],
        runs=memory.code[:, r.RUNS],
        row_runs=memory.part("costs").reshape(-1, r.COST_SIZE)[:, r.ROW_RUNS],
        log=np.concatenate(memory.log) if events else np.zeros((0, r.LOG_SIZE), np.int64),
    )


def _check_finished(program: Program, memory: Memory, images: int) -> None:
    cores = memory.cores
    fetched = (cores[:, r.IMAGE] == images - 1) & (cores[:, r.DECODED] == r.NOTHING)
    fetched &= cores[:, r.PENDING + r.INSTRUCTION] == r.NOTHING
    done = fetched & (cores[:, r.ROB_COUNT] == 0)
    stuck = np.flatnonzero((cores[:, r.FIRST] < cores[:, r.END]) & ~done)
    if len(stuck):
        lines = [_waiting(program, memory, core) for core in stuck[:_MOST_NAMED].tolist()]
        raise ProgramError(f"deadlock: {len(stuck)} cores wait for ever\n  " + "\n  ".join(lines))


def _waiting(program: Program, memory: Memory, core: int) -> str:
    """What the oldest operation of a core waits for."""
    record = memory.cores[core]
    oldest = r.ROB + int(record[r.ROB_HEAD]) * r.ENTRY_SIZE
    instruction = memory.index_of(int(record[oldest + r.INSTRUCTION]))
    op, imm, aux = program.code[instruction, [OP, IMM, AUX]].tolist()
    if op == Op.SEND:
        reason = f"core {aux} to receive"
    elif op == Op.RECV:
        reason = f"core {aux} to send"
    else:
        reason = f"event {imm} to count {aux}, not {int(record[r.RAISED + imm])}"
    return f"{where(program, instruction)} waits for {reason}"
