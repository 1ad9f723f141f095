"""The crossbar groups of a program: their products, and which of them are programmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from imccompiler.hardware.schema import CoreKind, Machine
from imccompiler.program.artifact import Program
from imccompiler.program.tiles import (
    CORE,
    GROUP,
    OUTPUTS,
    ROWS,
    TILE,
    group_matrix,
    group_of_tiles,
    overlapping_pairs,
    tile_rectangles,
    tiles_of_group,
    written_groups,
)
from imccompiler.simulator.cells import CellScheme, adc_bits_needed, program_tile
from imccompiler.simulator.kernel import Converter, exact_dtype, multiply, multiply_exact

Mode = Literal["exact", "bit_serial", "adc"]
Product = Callable[[NDArray[Any], int], NDArray[np.int64]]
"""Sums (images, outputs) of input codes (images, rows) of so many bits."""

_CONTENT = [TILE[c] for c in ("matrix", "matrix_row", "rows", "matrix_column", "columns", "output")]


class Crossbars:
    """Products of all groups of a program, made when first used.

    Groups with the same weights share one copy of them.
    """

    def __init__(self, program: Program, machine: Machine, mode: Mode) -> None:
        self._program = program
        self._kinds = [machine.core_kinds[k] for k in machine.kind_of_core()]
        self._mode: Mode = mode
        self._index = {(g[CORE], g[GROUP]): i for i, g in enumerate(program.groups.tolist())}
        self._shared: dict[Any, Product] = {}
        self._by_group: dict[tuple[int, int], Product | None] = {}

    def sizes(self, core: int) -> NDArray[np.int64]:
        """Rows and outputs of each group of a core, shape (groups, 2); no such group: zeros."""
        groups = self._program.groups
        of_core = groups[groups[:, CORE] == core]
        sizes = np.zeros((int(of_core[:, GROUP].max(initial=-1)) + 1, 2), np.int64)
        sizes[of_core[:, GROUP]] = of_core[:, [ROWS, OUTPUTS]]
        return sizes

    def product(self, core: int, group: int) -> Product | None:
        """The product of a group; None if there is no such group."""
        key = (core, group)
        if key not in self._by_group:
            index = self._index.get(key)
            self._by_group[key] = None if index is None else self._shared_product(core, index)
        return self._by_group[key]

    def _shared_product(self, core: int, index: int) -> Product:
        kind = self._kinds[core]
        key = (kind.crossbar, kind.cell, _content(self._program, index))
        if key not in self._shared:
            weights = group_matrix(self._program, index)
            self._shared[key] = _product(weights, kind, self._program.weight_bits, self._mode)
        return self._shared[key]


def adc_bits_of_groups(program: Program, machine: Machine) -> NDArray[np.int64]:
    """Converter bits with which each group of the table is exact, shape (groups,)."""
    kinds = machine.kind_of_core()
    needed: dict[Any, int] = {}
    bits = np.zeros(len(program.groups), np.int64)
    for index, core in enumerate(program.groups[:, CORE].tolist()):
        scheme = CellScheme.of(machine.core_kinds[kinds[core]], program.weight_bits)
        key = (scheme, _content(program, index))
        if key not in needed:
            tile = program_tile(group_matrix(program, index), scheme)
            needed[key] = int(adc_bits_needed(tile).max())
        bits[index] = needed[key]
    return bits


def _content(program: Program, index: int) -> bytes:
    """What a group holds, wherever it lies."""
    tiles = tiles_of_group(program, index)[:, _CONTENT]
    return program.groups[index, [ROWS, OUTPUTS]].tobytes() + tiles.tobytes()


def _product(weights: NDArray[np.int16], kind: CoreKind, weight_bits: int, mode: Mode) -> Product:
    if mode == "exact":
        planes: dict[Any, NDArray[Any]] = {}

        def exact(x: NDArray[Any], bits: int) -> NDArray[np.int64]:
            dtype = exact_dtype(np, len(weights), weight_bits, bits)
            if dtype not in planes:
                planes[dtype] = weights.astype(dtype)
            return multiply_exact(planes[dtype], x)

        return exact
    tile = program_tile(weights, CellScheme.of(kind, weight_bits))
    adc = Converter.of(kind.crossbar) if mode == "adc" else None
    return lambda x, bits: multiply(tile, x, bits, adc)


class Residency:
    """Which groups are programmed, where groups take turns on the same cells.

    A group that an `mvwr` names and that shares cells with another is not programmed before
    it; programming one takes the cells from the others.
    """

    def __init__(self, program: Program, machine: Machine) -> None:
        self._rivals: dict[tuple[int, int], set[tuple[int, int]]] = {}
        self._absent: set[tuple[int, int]] = set()
        written = written_groups(program)
        if not written:
            return
        owner = group_of_tiles(program)
        names = [(g[CORE], g[GROUP]) for g in program.groups.tolist()]
        for s, t in overlapping_pairs(tile_rectangles(program, machine)).tolist():
            a, b = names[owner[s]], names[owner[t]]
            self._rivals.setdefault(a, set()).add(b)
            self._rivals.setdefault(b, set()).add(a)
        self._absent = written & set(self._rivals)

    def programmed(self, core: int, group: int) -> bool:
        """Whether the group's weights stand on its crossbars."""
        return (core, group) not in self._absent

    def write(self, core: int, group: int) -> None:
        """Program a group."""
        self._absent.discard((core, group))
        self._absent |= self._rivals.get((core, group), set())
