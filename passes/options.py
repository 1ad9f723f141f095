"""What replicating and splitting a layer costs and brings: the options `replicate` has."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost.machine import MachineTiming
from imccompiler.cost.rounding import PS_PER_NS
from imccompiler.hardware.schema import Machine
from imccompiler.ir.decisions import Replication
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.blocks import LayerBlocks, Part, layer_blocks, parts_of_copy
from imccompiler.passes.compute import gathered_bytes
from imccompiler.passes.geometry import Box, Window2d, best_grid, cut
from imccompiler.program.isa import byte_width

PART_NS = 40.0
"""Time that one more part must save: it costs its neighbours messages, and the compiler work.
Measured on the named networks, where 20 to 60 ns are as good or better than none and 150 worse."""
LARGEST_UNROLL = 8
EXCHANGE_WEIGHT = 2
"""Partial sums cost more than the two cores' work: each side also waits for the other. Measured on
ResNet-18 for `pimcomp`, where weights from 1.5 to 3 were tried."""


@dataclass(frozen=True, slots=True)
class Option:
    """One way to replicate a layer.

    Attributes:
        replication: The decision.
        crossbars: Of all copies together.
        parts: Cores that work at once.
        largest_part: Crossbars of the largest part.
        time_ns: Busy time of the busiest part for one image, and `PART_NS` for every part.
        work_ns: Busy time of all parts together.
    """

    replication: Replication
    crossbars: int
    parts: int
    largest_part: int
    time_ns: float
    work_ns: float


def layer_options(op: MatmulOp, machine: Machine, whole: Box, times: MachineTiming) -> list[Option]:
    """All options that are worth considering, cheapest first.

    Raises:
        PassError: The layer cannot be cut for this machine.
    """
    if op.integer is None or op.tiling is None:
        return []
    options: list[Option] = []
    fewest = float("inf")
    for unroll in _unrolls(op, whole):
        blocks = layer_blocks(op, machine, op.integer.weight_bits, op.tiling.pack, unroll)
        products = blocks.products / unroll  # for each output
        if products < fewest:
            fewest = products
            options += _options_of(op, machine, blocks, blocks.grouped(whole), times)
    return prune(options)


def _options_of(
    op: MatmulOp, machine: Machine, blocks: LayerBlocks, whole: Box, times: MachineTiming
) -> list[Option]:
    """Options of a layer that is cut so; `whole` is its output in groups."""
    options: list[Option] = []
    for column_split in _splits(len(blocks.column_units)):
        for row_split in _row_splits(blocks):
            parts = parts_of_copy(blocks, row_split, column_split)
            sizes = [p.crossbars(blocks.columns_per_crossbar) for p in parts]
            if max(sizes) > machine.main_kind.crossbars:
                continue
            grids = _grids(whole.height, whole.width, machine.core_count // len(parts))
            if not grids:
                continue
            tiles = np.array([[-(-whole.height // y), -(-whole.width // x)] for y, x in grids])
            found = part_times_ns(op, blocks, parts, tiles, row_split, times, machine)
            for grid, busy in zip(grids, found.tolist(), strict=True):
                copies = grid[0] * grid[1]
                replication = Replication(copies, row_split, column_split, grid, blocks.unroll)
                count = copies * len(parts)
                options.append(
                    Option(
                        replication,
                        copies * sum(sizes),
                        count,
                        max(sizes),
                        busy + PART_NS * count,
                        busy * count,
                    )
                )
    return options


def smallest_largest_part(blocks: LayerBlocks, machine: Machine) -> int:
    """Crossbars of the largest part when a copy is spread over the cores as well as can be."""
    return min(
        max(p.crossbars(blocks.columns_per_crossbar) for p in parts)
        for column_split in _splits(len(blocks.column_units))
        for row_split in _row_splits(blocks)
        if len(parts := parts_of_copy(blocks, row_split, column_split)) <= machine.core_count
    )


def _unrolls(op: MatmulOp, whole: Box) -> list[int]:
    """How many neighbouring outputs one window may make: divisors of the output's width."""
    if op.window.groups > 1 or any(d > 1 for d in op.window.dilations[-1:]):
        return [1]
    return [u for u in range(1, min(LARGEST_UNROLL, whole.width) + 1) if whole.width % u == 0]


def prune(options: Iterable[Option]) -> list[Option]:
    """Options that no other beats in both crossbars and time, by growing crossbars."""
    kept: list[Option] = []
    for option in sorted(options, key=lambda o: (o.crossbars, o.time_ns, o.parts)):
        if not kept or option.time_ns < kept[-1].time_ns:
            kept.append(option)
    return kept


