"""Structural rules of a program: what must hold for any data and in any order of execution."""

from __future__ import annotations

from math import prod

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import DoesNotFitError, ProgramError
from imccompiler.hardware.cores import of_cores
from imccompiler.hardware.schema import Machine
from imccompiler.program import tiles as t
from imccompiler.program.artifact import GLOBAL, Port, Program
from imccompiler.program.isa import (
    AUX,
    COLUMNS,
    EVENTS,
    IMM,
    LAYER,
    MATRIX_OPS,
    MAX_BITS,
    MAX_LOOP_DEPTH,
    OP,
    RD,
    REGISTERS,
    RS1,
    RS2,
    TRANSFER_OPS,
    VECTOR_OPS,
    Op,
    byte_width,
)
from imccompiler.program.text import instruction_text

_COUNTED = VECTOR_OPS | TRANSFER_OPS - {Op.SYNC, Op.WAIT}  # `imm` elements or bytes
_PAIRED = (Op.SEND, Op.RECV, Op.SYNC)  # `aux` is another core
_CALLS = (Op.VFUN, Op.VTANH, Op.VSIGM)


def validate(program: Program, machine: Machine) -> None:
    """Check a program against the instruction set and a machine.

    Raises:
        ProgramError: A rule is broken; says where.
        DoesNotFitError: It needs more than the machine has.
    """
    check_code(program)
    _check_capacity(program, machine)
    _check_groups(program, machine)
    _check_tiles(program, machine)
    _check_memory(program)


def check_code(program: Program) -> None:
    """Check the instructions alone.

    Raises:
        ProgramError: One breaks a rule; says where.
    """
    _check_shapes(program)
    _check_instructions(program)
    _check_loops(program)


def _check_shapes(program: Program) -> None:
    starts = program.core_start
    if program.code.ndim != 2 or program.code.shape[1] != len(COLUMNS):
        raise ProgramError(f"code has shape {program.code.shape}, not (n, {len(COLUMNS)})")
    if starts[0] != 0 or starts[-1] != len(program.code) or (np.diff(starts) < 0).any():
        raise ProgramError("core_start must rise from 0 to the number of instructions")
    if len(program.local_bytes) != program.core_count:
        raise ProgramError(f"local_bytes has {len(program.local_bytes)} entries")


def _check_capacity(program: Program, machine: Machine) -> None:
    if program.core_count > machine.core_count:
        _too_much("cores", program.core_count, machine.core_count, "cores")
    room = of_cores(machine, lambda kind: kind.local_memory.kib * 1024)
    _check_each_core("local memory", program.local_bytes, room, "bytes")
    crossbars = np.zeros(program.core_count, np.int64)
    cores = program.tiles[:, t.TILE["core"]]
    _require(cores, (cores >= 0) & (cores < program.core_count), "tile", "names no core")
    np.maximum.at(crossbars, cores, program.tiles[:, t.TILE["crossbar"]] + 1)
    _check_each_core("crossbars", crossbars, of_cores(machine, lambda k: k.crossbars), "crossbars")
    memory = machine.chip.global_memory.kib * 1024
    if program.global_bytes > memory:
        _too_much("global memory", program.global_bytes, memory, "bytes")


def _check_each_core(
    what: str, demand: NDArray[np.int64], capacity: NDArray[np.int64], unit: str
) -> None:
    over = np.flatnonzero(demand > capacity[: len(demand)])
    if len(over):
        core = int(over[0])
        _too_much(what, int(demand[core]), int(capacity[core]), unit, f"core {core}")


def _too_much(what: str, demand: int, capacity: int, unit: str, where: str | None = None) -> None:
    raise DoesNotFitError(
        f"the program's {what}", demand=demand, capacity=capacity, unit=unit, where=where
    )


def _check_instructions(program: Program) -> None:
    code = program.code
    op, imm, aux = code[:, OP], code[:, IMM], code[:, AUX]
    known = np.isin(op, [int(o) for o in Op])
    _require_code(program, known, "is no instruction")
    check_registers(program)
    counted = np.isin(op, list(_COUNTED))
    _require_code(program, ~counted | (imm >= 1), "must have a size of at least 1")
    widths = (np.minimum(imm, aux) >= 1) & (np.maximum(imm, aux) <= MAX_BITS)
    _require_code(program, (op != Op.SETBW) | widths, f"sets a width outside 1 to {MAX_BITS}")
    own = np.repeat(np.arange(program.core_count), np.diff(program.core_start))
    other = (aux >= 0) & (aux < program.core_count) & (aux != own)
    _require_code(program, ~np.isin(op, _PAIRED) | other, "names a core that is not another core")
    event = (imm >= 0) & (imm < EVENTS)
    _require_code(program, ~np.isin(op, (Op.SYNC, Op.WAIT)) | event, "names no event")
    function = (aux >= 0) & (aux < len(program.functions))
    _require_code(program, ~np.isin(op, _CALLS) | function, "calls no function")
    layer = (code[:, LAYER] >= -1) & (code[:, LAYER] < len(program.layers))
    _require_code(program, layer, "works for no layer")
    groups = program.groups[:, [t.CORE, t.GROUP]].astype(np.int64)
    keys = own.astype(np.int64) << 32 | imm.astype(np.int64) & 0xFFFFFFFF
    exists = np.isin(keys, groups[:, 0] << 32 | groups[:, 1])
    _require_code(program, ~np.isin(op, list(MATRIX_OPS)) | exists, "names no group of its core")


