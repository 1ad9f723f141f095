"""Weights on crossbars: the groups and tiles of a program, and the matrices they cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.hardware.schema import Machine
from imccompiler.ir.store import WeightStore
from imccompiler.passes.blocks import RowBlock, block_matrix
from imccompiler.passes.build import Built, PlacedPart
from imccompiler.passes.packing import Rectangle, pack
from imccompiler.program.artifact import GROUP_COLUMNS, TILE_COLUMNS
from imccompiler.program.tiles import TILE, TILES

Tables = tuple[NDArray[np.int32], NDArray[np.int32], dict[str, NDArray[Any]]]


def crossbar_tables(built: Built, machine: Machine, store: WeightStore) -> Tables:
    """Groups and tiles (columns as in `program/artifact.py`) and matrices by name.

    Copies share their matrices. Where a core does one thing at a time, small tiles share
    crossbars, which costs nothing; elsewhere every tile has a crossbar of its own, so that
    groups can work at once.
    """
    matrices: dict[str, NDArray[Any]] = {}
    index: dict[str, int] = {}
    groups: list[tuple[int, ...]] = []
    tiles: list[tuple[int, ...]] = []
    next_crossbar: dict[int, int] = {}
    parts = sorted(built.parts, key=lambda p: (p.core, p.first_group))
    for placed in parts:
        step = placed.blocks.columns_per_crossbar
        for number, call in enumerate(placed.part.calls):
            origin = placed.blocks.packs[call.pack].out0
            crossbar = next_crossbar.get(placed.core, 0)
            ranges = [(n, min(n + step, call.out1)) for n in range(call.out0, call.out1, step)]
            groups.append(
                (
                    placed.core,
                    placed.first_group + number,
                    len(tiles),
                    len(ranges) * len(call.stack),
                    call.block.rows,
                    call.out1 - call.out0,
                    len(ranges) * len(call.stack),
                )
            )
            first_input = 0
            for row_block, block in enumerate(call.stack, call.row_block):
                name = f"{built.layers[placed.layer]}.{call.pack}.{row_block}"
                if name not in index:
                    index[name] = len(index)
                    matrices[name] = _matrix(placed, store, call.pack, block)
                for n0, n1 in ranges:
                    tiles.append(
                        (
                            placed.core,
                            crossbar,
                            0,
                            0,
                            index[name],
                            0,
                            block.rows,
                            n0 - origin,
                            n1 - n0,
                            n0 - call.out0,
                            first_input,
                        )
                    )
                    crossbar += 1
                first_input += block.rows
            next_crossbar[placed.core] = crossbar
    table = np.array(tiles, np.int32).reshape(-1, len(TILE_COLUMNS))
    if machine.main_kind.rob_size == 1:
        owner = np.repeat(np.arange(len(groups)), [g[TILES] for g in groups])
        _share_crossbars(table, owner, machine)
    return np.array(groups, np.int32).reshape(-1, len(GROUP_COLUMNS)), table, matrices


def _share_crossbars(table: NDArray[np.int32], owner: NDArray[np.int64], machine: Machine) -> None:
    """Pack the tiles of each core; `owner` is the group of each tile."""
    kind = machine.main_kind
    per_weight = kind.columns_per_weight(machine.weight_bits)
    core, rows, columns = (table[:, TILE[n]] for n in ("core", "rows", "columns"))
    for number in np.unique(core).tolist():
        mine = np.flatnonzero(core == number)
        rectangles = [
            Rectangle(*item)
            for item in zip(
                owner[mine].tolist(),
                rows[mine].tolist(),
                (columns[mine] * per_weight).tolist(),
                strict=True,
            )
        ]
        spots = np.array(pack(rectangles, kind.crossbar.rows, kind.crossbar.columns), np.int32)
        for index, name in enumerate(("crossbar", "row_offset", "column_offset")):
            table[mine, TILE[name]] = spots[:, index]


def _matrix(placed: PlacedPart, store: WeightStore, pack: int, block: RowBlock) -> NDArray[Any]:
    """Weight codes of a row block for all outputs of its pack."""
    integer = placed.op.integer
    key = integer.weight if integer is not None else ""
    whole = placed.blocks.packs[pack]
    return block_matrix(placed.op, store[key], block, whole, placed.blocks.unroll)
