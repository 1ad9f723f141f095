"""One copy of a layer spread over cores: what its parts hold, and how long the busiest works."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost.network import NetworkTiming
from imccompiler.cost.rounding import PS_PER_NS
from imccompiler.cost.timing import CoreTiming
from imccompiler.ir.decisions import IntegerMatmul
from imccompiler.passes.base import CompileContext
from imccompiler.passes.blocks import (
    LayerBlocks,
    Part,
    column_shares,
    crossbars_of_parts,
    part_of,
)
from imccompiler.passes.compute import gathered_bytes
from imccompiler.passes.geometry import Box, cut
from imccompiler.program.isa import byte_width

EXCHANGE_WEIGHT = 2
"""Partial sums cost more than the two cores' work: each side also waits for the other. Measured on
ResNet-18 for `pimcomp`, where weights from 1.5 to 3 were tried."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """One copy of a layer on several cores.

    Attributes:
        blocks: How the layer is cut.
        crossbars: Of each part if none is shared, shape (row shares, column shares).
        busiest: The first of the parts that multiply with most row blocks.
    """

    blocks: LayerBlocks
    crossbars: Ints
    busiest: Part


@lru_cache(maxsize=1 << 11)
def spread(blocks: LayerBlocks, row_split: int, column_split: int) -> Spread:
    """A copy on `row_split` times `column_split` cores, as far as there is enough to share."""
    rows, columns = cut(blocks.row_blocks, row_split), column_shares(blocks, column_split)
    crossbars, row_blocks = crossbars_of_parts(blocks, rows, columns)
    row, column = divmod(int(row_blocks.argmax()), len(columns))
    return Spread(blocks, crossbars, part_of(blocks, rows[row], columns[column]))


class Work(NamedTuple):
    """What the busiest part of some copies has to do, as arrays with an entry for each copy.

    Attributes:
        planes: Outputs of row blocks that are added up.
        columns, channels: Outputs and inputs at one position.
        row_split: Parts that share the sums of a column.
        gathered: Bytes of a window that must be brought together.
        taps_y, taps_x: From the part's first tap to its last one.
        stride_y, stride_x: From one window to the next.
    """

    planes: Any
    columns: Any
    channels: Any
    row_split: Any
    gathered: Any
    taps_y: Any
    taps_x: Any
    stride_y: Any
    stride_x: Any


@dataclass(frozen=True, slots=True, eq=False)
class Works:
    """The busiest parts of some copies.

    Attributes:
        work: All of them.
        products: The `mvmul`s of one window that are alike: whose they are, row blocks,
            crossbars side by side of each, how many there are; copy after copy, shape (4,
            products).
        first: The first of each copy's products.
    """

    work: Work
    products: Ints
    first: Ints


class Sums(NamedTuple):
    """Widths of layers' sums, and of the sums' products with a multiplier."""

    accumulator_bits: Ints
    product_bits: Ints

    @staticmethod
    def of(integers: Sequence[IntegerMatmul]) -> Sums:
        """Those of layers in their integer form."""
        widths = [(each.accumulator_bits, each.product_bits) for each in integers]
        return Sums(*np.array(widths, np.int64).reshape(-1, 2).T)


def works_of(copies: Sequence[Spread], tiles: Sequence[tuple[int, int]]) -> Works:
    """The busiest parts of copies; `tiles` are the rows and columns of their largest tiles."""
    work = [_work(*each) for each in zip(copies, tiles, strict=True)]
    products = [
        (number, *shape, count)
        for number, copy in enumerate(copies)
        for shape, count in Counter(copy.busiest.shapes(copy.blocks.columns_per_crossbar)).items()
    ]
    table = np.array(products, np.int64).reshape(-1, 4).T
    return Works(
        Work(*np.array(work, np.int64).reshape(-1, len(Work._fields)).T),
        table,
        np.searchsorted(table[0], np.arange(len(copies))),
    )


def _work(copy: Spread, tile: tuple[int, int]) -> Work:
    part, window = copy.busiest, copy.blocks.window
    reach = part.reach(window, Box(0, tile[0], 0, tile[1], 0, part.columns))
    return Work(
        part.planes,
        part.columns,
        part.channels[1] - part.channels[0],
        len(copy.crossbars),
        gathered_bytes(part, window, reach),
        (part.taps_y[1] - part.taps_y[0]) * window.dilation[0],
        (part.taps_x[1] - part.taps_x[0]) * window.dilation[1],
        *window.stride,
    )


def busy_ns(
    works: Works,
    of: Ints,
    height: Ints,
    width: Ints,
    sums: Sums,
    context: CompileContext,
    kind: str,
) -> NDArray[np.float64]:
    """Busy time of parts for one image: windows, row-block sums, completion, input, partial sums.

    Args:
        works: What parts have to do.
        of: Whose work each part does, shape (parts,).
        height: Of each part's tile of the output, shape (parts,).
        width: The same.
        sums: Widths of sums, for each of `works`.
        context: Of the compilation.
        kind: Of the cores that the parts stand on.
    """
    network, core = context.times.network, context.times.kinds[kind]
    work = Work(*(values[of] for values in works.work))
    accumulator, product = (-(-bits[of] // 8) for bits in sums)
    code = byte_width(context.machine.activation_bits)
    positions = height * width
    elements = positions * work.columns
    own = -(-elements // work.row_split)
    add = core.vector_ps(own, 2, own * accumulator, own * accumulator)
    total = positions * _window_ps(works, sums.accumulator_bits, context, kind)[of] + add
    total += (work.planes - 1) * core.vector_ps(
        elements, 2, elements * accumulator, elements * accumulator
    )
    total += core.vector_ps(own, 2, own * accumulator, own * product)
    total += core.vector_ps(own, 2, own * product, own * code)
    total += _input_ps(work, height, width, core, network)
    send, receive = _message_ps(own * accumulator, core, network)
    total += EXCHANGE_WEIGHT * (work.row_split - 1) * (send + receive + add)
    return total / PS_PER_NS


def _window_ps(works: Works, accumulator_bits: Ints, context: CompileContext, kind: str) -> Ints:
    """Time to gather and multiply one window: as many products at once as a core has in flight."""
    core, machine = context.times.kinds[kind], context.machine
    owner, rows, columns, count = works.products
    taken = core.mvmul_ps(machine.activation_bits, columns, accumulator_bits[owner], rows)
    in_flight = np.minimum(machine.core_kinds[kind].rob_size, np.add.reduceat(count, works.first))
    share = np.add.reduceat(count * taken, works.first) // in_flight
    products = np.maximum(np.maximum.reduceat(taken, works.first), share)
    return products + core.lmv_ps(works.work.gathered)


def _input_ps(
    work: Work, height: Ints, width: Ints, core: CoreTiming, network: NetworkTiming
) -> Ints:
    """Time to send and receive the input of tiles.

    If the input lies in tiles that make it as this tile's outputs lie to the window, a reach of r
    rows meets ceil((r - 1) / (rows * stride)) + 1 of them (no more than r), and so with columns;
    each sends its rows one by one.
    """
    rows = (height - 1) * work.stride_y + work.taps_y + 1
    columns = (width - 1) * work.stride_x + work.taps_x + 1
    met = -(-(columns - 1) // (width * work.stride_x)) + 1
    across = np.minimum(columns, met)
    row_bytes = -(-columns // across) * work.channels
    send, receive = _message_ps(row_bytes, core, network)
    return EXCHANGE_WEIGHT * rows * across * (send + receive)


def _message_ps(size: Ints, core: CoreTiming, network: NetworkTiming) -> tuple[Ints, Ints]:
    """Time of messages between two cores of a kind: for their sender and for their receiver."""
    flit = network.mean_flit_ps
    send = 2 * flit + core.port.read_ps(size)
    return send, send + network.flits(size) * flit + core.port.write_ps(size)


def copies_busy_ns(
    copies: Sequence[Spread],
    outputs: Sequence[Box],
    grids: Sequence[Sequence[int]],
    integers: Sequence[IntegerMatmul],
    kinds: Sequence[str],
    context: CompileContext,
) -> list[float]:
    """Busy time of the busiest part of each layer for one image.

    Args:
        copies: One copy of each layer.
        outputs: The layers' outputs as the windows see them.
        grids: Copies along the outputs' rows and columns.
        integers: The layers' integer forms.
        kinds: Of the cores that the layers stand on.
        context: Of the compilation.
    """
    tiles = [
        (-(-whole.height // rows), -(-whole.width // columns))
        for whole, (rows, columns) in zip(outputs, grids, strict=True)
    ]
    height, width = np.array(tiles, np.int64).reshape(-1, 2).T
    works, sums, names = works_of(copies, tiles), Sums.of(integers), np.array(kinds)
    busy = np.zeros(len(copies))
    for kind in dict.fromkeys(kinds):
        each = np.flatnonzero(names == kind)
        busy[each] = busy_ns(works, each, height[each], width[each], sums, context, kind)
    return busy.tolist()
