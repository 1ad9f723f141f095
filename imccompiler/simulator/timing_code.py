"""Instructions with their cores, groups and names, for the timing simulator."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imccompiler.program.artifact import Program
from imccompiler.program.isa import IMM, LAYER, OP, Op
from imccompiler.program.text import instruction_text
from imccompiler.program.tiles import CORE, GROUP


def where(program: Program, instruction: int) -> str:
    """Core, place, text and layer of an instruction (a row of `Program.code`)."""
    core = int(np.searchsorted(program.core_start, instruction, side="right")) - 1
    row = program.code[instruction].tolist()
    layers = program.layers
    layer = f", layer {layers[row[LAYER]]!r}" if 0 <= row[LAYER] < len(layers) else ""
    place = instruction - int(program.core_start[core])
    return f"core {core}, instruction {place} ({instruction_text(row)}){layer}"


def core_of_instruction(program: Program) -> NDArray[np.int64]:
    """The core of every instruction, shape (n,)."""
    return np.repeat(np.arange(program.core_count), np.diff(program.core_start))


def layer_of_instruction(program: Program) -> NDArray[np.int64]:
    """The layer of every instruction, their number for none; shape (n,)."""
    layer = np.asarray(program.code[:, LAYER], np.int64)
    return np.where(layer < 0, len(program.layers), layer)


def group_rows(program: Program) -> NDArray[np.int64]:
    """The row of the group table that every `mvmul` and `mvwr` drives, else -1; shape (n,)."""
    op = program.code[:, OP]
    drives = np.flatnonzero((op == Op.MVMUL) | (op == Op.MVWR))
    stride = 1 << 32
    known = program.groups[:, CORE].astype(np.int64) * stride + program.groups[:, GROUP]
    order = np.argsort(known, kind="stable")
    core = np.searchsorted(program.core_start, drives, side="right") - 1
    wanted = core * stride + program.code[drives, IMM]
    rows = np.full(len(program.code), -1, np.int64)
    rows[drives] = order[np.searchsorted(known[order], wanted)]
    return rows
