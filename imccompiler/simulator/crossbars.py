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
    row_blocks_of_group,
    tile_rectangles,
    tiles_of_group,
    written_groups,
)
from imccompiler.simulator.cells import CellScheme, adc_bits_needed, program_tile
from imccompiler.simulator.kernel import Converter, exact_dtype, multiply, multiply_exact
from imccompiler.simulator.noise import (
    Purpose,
    ReadNoise,
    Stream,
    levels_of_g_max,
    programmed_levels,
)

Mode = Literal["exact", "bit_serial", "adc"]
Product = Callable[[NDArray[Any], int, int, int], NDArray[np.int64]]
"""Sums (images, outputs) of input codes (images, rows) of so many bits, in the group's
multiplication of this number, for a batch whose first image has this number."""

_CONTENT = [
    TILE[c] for c in ("matrix", "matrix_row", "rows", "matrix_column", "columns", "output", "input")
]


class Crossbars:
    """Products of all groups of a program, made when first used.

    Groups with the same weights share one copy of them, unless programming makes them differ.

    Args:
        program: Whose groups.
        machine: With what crossbars and cells.
        mode: See `Executor`.
        seed: Of all noise.
        sample: Which chip of a Monte Carlo study.
    """

    def __init__(
        self, program: Program, machine: Machine, mode: Mode, *, seed: int = 0, sample: int = 0
    ) -> None:
        self._program = program
        self._kinds = [machine.core_kinds[k] for k in machine.kind_of_core()]
        self._mode: Mode = mode
        self._seed, self._sample = seed, sample
        self._index = {(g[CORE], g[GROUP]): i for i, g in enumerate(program.groups.tolist())}
        cores = program.groups[:, CORE]
        self._of_core = np.argsort(cores, kind="stable")
        self._starts = np.searchsorted(cores[self._of_core], np.arange(program.core_count + 1))
        self._shared: dict[Any, Product] = {}
        self._by_group: dict[tuple[int, int], Product | None] = {}

    def sizes(self, core: int) -> NDArray[np.int64]:
        """Rows and outputs of each group of a core, shape (groups, 2); no such group: zeros."""
        groups = self._program.groups
        of_core = groups[self._of_core[self._starts[core] : self._starts[core + 1]]]
        sizes = np.zeros((int(of_core[:, GROUP].max(initial=-1)) + 1, 2), np.int64)
        sizes[of_core[:, GROUP]] = of_core[:, [ROWS, OUTPUTS]]
        return sizes

    def product(self, core: int, group: int) -> Product | None:
        """The product of a group; None if there is no such group."""
        key = (core, group)
        if key not in self._by_group:
            index = self._index.get(key)
            self._by_group[key] = None if index is None else self._make(core, index)
        return self._by_group[key]

    def _make(self, core: int, index: int) -> Product:
        kind = self._kinds[core]
        converter = Converter.of(kind.crossbar)
        if (
            self._mode == "adc"
            and converter
            and (kind.cell.programming_error or kind.cell.read_noise)
        ):
            return self._noisy(core, index, converter)
        key = (kind.crossbar, kind.cell, _content(self._program, index))
        if key not in self._shared:
            weights = group_matrix(self._program, index)
            bits = self._program.weight_bits
            if self._mode == "exact":
                self._shared[key] = _exact(weights, bits)
            else:
                adc = converter if self._mode == "adc" else None
                rows = [_rows(tiles) for tiles in row_blocks_of_group(self._program, index)]
                self._shared[key] = _added(
                    [(r, _sliced(weights[r], kind, bits, adc)) for r in rows]
                )
        return self._shared[key]

    def _noisy(self, core: int, index: int, adc: Converter) -> Product:
        group = int(self._program.groups[index, GROUP])
        stream = Stream(self._seed, self._sample, Purpose.READING, core, group)
        weights = group_matrix(self._program, index)
        blocks: list[tuple[slice, Product]] = []
        for tiles in row_blocks_of_group(self._program, index):
            rows = _rows(tiles)
            blocks.append((rows, self._noisy_block(core, tiles, weights[rows], stream, adc)))
        return _added(blocks)

    def _noisy_block(
        self,
        core: int,
        tiles: NDArray[np.int32],
        weights: NDArray[np.int16],
        stream: Stream,
        adc: Converter,
    ) -> Product:
        kind = self._kinds[core]
        ideal = program_tile(weights, CellScheme.of(kind, self._program.weight_bits))
        cells = np.concatenate([self._programming_normals(kind, t) for t in tiles.tolist()], axis=2)
        normals = cells.reshape(ideal.rows, -1)
        tile = ideal._replace(
            cells=programmed_levels(
                ideal.cells, kind.cell, normals, pairs=ideal.scheme.signed_sums
            ),
            whole_levels=False,
        )
        sigma = kind.cell.read_noise * levels_of_g_max(kind.cell)
        first_row = _rows(tiles).start

        def noisy(x: NDArray[Any], bits: int, call: int, first: int) -> NDArray[np.int64]:
            noise = ReadNoise(sigma, stream, call, first, first_row) if sigma else None
            return multiply(tile, x, bits, adc, noise=noise)

        return noisy

    def _programming_normals(self, kind: CoreKind, tile: list[int]) -> NDArray[np.float32]:
        """Errors of a tile's cells, shape (rows, bit lines of a weight, columns)."""
        t = dict(zip(TILE, tile, strict=True))
        per_weight = kind.columns_per_weight(self._program.weight_bits)
        array = kind.crossbar
        stream = Stream(self._seed, self._sample, Purpose.PROGRAMMING, t["core"], t["crossbar"])
        # numbers belong to the crossbar's cells, row by row, whatever lies on them
        rows = stream.normals(t["rows"] * array.columns, start=t["row_offset"] * array.columns)
        lines = slice(t["column_offset"], t["column_offset"] + t["columns"] * per_weight)
        of_tile = rows.reshape(t["rows"], array.columns)[:, lines]
        return of_tile.reshape(t["rows"], t["columns"], per_weight).swapaxes(1, 2)