def check_registers(program: Program) -> None:
    """Every register that an instruction names exists.

    Raises:
        ProgramError: One does not.
    """
    code = program.code
    registers = code[:, [RD, RS1, RS2]]
    inside = (registers.min(axis=1) >= 0) & (registers.max(axis=1) < REGISTERS)
    _require_code(program, inside, f"names a register outside r0 to r{REGISTERS - 1}")
    pairs = np.where(code[:, OP] == Op.LD, code[:, RS1], 0)
    pairs = np.where(code[:, OP] == Op.ST, code[:, RD], pairs)
    _require_code(program, pairs + 1 < REGISTERS, "needs a pair of registers for its address")


def _check_loops(program: Program) -> None:
    """A stack of loop ends for each core, over its loops only."""
    loops = np.flatnonzero(program.code[:, OP] == Op.LOOP)
    rounds, bodies = program.code[loops, IMM], program.code[loops, AUX]
    ends = (loops + 1 + bodies).tolist()
    core_end = program.core_start[np.searchsorted(program.core_start, loops, side="right")].tolist()
    open_ends: list[int] = []
    for index, end, limit, n, body in zip(
        loops.tolist(), ends, core_end, rounds.tolist(), bodies.tolist(), strict=True
    ):
        while open_ends and open_ends[-1] <= index:
            open_ends.pop()
        if n < 1 or body < 1:
            raise _broken(program, index, "is an empty loop")
        if end > (open_ends[-1] if open_ends else limit):
            raise _broken(program, index, "ends outside the loop or stream around it")
        if len(open_ends) == MAX_LOOP_DEPTH:
            raise _broken(program, index, f"is nested deeper than {MAX_LOOP_DEPTH}")
        open_ends.append(end)


def _check_groups(program: Program, machine: Machine) -> None:
    groups = program.groups
    keys = groups[:, t.CORE].astype(np.int64) << 32 | groups[:, t.GROUP]
    if (np.diff(keys) <= 0).any():
        raise ProgramError("groups must be sorted by core and number, each standing there once")
    first, count = groups[:, t.FIRST_TILE], groups[:, t.TILES]
    inside = (first >= 0) & (count >= 1) & (first + count <= len(program.tiles))
    _require(groups, inside, "group", "names tiles that are not there")
    owner = t.group_of_tiles(program)
    _require(owner, owner >= 0, "tile", "belongs to no group")
    tile = program.tiles
    column = t.TILE
    same_core = tile[:, column["core"]] == groups[owner, t.CORE]
    _require(tile, same_core, "tile", "stands on another core than its group")
    used = np.unique(np.stack([owner, tile[:, column["crossbar"]]], axis=1), axis=0)[:, 0]
    counted = np.bincount(used, minlength=len(groups)) == groups[:, t.CROSSBARS]
    _require(groups, counted, "group", "has another number of crossbars than it says")
    _check_row_blocks(program, machine)


def _check_row_blocks(program: Program, machine: Machine) -> None:
    """Row blocks share out their group's inputs, and each of them makes all of its outputs."""
    groups, tile, column = program.groups, program.tiles, t.TILE
    begin, rows = tile[:, column["input"]], tile[:, column["rows"]]
    blocks, first, block = np.unique(
        np.stack([t.group_of_tiles(program), begin], axis=1),
        axis=0,
        return_index=True,
        return_inverse=True,
    )
    block, group = block.reshape(-1), blocks[:, 0]
    _require(tile, rows == rows[first][block], "tile", "has other rows than its row block")
    follows = begin[first] == _end_before(group, begin[first] + rows[first])
    _require(tile, follows[block], "tile", "leaves a gap among its group's inputs")
    driven = np.bincount(group, rows[first], len(groups))
    _require(groups, driven == groups[:, t.ROWS], "group", "has inputs without a tile")
    adds = of_cores(machine, lambda kind: kind.sums_row_blocks)
    able = (np.bincount(group, minlength=len(groups)) == 1) | adds[groups[:, t.CORE]]
    _require(groups, able, "group", "has several row blocks, which its core does not add")
    on_crossbars = np.unique(np.stack([block, tile[:, column["crossbar"]]], axis=1), axis=0)[:, 0]
    driven_once = np.bincount(group[on_crossbars], minlength=len(groups)) == groups[:, t.CROSSBARS]
    _require(groups, driven_once, "group", "has two row blocks on one crossbar")
    covered = (
        np.bincount(block, tile[:, column["columns"]], len(blocks)) == groups[group, t.OUTPUTS]
    )
    _require(tile, covered[block], "tile", "is in a row block that has outputs without a tile")
    order = np.lexsort((tile[:, column["output"]], block))
    output = tile[order, column["output"]]
    joined = output == _end_before(block[order], output + tile[order, column["columns"]])
    _require(order, joined, "tile", "leaves a gap among its group's outputs")


