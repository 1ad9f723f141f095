"""How a layer's weight matrix is cut into row blocks that one group of crossbars multiplies.

A row block is what one crossbar is fed with: up to `crossbar.rows` inputs, given as segments of
contiguous channels under one tap of the window. Channels come first (whole crossbars of one
tap need no gathering), what remains of the channels is flattened over the taps. A machine that
adds the outputs of row blocks multiplies with all those of a part at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import PassError
from imccompiler.hardware.schema import CoreKind, Machine
from imccompiler.hardware.weights import outputs_per_crossbar
from imccompiler.ir.absent import absent, is_absent
from imccompiler.ir.decisions import Window
from imccompiler.ir.dialect import MatmulOp, shape_of
from imccompiler.passes.geometry import Box, Window2d, cut
from imccompiler.passes.kinds import kind_of


class Segment(NamedTuple):
    """Contiguous channels under one tap."""

    tap_y: int
    tap_x: int
    channel: int
    length: int


@dataclass(frozen=True, slots=True)
class RowBlock:
    """Inputs of one `mvmul`, or of one crossbar among those that it drives."""

    segments: tuple[Segment, ...]

    @property
    def rows(self) -> int:
        """Word lines driven."""
        return sum(s.length for s in self.segments)


@dataclass(frozen=True, slots=True)
class Pack:
    """Convolution groups that share crossbars: a dense matrix, zero off their diagonal.

    `rows` are its row blocks; its outputs are channels out0..out1.
    """

    in0: int
    in1: int
    out0: int
    out1: int
    row_blocks: tuple[RowBlock, ...]


@dataclass(frozen=True, slots=True)
class Cutting:
    """All that decides how a weight matrix is cut: the layer's side and the crossbars'."""

    window: Window
    shape: tuple[int, ...]  # of the weights
    rows: int  # word lines
    columns: int  # whole weights side by side on a crossbar
    slices: int
    sums_row_blocks: bool
    pack: int  # 0: as many groups as fit
    unroll: int


@dataclass(frozen=True, slots=True)
class LayerBlocks:
    """A layer's weight matrix, cut for one kind of core; known by what decides the cut."""

    cutting: Cutting
    packs: tuple[Pack, ...] = field(compare=False)
    window: Window2d = field(compare=False)
    slices: int = field(compare=False)
    columns_per_crossbar: int = field(compare=False)  # whole weights
    pack: int = field(compare=False)  # convolution groups in a pack
    unroll: int = field(compare=False)  # neighbouring outputs of a row that one window makes
    summed_rows: int = field(compare=False)  # word lines if the machine adds row blocks, else 0

    @property
    def row_blocks(self) -> int:
        """Row blocks of each pack."""
        return len(self.packs[0].row_blocks)

    @property
    def products(self) -> int:
        """`mvmul`s that one window takes in each pack if it is not split."""
        return 1 if self.summed_rows else self.row_blocks

    @property
    def column_units(self) -> list[tuple[int, int]]:
        """Output ranges that a column split may separate: crossbars' columns in each pack."""
        if self.unroll > 1:
            return [(self.packs[0].out0, self.packs[0].out1)]
        step = self.columns_per_crossbar
        return [
            (c, min(c + step, pack.out1))
            for pack in self.packs
            for c in range(pack.out0, pack.out1, step)
        ]

    def grouped(self, box: Box) -> Box:
        """An output box as the windows see it: `unroll` neighbours are channels of one position."""
        u = self.unroll
        return box._replace(x0=box.x0 // u, x1=box.x1 // u, c1=box.c1 * u) if u > 1 else box

    def ungrouped(self, box: Box) -> Box:
        """The output box that a box of groups is, with all channels; it has the same bytes."""
        u = self.unroll
        return box._replace(x0=box.x0 * u, x1=box.x1 * u, c1=box.c1 // u) if u > 1 else box


Inputs = list[tuple[RowBlock, tuple[RowBlock, ...]]]
"""Inputs of `mvmul`s, and the row blocks that they are on crossbars."""


class Call(NamedTuple):
    """One `mvmul` of a part: its inputs, the plane it writes, and the outputs it makes."""

    block: RowBlock
    plane: int
    out0: int
    out1: int
    pack: int
    row_block: int  # number of its first crossbar's row block in the pack
    stack: tuple[RowBlock, ...]  # the row blocks on its crossbars, one after the other

    def shape(self, columns_per_crossbar: int) -> tuple[int, int]:
        """Row blocks, and crossbars side by side of each of them."""
        return len(self.stack), -(-(self.out1 - self.out0) // columns_per_crossbar)


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """What one core holds of one copy of a layer: some row blocks and some columns.

    `taps_y`, `taps_x` are its first and last taps, `channels` the range of its input channels.
    """

    calls: tuple[Call, ...]
    planes: int
    out0: int
    out1: int
    taps_y: tuple[int, int]
    taps_x: tuple[int, int]
    channels: tuple[int, int]

    @staticmethod
    def of(calls: tuple[Call, ...], planes: int, out0: int, out1: int) -> Part:
        """A part that consists of some calls."""
        segments = [s for c in calls for s in c.block.segments]
        ys, xs = [s.tap_y for s in segments], [s.tap_x for s in segments]
        channels = (
            min(s.channel for s in segments),
            max(s.channel + s.length for s in segments),
        )
        return Part(calls, planes, out0, out1, (min(ys), max(ys)), (min(xs), max(xs)), channels)

    @property
    def columns(self) -> int:
        """Outputs of the part."""
        return self.out1 - self.out0

    def crossbars(self, columns_per_crossbar: int) -> int:
        """Crossbars of the part if none is shared."""
        return sum(rows * columns for rows, columns in self.shapes(columns_per_crossbar))

    def shapes(self, columns_per_crossbar: int) -> tuple[tuple[int, int], ...]:
        """Row blocks and crossbars side by side of each call."""
        return tuple(c.shape(columns_per_crossbar) for c in self.calls)

    def reach(self, window: Window2d, box: Box) -> Box:
        """Input box, padding included, for the outputs of `box`."""
        reach = window.reach(box, self.taps_y, self.taps_x)
        return Box(*reach[:4], *self.channels)


def _weights_side_by_side(machine: Machine, kind: CoreKind, weight_bits: int, where: str) -> int:
    """Weights next to each other on a crossbar; narrow ones take as many cells all the same."""
    if weight_bits > machine.weight_bits:
        raise PassError(
            f"weights of {weight_bits} bits do not fit the machine's {machine.weight_bits}",
            where=where,
            hint="quantise to fewer bits or set the machine's weight_bits",
        )
    columns = outputs_per_crossbar(kind, machine.weight_bits)
    if columns == 0:
        raise PassError(
            f"a weight of {machine.weight_bits} bits takes more columns than a crossbar has",
            where=where,
            hint="use cells with more bits, fewer weight bits or wider crossbars",
        )
    return columns


def layer_blocks(
    op: MatmulOp,
    machine: Machine,
    weight_bits: int,
    pack: int = 0,
    unroll: int = 1,
    kind: CoreKind | None = None,
) -> LayerBlocks:
    """Cut a layer's matrix for the kind of core that it stands on, or for another one.

    `pack` convolution groups share crossbars (0: as many as fit).

    With `unroll` the matrix is that of a window over `unroll` neighbouring outputs: the kernel
    stands in it so often, each time shifted by a stride, and zeros between.

    Raises:
        PassError: A weight is wider than a crossbar, or the window has three axes.
    """
    kind = kind or kind_of(op, machine)
    where = op.source.node if op.source is not None else op.name
    columns = _weights_side_by_side(machine, kind, weight_bits, where)
    if len(op.window.kernel) > 2:
        raise PassError("windows of three axes are not supported yet", where=where)
    if unroll > 1 and (op.window.groups > 1 or any(d > 1 for d in op.window.dilations[-1:])):
        raise PassError("grouped and dilated windows cannot be unrolled", where=where)
    slices = -(-machine.weight_bits // kind.cell.bits)
    geometry = (kind.crossbar.rows, columns, slices, kind.sums_row_blocks)
    return cut_matrix(Cutting(op.window, shape_of(op.weight), *geometry, pack, unroll))


@lru_cache(maxsize=1 << 10)
def cut_matrix(cutting: Cutting) -> LayerBlocks:
    """Cut a matrix; equal cuttings give the same object."""
    kernel = cutting.window.kernel
    groups, unroll, rows = cutting.window.groups, cutting.unroll, cutting.rows
    if kernel:
        outputs, inputs = cutting.shape[0], cutting.shape[1] * groups
    else:
        inputs, outputs = cutting.shape
    window = Window2d.of(cutting.window)
    if unroll > 1:
        window = window.unrolled(unroll)
        outputs *= unroll
    in_per, out_per = inputs // groups, outputs // groups
    taps = window.kernel[0] * window.kernel[1]
    pack = 1 if groups == 1 else cutting.pack
    if pack == 0:
        pack = max(1, min(rows // (taps * in_per), cutting.columns // out_per, groups))
    packs: list[Pack] = []
    wanted: int | None = None
    for g0 in range(0, groups, pack):
        g1 = min(g0 + pack, groups)
        blocks = _row_blocks(window, g0 * in_per, g1 * in_per, rows)
        if wanted is not None and len(blocks) < wanted:  # planes must agree among packs
            blocks = _split_to(blocks, wanted)
        wanted = wanted or len(blocks)
        packs.append(Pack(g0 * in_per, g1 * in_per, g0 * out_per, g1 * out_per, tuple(blocks)))
    return LayerBlocks(
        cutting,
        tuple(packs),
        window,
        cutting.slices,
        cutting.columns,
        pack,
        unroll,
        rows if cutting.sums_row_blocks else 0,
    )


@lru_cache(maxsize=1 << 9)
def parts_of_copy(blocks: LayerBlocks, row_split: int, column_split: int) -> tuple[Part, ...]:
    """Parts of one copy, row shares outer, column shares inner."""
    columns = column_shares(blocks, column_split)
    return tuple(
        part_of(blocks, rows, c) for rows in cut(blocks.row_blocks, row_split) for c in columns
    )


def column_shares(blocks: LayerBlocks, column_split: int) -> list[tuple[int, int]]:
    """Ranges of the outputs of a layer, their units shared out as evenly as can be."""
    units = blocks.column_units
    return [(units[a][0], units[b - 1][1]) for a, b in cut(len(units), column_split)]


def part_of(blocks: LayerBlocks, rows: tuple[int, int], columns: tuple[int, int]) -> Part:
    """The part that holds a range of row blocks and a range of outputs."""
    (r0, r1), (n0, n1) = rows, columns
    calls: list[Call] = []
    planes = 0
    for index, p in enumerate(blocks.packs):
        if p.out0 < n1 and p.out1 > n0:
            inputs = _inputs(p.row_blocks[r0:r1], blocks.summed_rows)
            planes = len(inputs)
            calls += [
                Call(block, plane, max(p.out0, n0), min(p.out1, n1), index, r0 + plane, stack)
                for plane, (block, stack) in enumerate(inputs)
            ]
    return Part.of(tuple(calls), planes, n0, n1)


def crossbars_of_parts(
    blocks: LayerBlocks, rows: Sequence[tuple[int, int]], columns: Sequence[tuple[int, int]]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Crossbars, and row blocks that are multiplied, of the parts that `part_of` would make.

    Both have shape (rows, columns), as many as there are ranges of row blocks and of outputs.
    """
    r0, r1 = np.array(rows).T
    stacked = np.repeat((r1 - r0)[:, None], len(blocks.packs), axis=1)
    if blocks.summed_rows:
        word_lines = [[0, *(block.rows for block in p.row_blocks)] for p in blocks.packs]
        below = np.cumsum(word_lines, axis=1)
        stacked = -(-(below[:, r1] - below[:, r0]) // blocks.summed_rows).T
    first, last = np.array([(p.out0, p.out1) for p in blocks.packs]).T
    n0, n1 = np.array(columns).T[:, :, None]
    outputs = np.maximum(np.minimum(last, n1) - np.maximum(first, n0), 0)
    wide = -(-outputs // blocks.columns_per_crossbar)
    return stacked @ wide.T, stacked @ (wide > 0).T.astype(np.int64)


def _inputs(row_blocks: Sequence[RowBlock], summed_rows: int) -> Inputs:
    """Inputs of each `mvmul` of a row share, and the row blocks that they are on crossbars.

    Where the machine adds row blocks, the share is one input in the order of memory, cut anew.
    """
    if not summed_rows:
        return [(block, (block,)) for block in row_blocks]
    joined: list[Segment] = []
    for s in sorted(s for block in row_blocks for s in block.segments):
        last = joined[-1] if joined else None
        if last and last[:2] == s[:2] and last.channel + last.length == s.channel:
            joined[-1] = Segment(*s[:2], last.channel, last.length + s.length)
        else:
            joined.append(s)
    return [(RowBlock(tuple(joined)), tuple(_filled(joined, summed_rows)))]


def block_matrix(
    op: MatmulOp, weight: NDArray[np.integer], block: RowBlock, pack: Pack, unroll: int
) -> NDArray[np.integer]:
    """Weight codes of a row block for all outputs of its pack, shape (rows, outputs)."""
    if is_absent(weight):
        return absent((block.rows, pack.out1 - pack.out0), weight.dtype)
    if op.window.kernel:
        kernel = weight if weight.ndim == 4 else weight[:, :, None, :]
    else:
        kernel = weight.T[:, :, None, None]
    groups, stride = op.window.groups, op.window.strides[-1] if op.window.kernel else 1
    out_per, in_per = kernel.shape[0] // groups, kernel.shape[1]
    matrix = np.zeros((block.rows, pack.out1 - pack.out0), weight.dtype)
    row = 0
    for s in block.segments:
        rows = slice(row, row + s.length)
        row += s.length
        if groups == 1:
            for shift in range(unroll):
                tap_x = s.tap_x - shift * stride
                if 0 <= tap_x < kernel.shape[3]:
                    columns = slice(shift * out_per, (shift + 1) * out_per)
                    channels = slice(s.channel, s.channel + s.length)
                    matrix[rows, columns] = kernel[:, channels, s.tap_y, tap_x].T
            continue
        outputs = np.arange(pack.out0, pack.out1)[None, :]
        channels = np.arange(s.channel, s.channel + s.length)[:, None]
        values = kernel[outputs, channels % in_per, s.tap_y, s.tap_x]
        matrix[rows] = np.where(channels // in_per == outputs // out_per, values, 0)
    return matrix


def _row_blocks(window: Window2d, c0: int, c1: int, rows: int) -> list[RowBlock]:
    taps = [(y, x) for y in range(window.kernel[0]) for x in range(window.kernel[1])]
    blocks: list[RowBlock] = []
    whole_end = c0 + (c1 - c0) // rows * rows
    for channel in range(c0, whole_end, rows):
        blocks += [RowBlock((Segment(y, x, channel, rows),)) for y, x in taps]
    rest = [Segment(y, x, whole_end, c1 - whole_end) for y, x in taps if whole_end < c1]
    return blocks + _filled(rest, rows)


def _filled(inputs: Sequence[Segment], rows: int) -> list[RowBlock]:
    """Row blocks of `rows` inputs, the last of what remains; segments are cut where needed."""
    blocks: list[RowBlock] = []
    segments: list[Segment] = []
    free = rows
    for s in inputs:
        channel, end = s.channel, s.channel + s.length
        while channel < end:
            length = min(free, end - channel)
            segments.append(Segment(s.tap_y, s.tap_x, channel, length))
            channel += length
            free -= length
            if free == 0:
                blocks.append(RowBlock(tuple(segments)))
                segments, free = [], rows
    if segments:
        blocks.append(RowBlock(tuple(segments)))
    return blocks


def _split_to(blocks: list[RowBlock], count: int) -> list[RowBlock]:
    """Split row blocks until there are `count` of them."""
    blocks = list(blocks)
    while len(blocks) < count:
        index = max(range(len(blocks)), key=lambda i: blocks[i].rows)
        block = blocks[index]
        half = max(1, len(block.segments) // 2)
        if len(block.segments) == 1:
            s = block.segments[0]
            a = s.length // 2
            first = RowBlock((s._replace(length=a),))
            second = RowBlock((s._replace(channel=s.channel + a, length=s.length - a),))
        else:
            first, second = RowBlock(block.segments[:half]), RowBlock(block.segments[half:])
        blocks[index : index + 1] = [first, second]
    return blocks
