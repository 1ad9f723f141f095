"""Movements of any kind, part by part: each part takes its elements from one box of the operand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imccompiler.passes.geometry import Box, Layout
from imccompiler.simulator.digital_forms import PAD_FILL, movement_indices

LARGEST_NEED = 4  # boxes may have this many times as many elements as the result, all in all


class Pick(NamedTuple):
    """What a part of the result needs: a box, and the place of each of its elements in it."""

    box: Box
    places: NDArray[np.int64]


def picks(
    op_type: str,
    attributes: Mapping[str, Any],
    operands: Sequence[tuple[int, ...] | NDArray[Any]],
    source: Layout,
    result: Layout,
    parts: Sequence[Box],
) -> list[Pick] | None:
    """For each part of a movement's result where it comes from; None if parts need too much.

    Args:
        op_type: A movement of one tensor.
        attributes: Of the movement.
        operands: The tensor's shape, and constants, in ONNX order.
        source: Layout of the tensor.
        result: Layout of the result.
        parts: Boxes of the result's grid.
    """
    index = movement_indices(op_type, attributes, operands)
    if (index == PAD_FILL).any():
        return None
    size = int(np.prod(source.shape))
    in_memory = np.empty(size, np.int64)  # where an element of that row-major number lies
    in_memory[np.arange(size).reshape(source.shape).transpose(source.axes).ravel()] = np.arange(
        size
    )
    taken = in_memory[index.transpose(result.axes).reshape(result.grid)]
    found: list[Pick] = []
    for part in parts:
        mine = taken[part.y0 : part.y1, part.x0 : part.x1, part.c0 : part.c1].ravel()
        axes = np.unravel_index(mine, source.grid)
        (y0, y1), (x0, x1), (c0, c1) = ((int(a.min()), int(a.max()) + 1) for a in axes)
        box = Box(y0, y1, x0, x1, c0, c1)
        y, x, c = axes
        places = ((y - y0) * box.width + x - x0) * box.channels + c - c0
        found.append(Pick(box, places.astype(np.int64)))
    needed = sum(pick.box.size for pick in found)
    return found if needed <= LARGEST_NEED * result.whole.size else None
