"""Where tiles lie on crossbars: rectangles of cells, and which of them overlap."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from imccompiler.hardware.cores import of_cores
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import GROUP_COLUMNS, TILE_COLUMNS, Program
from imccompiler.program.isa import IMM, OP, Op

CORE, GROUP, FIRST_TILE, TILES, ROWS, OUTPUTS, CROSSBARS = range(len(GROUP_COLUMNS))
TILE = {name: index for index, name in enumerate(TILE_COLUMNS)}

Rectangles = NDArray[np.int64]
"""Core, crossbar, first row, end row, first bit line, end bit line; shape (tiles, 6)."""


def tile_rectangles(program: Program, machine: Machine) -> Rectangles:
    """The cells of every tile."""
    tiles = program.tiles.astype(np.int64)
    core = tiles[:, TILE["core"]]
    per_weight = of_cores(machine, lambda kind: kind.columns_per_weight(program.weight_bits))
    row, line = tiles[:, TILE["row_offset"]], tiles[:, TILE["column_offset"]]
    lines = tiles[:, TILE["columns"]] * per_weight[core]
    return np.stack(
        [core, tiles[:, TILE["crossbar"]], row, row + tiles[:, TILE["rows"]], line, line + lines],
        axis=1,
    )


def group_of_tiles(program: Program) -> NDArray[np.int64]:
    """The row of the group table that each tile belongs to, -1 for none; shape (tiles,)."""
    owner = np.full(len(program.tiles), -1, np.int64)
    counts = program.groups[:, TILES]
    starts = np.repeat(program.groups[:, FIRST_TILE] - np.cumsum(counts) + counts, counts)
    owner[starts + np.arange(len(starts))] = np.repeat(np.arange(len(program.groups)), counts)
    return owner


def overlapping_pairs(rectangles: Rectangles) -> NDArray[np.int64]:
    """Pairs of tiles that share a cell, each once; shape (pairs, 2)."""
    order = np.lexsort((rectangles[:, 2], rectangles[:, 1], rectangles[:, 0]))
    r = rectangles[order]
    pairs: list[NDArray[np.int64]] = []
    for distance in range(1, len(r)):
        a, b = r[:-distance], r[distance:]
        same = (a[:, :2] == b[:, :2]).all(axis=1)
        if not same.any():
            break
        rows = same & (a[:, 2] < b[:, 3]) & (b[:, 2] < a[:, 3])
        first = np.flatnonzero(rows & (a[:, 4] < b[:, 5]) & (b[:, 4] < a[:, 5]))
        pairs.append(np.stack([order[first], order[first + distance]], axis=1))
    return np.concatenate(pairs) if pairs else np.zeros((0, 2), np.int64)


def group_matrix(program: Program, index: int) -> NDArray[np.int16]:
    """Weight codes of the group in row `index` of the table, shape (rows, outputs)."""
    group = program.groups[index]
    matrix = np.zeros((group[ROWS], group[OUTPUTS]), np.int16)
    matrices = list(program.matrices.values())
    for tile in tiles_of_group(program, index).tolist():
        t = dict(zip(TILE_COLUMNS, tile, strict=True))
        rows = slice(t["input"], t["input"] + t["rows"])
        matrix[rows, t["output"] : t["output"] + t["columns"]] = matrices[t["matrix"]][
            t["matrix_row"] : t["matrix_row"] + t["rows"],
            t["matrix_column"] : t["matrix_column"] + t["columns"],
        ]
    return matrix


def row_blocks_of_group(program: Program, index: int) -> list[NDArray[np.int32]]:
    """Tiles of each row block of a group, in the order of inputs and then of outputs."""
    tiles = tiles_of_group(program, index)
    tiles = tiles[np.lexsort((tiles[:, TILE["output"]], tiles[:, TILE["input"]]))]
    return np.split(tiles, 1 + np.flatnonzero(np.diff(tiles[:, TILE["input"]])))


def group_shapes(program: Program) -> NDArray[np.int64]:
    """Row blocks of each group and crossbars of its widest row block, shape (groups, 2)."""
    tiles = program.tiles[:, [TILE["input"], TILE["crossbar"]]]
    owner = group_of_tiles(program)
    group, (first_input, crossbar) = owner[owner >= 0], tiles[owner >= 0].T.astype(np.int64)
    inputs, crossbars = (1 + int(column.max(initial=0)) for column in (first_input, crossbar))
    used = _distinct((group * inputs + first_input) * crossbars + crossbar)
    blocks, counts = np.unique(used // crossbars, return_counts=True)  # row blocks, their crossbars
    shapes = np.zeros((len(program.groups), 2), np.int64)
    np.add.at(shapes[:, 0], blocks // inputs, 1)
    np.maximum.at(shapes[:, 1], blocks // inputs, counts)
    return shapes


def _distinct(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    """Each key once, in order: sorting takes a tenth of the time of `np.unique`, which hashes."""
    keys = np.sort(keys)
    return keys[np.append(True, keys[1:] != keys[:-1])[: len(keys)]]


def tiles_of_group(program: Program, index: int) -> NDArray[np.int32]:
    """Rows of the tile table of the group in row `index` of the group table."""
    first, count = program.groups[index, [FIRST_TILE, TILES]]
    return program.tiles[first : first + count]


def written_groups(program: Program) -> set[tuple[int, int]]:
    """Core and group of every `mvwr`."""
    index = np.flatnonzero(program.code[:, OP] == Op.MVWR)
    cores = np.searchsorted(program.core_start, index, side="right") - 1
    return set(zip(cores.tolist(), program.code[index, IMM].tolist(), strict=True))
