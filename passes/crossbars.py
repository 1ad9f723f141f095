"""Weights on crossbars: the groups and tiles of a program, and the matrices they cut."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.ir.store import WeightStore
from imccompiler.passes.blocks import RowBlock, block_matrix
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
    return (
        np.array(groups, np.int32).reshape(-1, 7),
        np.array(tiles, np.int32).reshape(-1, 11),
        matrices,
    )


def _matrix(placed: PlacedPart, store: WeightStore, pack: int, block: RowBlock) -> NDArray[Any]:
    """Weight codes of a row block for all outputs of its pack."""
    integer = placed.op.integer
    key = integer.weight if integer is not None else ""
    whole = placed.blocks.packs[pack]
    return block_matrix(placed.op, store[key], block, whole, placed.blocks.unroll)
