"""Boxes on tensor grids: how tensors lie in memory and which part of one another they need.

Every tensor is seen as a grid (rows, columns, channels) in the order in which it lies in local
memory, the batch axis of one left out. A box is a range on each of the three axes; a box in
memory is dense, channels innermost.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import prod
from typing import NamedTuple

from imccompiler.ir.decisions import Window

Grid = tuple[int, int, int]


class Box(NamedTuple):
    """Half-open ranges of rows, columns and channels."""

    y0: int
    y1: int
    x0: int
    x1: int
    c0: int
    c1: int

    @property
    def height(self) -> int:
        """Rows."""
        return self.y1 - self.y0

    @property
    def width(self) -> int:
        """Columns."""
        return self.x1 - self.x0

    @property
    def channels(self) -> int:
        """Channels."""
        return self.c1 - self.c0

    @property
    def positions(self) -> int:
        """Grid positions, channels not counted."""
        return self.height * self.width

    @property
    def size(self) -> int:
        """Elements."""
        return self.positions * self.channels

    @property
    def shape(self) -> Grid:
        """Extent of the three axes."""
        return (self.height, self.width, self.channels)

    def meets(self, other: Box) -> bool:
        """Whether the two have an element in common."""
        return (
            self.y0 < other.y1
            and other.y0 < self.y1
            and self.x0 < other.x1
            and other.x0 < self.x1
            and self.c0 < other.c1
            and other.c0 < self.c1
        )

    def intersect(self, other: Box) -> Box | None:
        """The common part, None if there is none."""
        y0, y1 = max(self.y0, other.y0), min(self.y1, other.y1)
        if y0 >= y1:
            return None
        x0, x1 = max(self.x0, other.x0), min(self.x1, other.x1)
        if x0 >= x1:
            return None
        c0, c1 = max(self.c0, other.c0), min(self.c1, other.c1)
        return Box(y0, y1, x0, x1, c0, c1) if c0 < c1 else None

    def shift_channels(self, offset: int) -> Box:
        """The same positions, channels moved by `offset`."""
        return self._replace(c0=self.c0 + offset, c1=self.c1 + offset)

    def offset_of(self, part: Box, element_bytes: int = 1) -> int:
        """Byte offset of the first element of `part` in this dense box."""
        position = (part.y0 - self.y0) * self.width + part.x0 - self.x0
        return (position * self.channels + part.c0 - self.c0) * element_bytes


@dataclass(frozen=True, slots=True)
class Layout:
    """How a tensor lies in memory: ONNX axes in memory order."""

    shape: tuple[int, ...]  # ONNX order
    axes: tuple[int, ...]  # memory order

    @property
    def grid(self) -> Grid:
        """Rows, columns and channels."""
        dims = [self.shape[a] for a in self.axes]
        channels = dims[-1] if dims else 1
        columns = dims[-2] if len(dims) > 1 else 1
        rows = prod(dims[:-2])
        return (rows, columns, channels)

    @property
    def is_onnx(self) -> bool:
        """Whether elements lie in ONNX order; axes of size 1 can stand anywhere."""
        kept = [axis for axis in self.axes if self.shape[axis] > 1]
        return kept == sorted(kept)

    @property
    def whole(self) -> Box:
        """The box of the whole tensor."""
        rows, columns, channels = self.grid
        return Box(0, rows, 0, columns, 0, channels)


def natural(shape: tuple[int, ...]) -> Layout:
    """ONNX order."""
    return Layout(shape, tuple(range(len(shape))))


def channels_last(shape: tuple[int, ...]) -> Layout:
    """Channels (ONNX axis 1) innermost."""
    return Layout(shape, (0, *range(2, len(shape)), 1))


@dataclass(frozen=True, slots=True)
class Window2d:
    """A sliding window on rows and columns of a grid."""

    kernel: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    before: tuple[int, int] = (0, 0)  # padding above and left
    dilation: tuple[int, int] = (1, 1)

    @staticmethod
    def of(window: Window) -> Window2d:
        """From the dialect's attribute; 1-D windows slide along columns."""
        n = len(window.kernel)
        if n == 0:
            return Window2d()
        if n == 1:
            return Window2d(
                (1, window.kernel[0]),
                (1, window.strides[0]),
                (0, window.pads[0]),
                (1, window.dilations[0]),
            )
        return Window2d(
            (window.kernel[0], window.kernel[1]),
            (window.strides[0], window.strides[1]),
            (window.pads[0], window.pads[1]),
            (window.dilations[0], window.dilations[1]),
        )

    def unrolled(self, outputs: int) -> Window2d:
        """The window over so many neighbouring outputs of a row."""
        width = (outputs - 1) * self.stride[1] + self.kernel[1]
        return Window2d(
            (self.kernel[0], width),
            (self.stride[0], self.stride[1] * outputs),
            self.before,
            self.dilation,
        )

    def reach(
        self, box: Box, taps_y: tuple[int, int] | None = None, taps_x: tuple[int, int] | None = None
    ) -> Box:
        """Input box, padding included, that the outputs of `box` see.

        `taps_y`, `taps_x` restrict it to taps first..last. Channels are those of `box`.
        """
        ky0, ky1 = taps_y or (0, self.kernel[0] - 1)
        kx0, kx1 = taps_x or (0, self.kernel[1] - 1)
        sy, sx = self.stride
        y0 = box.y0 * sy - self.before[0] + ky0 * self.dilation[0]
        x0 = box.x0 * sx - self.before[1] + kx0 * self.dilation[1]
        y1 = (box.y1 - 1) * sy - self.before[0] + ky1 * self.dilation[0] + 1
        x1 = (box.x1 - 1) * sx - self.before[1] + kx1 * self.dilation[1] + 1
        return Box(y0, y1, x0, x1, box.c0, box.c1)


def cut(size: int, parts: int) -> list[tuple[int, int]]:
    """`parts` ranges that cover 0..size, sizes differing by one at most, none empty."""
    parts = min(parts, size)
    edges = [size * i // parts for i in range(parts + 1)]
    return list(pairwise(edges))


def cut_grid(box: Box, grid: tuple[int, int]) -> list[Box]:
    """Tiles of a box in row-major order, `grid` of them along rows and columns."""
    return [
        box._replace(y0=box.y0 + y0, y1=box.y0 + y1, x0=box.x0 + x0, x1=box.x0 + x1)
        for y0, y1 in cut(box.height, grid[0])
        for x0, x1 in cut(box.width, grid[1])
    ]


@lru_cache(maxsize=1 << 16)
def best_grid(height: int, width: int, parts: int) -> tuple[int, int]:
    """The grid of at most `parts` tiles whose largest tile is smallest, then squarest."""
    best: tuple[tuple[float, float], tuple[int, int]] | None = None
    for rows in range(1, min(parts, height) + 1):
        columns = min(parts // rows, width)
        tile_h, tile_w = -(-height // rows), -(-width // columns)
        # the fewest parts that still give tiles of this size
        rows_used, columns_used = -(-height // tile_h), -(-width // tile_w)
        key = (float(tile_h * tile_w), float(tile_h + tile_w))
        if best is None or key < best[0]:
            best = (key, (rows_used, columns_used))
    return best[1] if best else (1, 1)


def cut_rows_first(box: Box, count: int) -> list[Box]:
    """At most `count` pieces: along rows if there are enough, else along both axes."""
    if count <= box.height:
        return cut_grid(box, (count, 1))
    return cut_grid(box, best_grid(box.height, box.width, count))