def _end_before(key: NDArray[np.integer], end: NDArray[np.integer]) -> NDArray[np.integer]:
    """The end of the item before, 0 for the first one of each key; items are sorted by key."""
    before = np.concatenate([[0], end[:-1]])[: len(end)]
    before[1:][key[1:] != key[:-1]] = 0
    return before


def _check_tiles(program: Program, machine: Machine) -> None:
    tile, column = program.tiles, t.TILE
    _require(tile, tile.min(axis=1) >= 0, "tile", "has a negative entry")
    size = np.minimum(tile[:, column["rows"]], tile[:, column["columns"]])
    _require(tile, size >= 1, "tile", "is empty")
    shapes = np.array([m.shape for m in program.matrices.values()], np.int64).reshape(-1, 2)
    matrix = tile[:, column["matrix"]]
    _require(tile, matrix < len(shapes), "tile", "names no matrix")
    for axis, start, extent in ((0, "matrix_row", "rows"), (1, "matrix_column", "columns")):
        end = tile[:, column[start]] + tile[:, column[extent]]
        _require(tile, end <= shapes[matrix, axis], "tile", "reaches beyond its matrix")
    rectangles = t.tile_rectangles(program, machine)
    sizes = of_cores(machine, lambda kind: (kind.crossbar.rows, kind.crossbar.columns))
    limits = sizes[rectangles[:, 0]]
    fits = (rectangles[:, 3] <= limits[:, 0]) & (rectangles[:, 5] <= limits[:, 1])
    _require(tile, fits, "tile", "reaches beyond its crossbar")
    _check_overlaps(program, rectangles)


def _check_overlaps(program: Program, rectangles: t.Rectangles) -> None:
    """Tiles share cells only where an `mvwr` programs one of their groups."""
    pairs = t.overlapping_pairs(rectangles)
    if not len(pairs):
        return
    owner = t.group_of_tiles(program)
    written = t.written_groups(program)
    names = [(g[t.CORE], g[t.GROUP]) for g in program.groups.tolist()]
    for a, b in pairs.tolist():
        first, second = names[owner[a]], names[owner[b]]
        if first == second or not {first, second} & written:
            raise ProgramError(
                f"tiles {a} and {b} share cells of crossbar {rectangles[a, 1]}",
                where=f"core {first[0]}, groups {first[1]} and {second[1]}",
            )


def _check_memory(program: Program) -> None:
    for core, address, values in program.images:
        if not (core == GLOBAL or 0 <= core < program.core_count):
            raise ProgramError(f"an image names core {core}, which the program does not have")
        size = program.global_bytes if core == GLOBAL else int(program.local_bytes[core])
        if address < 0 or address + len(values) > size:
            memory = "global" if core == GLOBAL else "local"
            raise ProgramError(
                f"an image of {len(values)} bytes at {address} lies outside the {memory} memory",
                where=f"core {core}",
            )
    for port in (*program.inputs, *program.outputs):
        if sorted(port.layout) != list(range(len(port.shape))):
            raise ProgramError(f"port {port.name!r} has layout {port.layout}")
        if port.address < 0 or port.address + _bytes(port) > program.global_bytes:
            raise ProgramError(f"port {port.name!r} lies outside the global memory")
    for index, function in enumerate(program.functions):
        for operand in (*function.operands, function.result):
            if sorted(operand.layout) != list(range(len(operand.shape))):
                raise ProgramError(f"function {index} has an operand of layout {operand.layout}")


def _bytes(block: Port) -> int:
    return prod(block.shape) * byte_width(block.quantization.bits)


def _require(rows: NDArray[np.integer], holds: NDArray[np.bool_], what: str, message: str) -> None:
    if not holds.all():
        raise ProgramError(message, where=f"{what} {int(np.argmin(holds))} of {len(rows)}")


def _require_code(program: Program, holds: NDArray[np.bool_], message: str) -> None:
    if not holds.all():
        raise _broken(program, int(np.argmin(holds)), message)


def _broken(program: Program, index: int, message: str) -> ProgramError:
    core = int(np.searchsorted(program.core_start, index, side="right")) - 1
    row = program.code[index].tolist()
    text = instruction_text(row) if row[OP] in set(Op) else str(row)
    number = index - int(program.core_start[core])
    return ProgramError(message, where=f"core {core}, instruction {number} ({text})")
