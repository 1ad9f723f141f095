"""Weights on crossbars: the groups and tiles of a program, and the matrices they cut."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.hardware.cores import kind_numbers
from imccompiler.hardware.schema import CoreKind, Machine
from imccompiler.ir.store import WeightStore
from imccompiler.passes.blocks import Part, RowBlock, block_matrix
from imccompiler.passes.build import Built, PlacedPart
from imccompiler.passes.packing import Rectangle, pack
from imccompiler.program.artifact import GROUP_COLUMNS, TILE_COLUMNS
from imccompiler.program.tiles import CORE, FIRST_TILE, GROUP, TILE, TILES

Rows = NDArray[np.int32]
Matrices = dict[str, NDArray[Any]]


def crossbar_tables(
    built: Built, machine: Machine, store: WeightStore
) -> tuple[Rows, Rows, Matrices]:
    """Groups and tiles (columns as in `program/artifact.py`) and matrices by name.

    Copies share their matrices. Where a core does one thing at a time, small tiles share
    crossbars, which costs nothing; elsewhere every tile has a crossbar of its own, so that
    groups can work at once.
    """
    matrices: Matrices = {}
    index: dict[str, int] = {}
    tables: dict[tuple[int, Part], tuple[Rows, Rows]] = {}  # the same for all copies of a layer
    parts = sorted(built.parts, key=lambda p: (p.core, p.first_group))
    for placed in parts:
        if (placed.layer, placed.part) not in tables:
            layer = built.layers[placed.layer]
            for name, pack_number, block in _row_blocks(placed.part, layer):
                if name not in index:
                    index[name] = len(index)
                    matrices[name] = _matrix(placed, store, pack_number, block)
            tables[placed.layer, placed.part] = _part_tables(placed, layer, index)
    groups, tiles = _joined(parts, [tables[placed.layer, placed.part] for placed in parts])
    # what is on a core together: the parts of one segment
    segments = np.array([placed.segment for placed in parts], np.int64)
    home = tiles[:, TILE["core"]] * (segments.max(initial=0) + 1)
    home += np.repeat(segments, [len(tables[p.layer, p.part][1]) for p in parts])
    tiles[:, TILE["crossbar"]] = np.arange(len(tiles)) - np.searchsorted(home, home)
    owner = np.repeat(np.arange(len(groups)), groups[:, TILES])
    number, core = kind_numbers(machine), tiles[:, TILE["core"]]
    for of_kind, kind in enumerate(machine.core_kinds.values()):
        mine = np.flatnonzero(number[core] == of_kind)
        if kind.rob_size == 1 and len(mine):
            per_weight = kind.columns_per_weight(machine.weight_bits)
            shared = tiles[mine]
            _share_crossbars(shared, owner[mine], home[mine], kind, per_weight)
            tiles[mine] = shared
    return groups, tiles, matrices


def _row_blocks(part: Part, layer: str) -> list[tuple[str, int, RowBlock]]:
    """Name, pack and inputs of every matrix that a part multiplies with."""
    return [
        (_name(layer, call.pack, number), call.pack, block)
        for call in part.calls
        for number, block in enumerate(call.stack, call.row_block)
    ]


def _name(layer: str, pack_number: int, row_block: int) -> str:
    return f"{layer}.{pack_number}.{row_block}"


def _part_tables(placed: PlacedPart, layer: str, index: dict[str, int]) -> tuple[Rows, Rows]:
    """Groups and tiles of a part as if it stood alone on core 0, each tile on its own crossbar."""
    groups: list[tuple[int, ...]] = []
    tiles: list[tuple[int, ...]] = []
    step = placed.blocks.columns_per_crossbar
    for number, call in enumerate(placed.part.calls):
        origin = placed.blocks.packs[call.pack].out0
        ranges = [(n, min(n + step, call.out1)) for n in range(call.out0, call.out1, step)]
        count, outputs = len(ranges) * len(call.stack), call.out1 - call.out0
        groups.append((0, number, len(tiles), count, call.block.rows, outputs, count))
        first_input = 0
        for row_block, block in enumerate(call.stack, call.row_block):
            matrix, rows = index[_name(layer, call.pack, row_block)], block.rows
            tiles += [
                (0, 0, 0, 0, matrix, 0, rows, n0 - origin, n1 - n0, n0 - call.out0, first_input)
                for n0, n1 in ranges
            ]
            first_input += rows
    return np.array(groups, np.int32), np.array(tiles, np.int32)


def _joined(parts: Sequence[PlacedPart], tables: Sequence[tuple[Rows, Rows]]) -> tuple[Rows, Rows]:
    """Groups and tiles of all parts, sorted by core, on crossbars that are still to be chosen."""
    core = np.array([placed.core for placed in parts], np.int32)
    first_group = np.array([placed.first_group for placed in parts], np.int32)
    group_counts = [len(groups) for groups, _ in tables]
    tile_counts = np.array([len(tiles) for _, tiles in tables], np.int32)
    groups = np.concatenate([np.zeros((0, len(GROUP_COLUMNS)), np.int32), *(g for g, _ in tables)])
    tiles = np.concatenate([np.zeros((0, len(TILE_COLUMNS)), np.int32), *(t for _, t in tables)])
    groups[:, CORE] = np.repeat(core, group_counts)
    groups[:, GROUP] += np.repeat(first_group, group_counts)
    groups[:, FIRST_TILE] += np.repeat(np.cumsum(tile_counts) - tile_counts, group_counts)
    tiles[:, TILE["core"]] = np.repeat(core, tile_counts)
    return groups, tiles


def _share_crossbars(
    table: Rows,
    owner: NDArray[np.int64],
    home: NDArray[np.int64],
    kind: CoreKind,
    per_weight: int,
) -> None:
    """Pack the tiles of each home; `owner` is the group of each tile.

    Many cores hold the same: they are packed once.
    """
    rows, columns = table[:, TILE["rows"]], table[:, TILE["columns"]]
    first = np.flatnonzero(np.diff(home, prepend=-1))
    counts = np.diff(first, append=len(table))
    group = owner - np.repeat(owner[first], counts)
    rectangles = np.column_stack([group, rows, columns * per_weight])
    known: dict[bytes, Rows] = {}
    spots: list[Rows] = []
    for mine in np.split(rectangles, first[1:]):
        key = mine.tobytes()
        if key not in known:
            tiles = [Rectangle(*tile) for tile in mine.tolist()]
            placed = pack(tiles, kind.crossbar.rows, kind.crossbar.columns)
            known[key] = np.array(placed, np.int32).reshape(-1, 3)
        spots.append(known[key])
    table[:, [TILE[n] for n in ("crossbar", "row_offset", "column_offset")]] = np.concatenate(spots)


def _matrix(placed: PlacedPart, store: WeightStore, number: int, block: RowBlock) -> NDArray[Any]:
    """Weight codes of a row block for all outputs of its pack."""
    integer = placed.op.integer
    key = integer.weight if integer is not None else ""
    whole = placed.blocks.packs[number]
    return block_matrix(placed.op, store[key], block, whole, placed.blocks.unroll)
