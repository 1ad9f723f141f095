"""The crossbar groups of a program: their products, and which of them is programmed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from imccompiler.hardware.schema import CoreKind, Machine
from imccompiler.program.artifact import GROUP_COLUMNS, TILE_COLUMNS, Program
from imccompiler.program.isa import IMM, OP, Op
from imccompiler.simulator.cells import CellScheme, ProgrammedTile, adc_bits_needed, program_tile
from imccompiler.simulator.kernel import Converter, exact_dtype, multiply, multiply_exact

Mode = Literal["exact", "bit_serial", "adc"]
Product = Callable[[NDArray[Any], int], NDArray[np.int64]]
"""Sums (images, outputs) of input codes (images, rows) of so many bits."""

_CORE, _GROUP, _FIRST_TILE, _TILES, _ROWS, _OUTPUTS, _ = range(len(GROUP_COLUMNS))
_TILE = {name: i for i, name in enumerate(TILE_COLUMNS)}
_CONTENT = [
    _TILE[c] for c in ("matrix", "matrix_row", "rows", "matrix_column", "columns", "output")
]


class Crossbars:
    """Products of all groups of a program, made when first used.

    Groups with the same weights share one copy of them.
    """

    def __init__(self, program: Program, machine: Machine, mode: Mode) -> None:
        self._program = program
        self._kinds = [machine.core_kinds[k] for k in machine.kind_of_core()]
        self._mode: Mode = mode
        self._index = {(g[_CORE], g[_GROUP]): i for i, g in enumerate(program.groups.tolist())}
        self._products: dict[Any, Product] = {}
        self._by_group: dict[tuple[int, int], Product | None] = {}

    def sizes(self, core: int) -> NDArray[np.int64]:
        """Rows and outputs of each group of a core, shape (groups, 2); no such group: zeros."""
        groups = self._program.groups
        of_core = groups[groups[:, _CORE] == core]
        sizes = np.zeros((int(of_core[:, _GROUP].max(initial=-1)) + 1, 2), np.int64)
        sizes[of_core[:, _GROUP]] = of_core[:, [_ROWS, _OUTPUTS]]
        return sizes

    def product(self, core: int, group: int) -> Product | None:
        """The product of a group; None if there is no such group."""
        key = (core, group)
        if key not in self._by_group:
            index = self._index.get(key)
            self._by_group[key] = None if index is None else self._shared_product(core, index)
        return self._by_group[key]

    def _shared_product(self, core: int, index: int) -> Product:
        row = self._program.groups[index]
        tiles = _tiles_of(self._program, index)
        key = (self._kinds[core].crossbar, tiles[:, _CONTENT].tobytes(), int(row[_OUTPUTS]))
        if key not in self._products:
            weights = group_matrix(self._program, index)
            self._products[key] = _make_product(
                weights, self._kinds[core], self._program.weight_bits, self._mode
            )
        return self._products[key]


def group_matrix(program: Program, index: int) -> NDArray[np.int16]:
    """Weight codes of the group in row `index` of the table, shape (rows, outputs)."""
    matrix = np.zeros(program.groups[index, [_ROWS, _OUTPUTS]], np.int16)
    matrices = list(program.matrices.values())
    for tile in _tiles_of(program, index).tolist():
        t = dict(zip(TILE_COLUMNS, tile, strict=True))
        matrix[: t["rows"], t["output"] : t["output"] + t["columns"]] = matrices[t["matrix"]][
            t["matrix_row"] : t["matrix_row"] + t["rows"],
            t["matrix_column"] : t["matrix_column"] + t["columns"],
        ]
    return matrix


def adc_bits_of_groups(program: Program, machine: Machine) -> NDArray[np.int64]:
    """Converter bits with which each group of the table is exact, shape (groups,)."""
    kinds = [machine.core_kinds[k] for k in machine.kind_of_core()]
    needed: dict[Any, int] = {}
    bits = np.zeros(len(program.groups), np.int64)
    for index, group in enumerate(program.groups.tolist()):
        scheme = CellScheme.of(kinds[group[_CORE]], program.weight_bits)
        key = (scheme, _tiles_of(program, index)[:, _CONTENT].tobytes())
        if key not in needed:
            tile = program_tile(group_matrix(program, index), scheme)
            needed[key] = int(adc_bits_needed(tile).max())
        bits[index] = needed[key]
    return bits


class Residency:
    """Which groups of a core are programmed, where groups share cells in turn.

    Groups that an `mvwr` names and that overlap others on a crossbar are not programmed before
    it; programming one takes the cells from those that overlap it.
    """

    def __init__(self, program: Program, core: int) -> None:
        begin, end = program.core_start[core : core + 2]
        code = program.code[begin:end]
        written = set(code[code[:, OP] == Op.MVWR, IMM].tolist())
        self._rivals = _rivals(program, core) if written else {}
        self._absent = {g for g in written if self._rivals.get(g)}

    def programmed(self, group: int) -> bool:
        """Whether the group's weights stand on its crossbars."""
        return group not in self._absent

    def write(self, group: int) -> None:
        """Program a group."""
        self._absent.discard(group)
        self._absent |= self._rivals.get(group, set())


def _rivals(program: Program, core: int) -> dict[int, set[int]]:
    """For each group of a core, the groups whose tiles overlap its own."""
    rows = [i for i, g in enumerate(program.groups.tolist()) if g[_CORE] == core]
    rectangles = [
        (int(program.groups[i, _GROUP]), t) for i in rows for t in _tiles_of(program, i).tolist()
    ]
    rivals: dict[int, set[int]] = {}
    for i, (a, s) in enumerate(rectangles):
        for b, t in rectangles[:i]:
            if a != b and _share_cells(s, t):
                rivals.setdefault(a, set()).add(b)
                rivals.setdefault(b, set()).add(a)
    return rivals


def _share_cells(s: list[int], t: list[int]) -> bool:
    """Whether two tiles share rows and columns of a crossbar (column offsets in bit lines)."""
    return s[_TILE["crossbar"]] == t[_TILE["crossbar"]] and all(
        s[_TILE[start]] < t[_TILE[start]] + t[_TILE[size]]
        and t[_TILE[start]] < s[_TILE[start]] + s[_TILE[size]]
        for start, size in (("row_offset", "rows"), ("column_offset", "columns"))
    )


def _tiles_of(program: Program, index: int) -> NDArray[np.int32]:
    first, count = program.groups[index, [_FIRST_TILE, _TILES]]
    return program.tiles[first : first + count]


def _make_product(
    weights: NDArray[np.int16], kind: CoreKind, weight_bits: int, mode: Mode
) -> Product:
    if mode == "exact":
        planes = {dtype: weights.astype(dtype) for dtype in (np.float32, np.float64)[:1]}

        def exact(x: NDArray[Any], bits: int) -> NDArray[np.int64]:
            dtype = exact_dtype(np, len(weights), weight_bits, bits)
            if dtype not in planes:
                planes[dtype] = weights.astype(dtype)
            return multiply_exact(planes[dtype], x, bits)

        return exact

    tile: ProgrammedTile = program_tile(weights, CellScheme.of(kind, weight_bits))
    adc = Converter.of(kind.crossbar) if mode == "adc" else None
    return lambda x, bits: multiply(tile, x, bits, adc)
