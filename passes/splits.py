"""How digital functions split: which part of its operands and constants a part of a result needs.

A part is a box of the result's grid. Elementwise functions split anywhere; functions along the last
axis in memory split into rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.passes.geometry import Box, Grid, Layout
from imccompiler.simulator.digital_elementwise import ELEMENTWISE

ROW_WISE = frozenset({"Softmax", "LogSoftmax", "LayerNormalization", "RMSNormalization"})
REDUCTIONS = frozenset(
    {
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
        "ReduceSumSquare",
    }
)


@dataclass(frozen=True, slots=True)
class Split:
    """A function that can be computed part by part.

    Attributes:
        by_rows: A part must have all channels.
        attributes: Those that the function of a part has.
    """

    by_rows: bool
    attributes: Mapping[str, Any]


def split_of(
    op_type: str,
    attributes: Mapping[str, Any],
    operands: Sequence[Layout],
    result: Layout,
    constants: Sequence[tuple[int, ...]],
) -> Split | None:
    """How a function splits; None if it does not.

    Args:
        op_type: Operator.
        attributes: Of the operator.
        operands: Layouts of its activations.
        result: Layout of its result.
        constants: Shapes of its constants.
    """
    in_order = all(_in_order(layout, result) for layout in operands)
    if not operands or not in_order or not all(_along_channels(s, result) for s in constants):
        return None
    rows, columns, channels = result.grid
    if op_type in ELEMENTWISE:
        fits = all(_broadcasts(layout.grid, result.grid) for layout in operands)
        return Split(by_rows=False, attributes=attributes) if fits else None
    own = _by_rows(op_type, attributes, len(result.shape))
    if own is None or len(operands) > 1 or result.axes[-1] != len(result.shape) - 1:
        return None
    same = operands[0].grid[:2] == (rows, columns)
    kept = operands[0].grid[2] == channels or op_type in REDUCTIONS
    return Split(by_rows=True, attributes=own) if same and kept else None


def _by_rows(op_type: str, attributes: Mapping[str, Any], rank: int) -> Mapping[str, Any] | None:
    """The attributes of a function along the last axis for some rows; None for all others."""
    if op_type in ROW_WISE and int(attributes.get("axis", -1)) % rank == rank - 1:
        return {**attributes, "axis": -1}
    if op_type in REDUCTIONS and attributes.get("keepdims", 1):
        axes = [int(axis) % rank for axis in attributes.get("axes", ())]
        return {**attributes, "axes": [2]} if axes == [rank - 1] else None
    return None


def need_of(split: Split, operand: Layout, result: Layout, part: Box) -> Box:
    """The box of an operand that a part of the result needs."""
    whole = operand.whole
    rows, columns, channels = (a == b for a, b in zip(operand.grid, result.grid, strict=True))
    y0, y1 = (part.y0, part.y1) if rows else (0, whole.height)
    x0, x1 = (part.x0, part.x1) if columns else (0, whole.width)
    c0, c1 = (part.c0, part.c1) if channels and not split.by_rows else (0, whole.channels)
    return Box(y0, y1, x0, x1, c0, c1)


def constant_for(constant: NDArray[Any], result: Layout, part: Box) -> NDArray[Any]:
    """A constant as the function of a part sees it: one value, or one for each of its channels."""
    flat = np.asarray(constant).reshape(-1)
    if flat.size == 1:
        return flat.reshape(())
    return flat[part.c0 : part.c1] if flat.size == result.grid[2] else flat


def _in_order(layout: Layout, result: Layout) -> bool:
    """Whether an operand lies in memory like the result, axes counted from the last one."""
    if layout.axes == result.axes:
        return True
    return all(axes == tuple(range(len(axes))) for axes in (layout.axes, result.axes))


def _broadcasts(grid: Grid, to: Grid) -> bool:
    return all(a in (1, b) for a, b in zip(grid, to, strict=True))


def _along_channels(shape: tuple[int, ...], result: Layout) -> bool:
    """Whether a constant differs along the innermost axis only."""
    if len(shape) > len(result.shape):
        return False
    aligned = (1,) * (len(result.shape) - len(shape)) + shape
    return all(size == 1 or axis == result.axes[-1] for axis, size in enumerate(aligned))
