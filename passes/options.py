"""What replicating and splitting a layer costs and brings: the options `replicate` has."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from imccompiler.hardware.cores import cores_of_kind
from imccompiler.ir.decisions import IntegerMatmul, Replication
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext
from imccompiler.passes.blocks import LayerBlocks, layer_blocks
from imccompiler.passes.geometry import Box, best_grid, cut
from imccompiler.passes.kinds import kind_name
from imccompiler.passes.spread import Sums, Works, busy_ns, spread, works_of

PART_NS = 40.0
"""Time that one more part must save: it costs its neighbours messages, and the compiler work.
Measured on the named networks, where 20 to 60 ns are as good or better than none and 150 worse."""
LARGEST_UNROLL = 8


@dataclass(frozen=True, slots=True)
class Option:
    """One way to replicate a layer.

    Attributes:
        grid, row_split, column_split, unroll: As in `Replication`.
        crossbars: Of all copies together.
        parts: Cores that work at once.
        largest_part: Crossbars of the largest part.
        time_ns: Busy time of the busiest part for one image, and `PART_NS` for every part.
    """

    grid: tuple[int, int]
    row_split: int
    column_split: int
    unroll: int
    crossbars: int
    parts: int
    largest_part: int
    time_ns: float

    @property
    def replication(self) -> Replication:
        """The decision."""
        y, x = self.grid
        return Replication(y * x, self.row_split, self.column_split, self.grid, self.unroll)


def layer_options(op: MatmulOp, whole: Box, context: CompileContext) -> list[Option]:
    """All options that are worth considering on the layer's kind of core, cheapest first.

    Raises:
        PassError: The layer cannot be cut for this machine.
    """
    if op.tiling is None:
        return []
    return options_on(kind_name(op, context.machine), op, whole, context, op.tiling.pack)


def options_on(
    kind: str, op: MatmulOp, whole: Box, context: CompileContext, pack: int
) -> list[Option]:
    """All options that are worth considering on a kind of core, cheapest first.

    `pack` is as in `layer_blocks`.

    Raises:
        PassError: The layer cannot be cut for this machine.
    """
    if op.integer is None:
        return []
    machine, bits = context.machine, op.integer.weight_bits
    cuts: list[LayerBlocks] = []
    fewest = float("inf")
    for unroll in _unrolls(op, whole):
        blocks = layer_blocks(op, machine, bits, pack, unroll, machine.core_kinds[kind])
        products = blocks.products / unroll  # for each output
        if products < fewest:
            fewest = products
            cuts.append(blocks)
    ways = _ways(tuple(cuts), whole)
    return _best_options(ways, op.integer, context, kind)


@dataclass(frozen=True, slots=True, eq=False)
class _Ways:
    """All ways to spread one copy of a layer, and their busiest parts.

    Attributes:
        unroll, row_split, column_split: As in `Replication`, shape (ways,).
        height, width: Of the output as the windows see it, shape (ways,).
        crossbars, largest: Of a copy and of its largest part, shape (ways,).
        works: Of the busiest parts.
    """

    unroll: NDArray[np.int64]
    row_split: NDArray[np.int64]
    column_split: NDArray[np.int64]
    height: NDArray[np.int64]
    width: NDArray[np.int64]
    crossbars: NDArray[np.int64]
    largest: NDArray[np.int64]
    works: Works


@lru_cache(maxsize=1 << 9)
def _ways(cuts: tuple[LayerBlocks, ...], whole: Box) -> _Ways:
    """Ways to spread a layer that is cut in one of several ways; `whole` is its output."""
    copies = [
        spread(blocks, row_split, column_split)
        for blocks in cuts
        for column_split in _splits(len(blocks.column_units))
        for row_split in _row_splits(blocks)
    ]
    outputs = [copy.blocks.grouped(whole).shape[:2] for copy in copies]
    sizes = [(int(copy.crossbars.sum()), int(copy.crossbars.max())) for copy in copies]
    splits = [(copy.blocks.unroll, *copy.crossbars.shape) for copy in copies]
    unroll, row_split, column_split = np.array(splits).T
    height, width = np.array(outputs).T
    crossbars, largest = np.array(sizes).T
    works = works_of(copies, outputs)
    return _Ways(unroll, row_split, column_split, height, width, crossbars, largest, works)


def _best_options(
    ways: _Ways, integer: IntegerMatmul, context: CompileContext, kind: str
) -> list[Option]:
    """The options with these ways on a kind of core that no other beats."""
    machine = context.machine
    count = int(cores_of_kind(machine, kind).sum())
    cores = ways.row_split * ways.column_split
    fit = np.flatnonzero(ways.largest <= machine.core_kinds[kind].crossbars)
    rooms = zip(*(a[fit].tolist() for a in (ways.height, ways.width, cores)), strict=True)
    grids = [_grids(height, width, count // taken) for height, width, taken in rooms]
    way = np.repeat(fit, [len(found) for found in grids])
    rows, columns = np.concatenate([np.zeros((0, 2), np.int64), *grids]).T
    height, width = -(-ways.height[way] // rows), -(-ways.width[way] // columns)
    copies = rows * columns
    parts, crossbars = copies * cores[way], copies * ways.crossbars[way]
    sums = Sums.of([integer] * len(ways.unroll))
    time = busy_ns(ways.works, way, height, width, sums, context, kind) + PART_NS * parts
    best = unbeaten(crossbars, time, parts)
    way = way[best]
    grid = zip(rows[best].tolist(), columns[best].tolist(), strict=True)
    of_way = (ways.row_split[way], ways.column_split[way], ways.unroll[way])
    fields = (*of_way, crossbars[best], parts[best], ways.largest[way], time[best])
    return [Option(*row) for row in zip(grid, *(a.tolist() for a in fields), strict=True)]


def unbeaten(
    crossbars: NDArray[np.int64], time_ns: NDArray[np.float64], parts: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Options that no other beats in both crossbars and time, by growing crossbars.

    Of equals it is the one with fewer parts, then the first.
    """
    order = np.lexsort((parts, time_ns, crossbars))
    time = time_ns[order]
    faster = np.ones(len(order), bool)
    faster[1:] = time[1:] < np.minimum.accumulate(time)[:-1]
    return order[faster]


