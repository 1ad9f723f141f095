"""Many boxes at once: arrays of shape (n, 6) with the fields of `Box` as columns."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from imccompiler.passes.geometry import Box, Window2d
from imccompiler.passes.ragged import Ints

Boxes = NDArray[np.int64]

LOW, HIGH = slice(0, 6, 2), slice(1, 6, 2)
PAIRS_AT_ONCE = 1 << 22  # bounds the memory of a comparison of all boxes with all


def table(boxes: Iterable[Box]) -> Boxes:
    """An array of some boxes."""
    return np.array(list(boxes), np.int64).reshape(-1, 6)


def extents(boxes: Boxes) -> NDArray[np.int64]:
    """Height, width and channels, shape (n, 3)."""
    return boxes[:, HIGH] - boxes[:, LOW]


def sizes(boxes: Boxes) -> Ints:
    """Elements of each box."""
    return extents(boxes).prod(axis=1)


def offsets_of(outer: Boxes, parts: Boxes, element_bytes: int = 1) -> Ints:
    """Byte offset of the first element of each part in its dense outer box."""
    y, x, c = (parts[:, LOW] - outer[:, LOW]).T
    _, width, channels = extents(outer).T
    return ((y * width + x) * channels + c) * element_bytes


def intersections(a: Boxes, b: Boxes) -> Boxes:
    """The common part of each pair; its end is not above its begin if there is none."""
    common = np.empty_like(a)
    common[:, LOW] = np.maximum(a[:, LOW], b[:, LOW])
    common[:, HIGH] = np.minimum(a[:, HIGH], b[:, HIGH])
    return common


def meets(a: Boxes, b: Boxes) -> NDArray[np.bool_]:
    """Whether the boxes of each pair have an element in common."""
    return np.all((a[:, LOW] < b[:, HIGH]) & (b[:, LOW] < a[:, HIGH]), axis=1)


def overlapping(queries: Boxes, boxes: Boxes) -> tuple[Ints, Ints]:
    """All pairs (number of a query, number of a box) with an element in common, in that order."""
    step = max(1, PAIRS_AT_ONCE // max(1, len(boxes)))
    found: list[tuple[Ints, Ints]] = []
    for first in range(0, len(queries), step):
        some = queries[first : first + step]
        hit = np.ones((len(some), len(boxes)), np.bool_)
        for low, high in ((0, 1), (2, 3), (4, 5)):
            hit &= some[:, low, None] < boxes[None, :, high]
            hit &= boxes[None, :, low] < some[:, high, None]
        query, box = np.nonzero(hit)
        found.append((query + first, box))
    if not found:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    return np.concatenate([q for q, _ in found]), np.concatenate([b for _, b in found])


def reaches(window: Window2d, boxes: Boxes, taps_y: Boxes, taps_x: Boxes, channels: Boxes) -> Boxes:
    """`Window2d.reach` of many boxes, each with its first and last taps and its input channels."""
    seen = np.empty_like(boxes)
    for axis, taps in ((0, taps_y), (1, taps_x)):
        low, high = 2 * axis, 2 * axis + 1
        stride, before = window.stride[axis], window.before[axis]
        seen[:, low] = boxes[:, low] * stride - before + taps[:, 0] * window.dilation[axis]
        last = (boxes[:, high] - 1) * stride - before
        seen[:, high] = last + taps[:, 1] * window.dilation[axis] + 1
    seen[:, 4:] = channels
    return seen
