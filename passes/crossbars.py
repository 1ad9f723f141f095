"""Weights on crossbars: the groups and tiles of a program, and the matrices they cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.ir.store import WeightStore
from imccompiler.passes.blocks import block_matrix
from imccompiler.passes.build import Built, PlacedPart

Tables = tuple[NDArray[np.int32], NDArray[np.int32], dict[str, NDArray[Any]]]


def crossbar_tables(built: Built, store: WeightStore) -> Tables:
    """Groups and tiles (columns as in `program/artifact.py`) and matrices by name.

    Every tile gets a crossbar of its own. Copies share their matrices.
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
            name = f"{built.layers[placed.layer]}.{call.pack}.{call.row_block}"
            if name not in index:
                index[name] = len(index)
                matrices[name] = _matrix(placed, store, call.pack, call.row_block)
            origin = placed.blocks.packs[call.pack].out0
            crossbar = next_crossbar.get(placed.core, 0)
            ranges = [(n, min(n + step, call.out1)) for n in range(call.out0, call.out1, step)]
            groups.append(
                (
                    placed.core,
                    placed.first_group + number,
                    len(tiles),
                    len(ranges),
                    call.block.rows,
                    call.out1 - call.out0,
                    len(ranges),
                )
            )
            for n0, n1 in ranges:
                tiles.append(
                    (
                        placed.core,
                        crossbar,
                        0,
                        0,
                        index[name],
                        0,
                        call.block.rows,
                        n0 - origin,
                        n1 - n0,
                        n0 - call.out0,
                    )
                )
                crossbar += 1
            next_crossbar[placed.core] = crossbar
    return (
        np.array(groups, np.int32).reshape(-1, 7),
        np.array(tiles, np.int32).reshape(-1, 10),
        matrices,
    )


def _matrix(placed: PlacedPart, store: WeightStore, pack: int, row_block: int) -> NDArray[Any]:
    """Weight codes of a row block for all outputs of its pack."""
    integer = placed.op.integer
    key = integer.weight if integer is not None else ""
    whole = placed.blocks.packs[pack]
    block = whole.row_blocks[row_block]
    return block_matrix(placed.op, store[key], block, whole, placed.blocks.unroll)