def finest_option(
    op: MatmulOp, whole: Box, context: CompileContext, *, crowded: bool = False
) -> Option | None:
    """One copy whose largest part is smallest, of those with the fewest crossbars.

    If `crowded`, a core may hold as many parts as it has crossbars, else one.
    """
    if op.integer is None or op.tiling is None:
        return None
    machine = context.machine
    blocks = layer_blocks(op, machine, op.integer.weight_bits, op.tiling.pack)
    ways = _ways((blocks,), whole)
    cores = ways.row_split * ways.column_split
    kind = kind_name(op, machine)
    count = int(cores_of_kind(machine, kind).sum())
    count *= machine.core_kinds[kind].crossbars if crowded else 1
    fit = np.flatnonzero((ways.largest <= machine.core_kinds[kind].crossbars) & (cores <= count))
    if not len(fit):
        return None
    way = fit[np.lexsort((cores[fit], ways.crossbars[fit], ways.largest[fit]))[0]]
    sums = Sums.of([op.integer] * len(ways.unroll))
    height, width = ways.height[[way]], ways.width[[way]]
    time = busy_ns(ways.works, np.array([way]), height, width, sums, context, kind)
    return Option(
        (1, 1),
        int(ways.row_split[way]),
        int(ways.column_split[way]),
        int(ways.unroll[way]),
        int(ways.crossbars[way]),
        int(cores[way]),
        int(ways.largest[way]),
        float(time[0]),
    )


def smallest_largest_part(blocks: LayerBlocks, cores: int) -> int:
    """Crossbars of the largest part when a copy is spread over `cores` as well as can be."""
    return min(
        int(spread(blocks, row_split, column_split).crossbars.max())
        for column_split in _splits(len(blocks.column_units))
        for row_split in _row_splits(blocks)
        if row_split * column_split <= cores
    )


def _unrolls(op: MatmulOp, whole: Box) -> list[int]:
    """How many neighbouring outputs one window may make: divisors of the output's width."""
    if op.window.groups > 1 or any(d > 1 for d in op.window.dilations[-1:]):
        return [1]
    return [u for u in range(1, min(LARGEST_UNROLL, whole.width) + 1) if whole.width % u == 0]


def _splits(units: int) -> list[int]:
    """Split counts that give distinct largest shares."""
    return sorted({-(-units // share) for share in range(1, units + 1)})


def _row_splits(blocks: LayerBlocks) -> list[int]:
    """Splits of the row blocks in which no share reaches over channels that it needs in part.

    A share that has some taps of one block of channels and some of the next would need the input
    of both; shares are whole blocks of channels, or lie inside one.
    """
    row_blocks = blocks.packs[0].row_blocks
    edges = {0, len(row_blocks)} | {
        i
        for i in range(1, len(row_blocks))
        if row_blocks[i].segments[0].channel != row_blocks[i - 1].segments[0].channel
        and len(row_blocks[i].segments) == 1
    }
    return [
        split
        for split in _splits(len(row_blocks))
        if all(
            (a in edges and b in edges) or not any(a < e < b for e in edges)
            for a, b in cut(len(row_blocks), split)
        )
    ]


@lru_cache(maxsize=1 << 12)
def _grids(height: int, width: int, most: int) -> NDArray[np.int64]:
    """Grids of copies worth trying, shape (grids, 2): one for every size of the largest tile."""
    grids: dict[int, tuple[int, int]] = {}
    for copies in range(1, min(most, height * width) + 1):
        grid = best_grid(height, width, copies)
        tile = -(-height // grid[0]) * -(-width // grid[1])
        grids.setdefault(tile, grid)
    found = np.array([*grids.values()], np.int64).reshape(-1, 2)
    found.setflags(write=False)  # it is kept
    return found