def part_time_ns(
    op: MatmulOp,
    blocks: LayerBlocks,
    parts: list[Part],
    tile: Box,
    row_split: int,
    times: MachineTiming,
    machine: Machine,
) -> float:
    """Busy time of one part for one image if its tile of the output is `tile`."""
    tiles = np.array([[tile.height, tile.width]])
    return float(part_times_ns(op, blocks, parts, tiles, row_split, times, machine)[0])


def part_times_ns(
    op: MatmulOp,
    blocks: LayerBlocks,
    parts: list[Part],
    tiles: NDArray[np.int64],
    row_split: int,
    times: MachineTiming,
    machine: Machine,
) -> NDArray[np.float64]:
    """Busy time of the busiest part for one image, for tiles of several sizes.

    It consists of windows, row-block sums, completion, input and partial sums.

    Args:
        op: The layer, quantised.
        blocks: Its cut.
        parts: Parts of one copy.
        tiles: Rows and columns of the output's tiles, shape (tiles, 2).
        row_split: Parts that share the row blocks of a column.
        times: Of the machine.
        machine: The machine.
    """
    integer = op.integer
    if integer is None:
        return np.zeros(len(tiles))
    core, positions = times.main, tiles[:, 0] * tiles[:, 1]
    part = max(parts, key=lambda p: sum(len(c.stack) for c in p.calls))
    accumulator, product = byte_width(integer.accumulator_bits), byte_width(integer.product_bits)
    code = byte_width(machine.activation_bits)
    widest = Box(0, int(tiles[:, 0].max()), 0, int(tiles[:, 1].max()), 0, part.columns)
    calls = [
        core.mvmul_ps(machine.activation_bits, columns, integer.accumulator_bits, rows)
        for rows, columns in part.shapes(blocks.columns_per_crossbar)
    ]
    in_flight = min(machine.main_kind.rob_size, len(calls))
    gathered = gathered_bytes(part, blocks.window, part.reach(blocks.window, widest))
    window = max(*calls, sum(calls) // in_flight) + core.lmv_ps(gathered)
    elements = positions * part.columns
    own = -(-elements // row_split)
    add = core.vector_ps(own, 2, own * accumulator, own * accumulator)
    total = positions * window + add
    total += (part.planes - 1) * core.vector_ps(
        elements, 2, elements * accumulator, elements * accumulator
    )
    total += core.vector_ps(own, 2, own * accumulator, own * product)
    total += core.vector_ps(own, 2, own * product, own * code)
    flit = times.network.mean_flit_ps
    total += _input_ps(part, blocks.window, tiles, flit, times)
    if row_split > 1:
        send, receive = _message_ps(own * accumulator, flit, times)
        total += EXCHANGE_WEIGHT * (row_split - 1) * (send + receive + add)
    return total / PS_PER_NS


def _input_ps(
    part: Part, window: Window2d, tiles: NDArray[np.int64], flit: int, times: MachineTiming
) -> NDArray[np.int64]:
    """Time to send and receive the input of tiles.

    If the input lies in tiles that make it as this tile's outputs lie to the window, a reach of r
    rows meets ceil((r - 1) / (rows * stride)) + 1 of them (no more than r), and so with columns;
    each sends its rows one by one.
    """
    taps = [last - first for first, last in (part.taps_y, part.taps_x)]
    stride, spread = np.array(window.stride), np.array(taps) * np.array(window.dilation)
    reach: NDArray[np.int64] = (tiles - 1) * stride + spread + 1
    height, width = reach[:, 0], reach[:, 1]
    met = -(-(width - 1) // (tiles[:, 1] * window.stride[1])) + 1
    across = np.minimum(width, met)
    row_bytes = -(-width // across) * (part.channels[1] - part.channels[0])
    send, receive = _message_ps(row_bytes, flit, times)
    return EXCHANGE_WEIGHT * height * across * (send + receive)


def _message_ps(
    size: NDArray[np.int64], flit: int, times: MachineTiming
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Time of messages between two cores: for their sender and for their receiver."""
    core, network = times.main, times.network
    send = 2 * flit + core.port.read_ps(size)
    return send, send + network.flits(size) * flit + core.port.write_ps(size)


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
def _grids(height: int, width: int, most: int) -> tuple[tuple[int, int], ...]:
    """Grids of copies worth trying: one for every size that the largest tile can have."""
    grids: dict[int, tuple[int, int]] = {}
    for copies in range(1, min(most, height * width) + 1):
        grid = best_grid(height, width, copies)
        tile = -(-height // grid[0]) * -(-width // grid[1])
        grids.setdefault(tile, grid)
    return tuple(grids.values())
