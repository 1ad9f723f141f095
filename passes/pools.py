"""The window of a pooling operator on the grids of its operand and result."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imccompiler.passes.geometry import Layout, Window2d

PLANE = 2  # axes of space that a grid has


def slides_in_place(attributes: Mapping[str, Any], shape: Sequence[int]) -> bool:
    """Whether windows on an operand of this shape are windows on its grid.

    Further axes of space, and further pictures of a batch, are rows of the grid, across which no
    window may reach.
    """
    return shape[0] == 1 and len(attributes.get("kernel_shape", ())) <= PLANE


def pool_window(op_type: str, attributes: Mapping[str, Any], source: Layout) -> Window2d:
    """The sliding window of MaxPool, AveragePool and the global pools.

    Padding below and on the right needs no place here: it is what the result's size reaches.
    """
    if op_type.startswith("Global"):
        return Window2d(kernel=source.grid[:2])
    kernel = tuple(attributes["kernel_shape"])
    n = len(kernel)
    strides = tuple(attributes.get("strides") or (1,) * n)
    dilations = tuple(attributes.get("dilations") or (1,) * n)
    pads = tuple(attributes.get("pads") or (0,) * 2 * n)
    if n == 1:
        return Window2d((1, kernel[0]), (1, strides[0]), (0, pads[0]), (1, dilations[0]))
    return Window2d(
        (kernel[0], kernel[1]),
        (strides[0], strides[1]),
        (pads[0], pads[1]),
        (dilations[0], dilations[1]),
    )