def adc_bits_of_groups(program: Program, machine: Machine) -> NDArray[np.int64]:
    """Converter bits with which each group of the table is exact, shape (groups,)."""
    kinds = machine.kind_of_core()
    needed: dict[Any, int] = {}
    bits = np.zeros(len(program.groups), np.int64)
    for index, core in enumerate(program.groups[:, CORE].tolist()):
        scheme = CellScheme.of(machine.core_kinds[kinds[core]], program.weight_bits)
        key = (scheme, _content(program, index))
        if key not in needed:
            weights = group_matrix(program, index)
            blocks = [weights[_rows(tiles)] for tiles in row_blocks_of_group(program, index)]
            needed[key] = max(int(adc_bits_needed(program_tile(b, scheme)).max()) for b in blocks)
        bits[index] = needed[key]
    return bits


def _content(program: Program, index: int) -> bytes:
    """What a group holds, wherever it lies."""
    tiles = tiles_of_group(program, index)[:, _CONTENT]
    return program.groups[index, [ROWS, OUTPUTS]].tobytes() + tiles.tobytes()


def _rows(tiles: NDArray[np.int32]) -> slice:
    """Inputs of a row block among those of its group."""
    begin = int(tiles[0, TILE["input"]])
    return slice(begin, begin + int(tiles[0, TILE["rows"]]))


def _added(blocks: list[tuple[slice, Product]]) -> Product:
    """The sum over row blocks: each is converted by itself, the digital results are added."""
    if len(blocks) == 1:
        return blocks[0][1]

    def added(x: NDArray[Any], bits: int, call: int, first: int) -> NDArray[np.int64]:
        rows, product = blocks[0]
        sums = product(x[:, rows], bits, call, first)
        for rows, product in blocks[1:]:
            sums = sums + product(x[:, rows], bits, call, first)
        return sums

    return added


def _exact(weights: NDArray[np.int16], weight_bits: int) -> Product:
    planes: dict[Any, NDArray[Any]] = {}

    def exact(x: NDArray[Any], bits: int, _call: int, _first: int) -> NDArray[np.int64]:
        dtype = exact_dtype(np, len(weights), weight_bits, bits)
        if dtype not in planes:
            planes[dtype] = weights.astype(dtype)
        return multiply_exact(planes[dtype], x)

    return exact


def _sliced(
    weights: NDArray[np.int16], kind: CoreKind, weight_bits: int, adc: Converter | None
) -> Product:
    tile = program_tile(weights, CellScheme.of(kind, weight_bits))
    return lambda x, bits, _call, _first: multiply(tile, x, bits, adc)


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
