"""Results that are their operands' bytes: their tiles are the operands' own, and nothing moves."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np

from imccompiler.passes.boxes import Boxes
from imccompiler.passes.geometry import Layout
from imccompiler.passes.values import Done, Tiles, Value

RENAMES = frozenset({"Reshape", "Squeeze", "Unsqueeze", "Identity", "Flatten", "Relu", "Clip"})
"""As moves they keep every code where it is (a Relu that does nothing among them)."""


def renamed(source: Value, result: Value) -> Tiles | None:
    """The tiles of a tensor in another shape; None if its bytes do not lie so.

    Args:
        source: A tensor.
        result: The same elements in ONNX order in another shape, or in the same.
    """
    tiles, before, after = source.tiles, source.layout, result.layout
    if before.grid == after.grid and source.same_order(result) and _in_memory(before, after):
        return tiles
    boxes, done = (reshaped(b, before, after) for b in (tiles.boxes, tiles.done.boxes))
    if boxes is None or done is None:
        return None
    return Tiles(tiles.core, boxes, tiles.buffer, tiles.done._replace(boxes=done))


def concatenated(sources: Sequence[Value], axis: int, result: Layout) -> Tiles | None:
    """The tiles of all operands, each operand's moved along an ONNX axis of the result.

    None if the axis is not one of the grid's.
    """
    behind = len(result.axes) - 1 - result.axes.index(axis)  # axes further in
    outer = [result.shape[a] for a in result.axes[: -1 - behind]]
    if any(s.layout.axes != result.axes for s in sources) or (behind > 1 and prod(outer) > 1):
        return None
    low = 4 - 2 * min(behind, 2)  # of the axis in a box
    inner = prod(result.shape[a] for a in result.axes[len(result.axes) - behind : -2])
    begin, parts = 0, list[Tiles]()
    for source in sources:
        tiles, shift = source.tiles, np.zeros(6, np.int64)
        shift[low : low + 2] = begin * inner
        done = tiles.done._replace(boxes=tiles.done.boxes + shift)
        parts.append(Tiles(tiles.core, tiles.boxes + shift, tiles.buffer, done))
        begin += source.layout.shape[axis]
    return Tiles(
        np.concatenate([p.core for p in parts]),
        np.concatenate([p.boxes for p in parts]),
        np.concatenate([p.buffer for p in parts]),
        Done.after_another([p.done for p in parts]),
    )


def _in_memory(before: Layout, after: Layout) -> bool:
    """Whether the axes of both, but for those of size 1, are the same in the order of memory."""
    a, b = ([x.shape[axis] for axis in x.axes if x.shape[axis] > 1] for x in (before, after))
    return a == b


def reshaped(boxes: Boxes, source: Layout, result: Layout) -> Boxes | None:
    """Boxes of a tensor as boxes of the same bytes in another shape; None where that is not so.

    The last axis is split into two, or the last two are joined: (R, T, H D) to (R T, H, D), or
    back.
    """
    if not (source.is_onnx and result.is_onnx):
        return None
    (r, t, c), (rows, columns, channels) = source.grid, result.grid
    y0, y1, x0, x1, c0, c1 = boxes.T
    if (rows, columns * channels) == (r * t, c):
        whole = (c0 % channels == 0) & (c1 % channels == 0)
        whole &= (y1 - y0 == 1) | ((x0 == 0) & (x1 == t))
        moved = (
            y0 * t + x0,
            (y1 - 1) * t + x1,
            c0 // channels,
            c1 // channels,
            0 * c0,
            0 * c0 + channels,
        )
    elif (rows * columns, channels) == (r, t * c):
        first, last = y0 // columns, (y1 - 1) // columns
        inside = (first == last) | ((y0 % columns == 0) & (y1 % columns == 0))
        whole = (c0 == 0) & (c1 == c) & inside
        x_low = np.where(first == last, y0 % columns, 0)
        x_high = np.where(first == last, (y1 - 1) % columns + 1, columns)
        moved = (first, last + 1, x_low, x_high, x0 * c, x1 * c)
    else:
        return None
    return np.stack(moved, axis=1) if whole.all() else None
