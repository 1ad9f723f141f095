"""How digital functions split: which part of its operands and constants a part of a result needs.

A part is a box of the result's grid. Elementwise functions split anywhere; functions along the last
axis in memory split into rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod
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


MOVES = frozenset({"Slice", "Transpose"})


@dataclass(frozen=True, slots=True)
class Split:
    """A function that can be computed part by part.

    Attributes:
        op_type, attributes: Those of the function of a part.
        by_rows: A part must have all channels.
        shift: Where in the operand's rows, columns and channels the result begins.
        perm: Which of the operand's rows, columns and channels the result's are.
        looked_up: Columns of the result are the operand's channels: indices into a table.
        flat: The function sees a part as (positions, channels).
    """

    op_type: str
    attributes: Mapping[str, Any]
    by_rows: bool = False
    shift: Grid = (0, 0, 0)
    perm: Grid = (0, 1, 2)
    looked_up: bool = False
    flat: bool = False


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
    if not operands:
        return None
    if op_type in MOVES:
        return _moved(op_type, attributes, operands[0], result) if not constants else None
    if op_type == "Gather":
        return _looked_up(attributes, operands, result)
    if op_type == "BatchNormalization":
        same = len(operands) == 1 and operands[0] == result and result.axes[-1] == 1
        return Split(op_type, attributes, flat=True) if same else None
    return _evaluated(op_type, attributes, operands, result, constants)


def _evaluated(
    op_type: str,
    attributes: Mapping[str, Any],
    operands: Sequence[Layout],
    result: Layout,
    constants: Sequence[tuple[int, ...]],
) -> Split | None:
    """An elementwise function, or one along the last axis."""
    in_order = all(_in_order(layout, result) for layout in operands)
    if not in_order or any(_grid_of(shape, result) is None for shape in constants):
        return None
    rows, columns, channels = result.grid
    if op_type in ELEMENTWISE:
        fits = all(_broadcasts(layout.grid, result.grid) for layout in operands)
        return Split(op_type, attributes) if fits else None
    own = _by_rows(op_type, attributes, len(result.shape))
    if own is None or len(operands) > 1 or result.axes[-1] != len(result.shape) - 1:
        return None
    same = operands[0].grid[:2] == (rows, columns)
    kept = operands[0].grid[2] == channels or op_type in REDUCTIONS
    return Split(op_type, own, by_rows=True) if same and kept else None


def _by_rows(op_type: str, attributes: Mapping[str, Any], rank: int) -> Mapping[str, Any] | None:
    """The attributes of a function along the last axis for some rows; None for all others."""
    if op_type in ROW_WISE and int(attributes.get("axis", -1)) % rank == rank - 1:
        return {**attributes, "axis": -1}
    if op_type in REDUCTIONS and attributes.get("keepdims", 1):
        axes = [int(axis) % rank for axis in attributes.get("axes", ())]
        return {**attributes, "axes": [2]} if axes == [rank - 1] else None
    return None


def _moved(
    op_type: str, attributes: Mapping[str, Any], operand: Layout, result: Layout
) -> Split | None:
    """A Slice with steps of 1, or a Transpose that exchanges rows and columns of the grid."""
    rank = len(result.shape)
    if not _in_order(operand, result) or len(operand.shape) != rank:
        return None
    if op_type == "Slice":
        if any(step != 1 for step in attributes["steps"]):
            return None
        starts = [0] * rank
        for axis, start in zip(attributes["axes"], attributes["starts"], strict=True):
            size = operand.shape[axis]
            starts[axis] = min(start + size if start < 0 else start, size)
        in_memory = [starts[axis] for axis in operand.axes]
        if any(in_memory[:-3]):
            return None
        shift = (0, 0, *in_memory)[-3:]
        before, after = ([layout.shape[a] for a in layout.axes] for layout in (operand, result))
        # rows of the grid are several axes in one: a cut through the last of them is no box
        whole_rows = before[:-2] == after[:-2] or prod(before[:-3]) == 1
        return Split("Identity", {}, shift=(shift[0], shift[1], shift[2])) if whole_rows else None
    return _turned(list(attributes["perm"]), operand, result) if rank > 2 else None


def _turned(perm: list[int], operand: Layout, result: Layout) -> Split | None:
    """A Transpose that exchanges rows, columns and channels of the grid."""
    outer = len(perm) - 3
    if not operand.is_onnx or not result.is_onnx:
        return None
    if perm[: outer + 1] == [*range(outer + 1)]:  # the rows, which may be several axes, stay
        turned = (0, 2, 1)
    elif prod(operand.shape[:outer]) == 1 and perm[:outer] == [*range(outer)]:
        rows, columns, channels = (axis - outer for axis in perm[outer:])
        turned = (rows, columns, channels)
    else:
        return None
    return Split("Transpose", {"perm": list(turned)}, perm=turned)


def _looked_up(
    attributes: Mapping[str, Any], operands: Sequence[Layout], result: Layout
) -> Split | None:
    """A table of rows with indices that are data."""
    rows, columns, _ = result.grid
    indices = operands[0].grid
    fits = len(operands) == 1 and rows == 1 and indices == (1, 1, columns)
    if not fits or int(attributes.get("axis", 0)) != 0 or not result.is_onnx:
        return None
    return Split("Gather", attributes, by_rows=True, looked_up=True)


def need_of(split: Split, operand: Layout, result: Layout, part: Box) -> Box:
    """The box of an operand that a part of the result needs."""
    if split.looked_up:
        return Box(0, 1, 0, 1, part.x0, part.x1)
    if split.op_type == "Transpose":
        return _permuted(part, np.argsort(split.perm).tolist())
    if any(split.shift) or split.op_type == "Identity":
        y, x, c = split.shift
        return Box(part.y0 + y, part.y1 + y, part.x0 + x, part.x1 + x, part.c0 + c, part.c1 + c)
    whole = operand.whole
    rows, columns, channels = (a == b for a, b in zip(operand.grid, result.grid, strict=True))
    y0, y1 = (part.y0, part.y1) if rows else (0, whole.height)
    x0, x1 = (part.x0, part.x1) if columns else (0, whole.width)
    c0, c1 = (part.c0, part.c1) if channels and not split.by_rows else (0, whole.channels)
    return Box(y0, y1, x0, x1, c0, c1)


def part_of(split: Split, operand: Layout, result: Layout, tile: Box) -> Box | None:
    """The part of the result that a tile of an operand serves; None if it does not serve alone."""
    if split.looked_up:
        return None
    if split.op_type == "Transpose":
        return _permuted(tile, split.perm)
    if split.op_type == "Identity" or any(split.shift):
        y, x, c = split.shift
        moved = Box(tile.y0 - y, tile.y1 - y, tile.x0 - x, tile.x1 - x, tile.c0 - c, tile.c1 - c)
        return moved.intersect(result.whole)
    same = operand.grid[:2] == result.grid[:2]
    if split.by_rows:
        whole = same and tile.channels == operand.grid[2]
        return tile._replace(c0=0, c1=result.grid[2]) if whole else None
    return tile if same and operand.grid[2] == result.grid[2] else None


def _permuted(box: Box, perm: Sequence[int]) -> Box:
    """Axis i of the box is axis `perm[i]` of the given one."""
    low, high = box[::2], box[1::2]
    (y0, y1), (x0, x1), (c0, c1) = ((low[axis], high[axis]) for axis in perm)
    return Box(y0, y1, x0, x1, c0, c1)


def extent_of(
    split: Split, shape: tuple[int, ...], result: Layout, part: Box
) -> tuple[tuple[int, int], ...]:
    """Rows, columns and channels of a constant that a part of the result needs; none means all."""
    if split.flat:
        return ((part.c0, part.c1),)
    grid = None if split.looked_up else _grid_of(shape, result)
    if grid is None:
        return ()
    ranges = ((part.y0, part.y1), (part.x0, part.x1), (part.c0, part.c1))
    return tuple(r if size > 1 else (0, 1) for r, size in zip(ranges, grid, strict=True))


def constant_for(
    constant: NDArray[Any], result: Layout, extent: tuple[tuple[int, int], ...]
) -> NDArray[Any]:
    """A constant as the function of a part sees it, broadcast like the part."""
    if len(extent) == 1:
        return np.asarray(constant)[slice(*extent[0])]
    grid = _grid_of(constant.shape, result)
    if not extent or grid is None:
        return constant
    if grid[0] > 1:  # where it is the same for some of the outer axes, their rows repeat
        outer = result.shape[:-2]
        constant = np.broadcast_to(constant, (*outer, *grid[1:]))
    return constant.reshape(grid)[tuple(slice(*r) for r in extent)]


def _in_order(layout: Layout, result: Layout) -> bool:
    """Whether an operand lies in memory like the result, axes counted from the last one."""
    if layout.axes == result.axes:
        return True
    return all(axes == tuple(range(len(axes))) for axes in (layout.axes, result.axes))


def _broadcasts(grid: Grid, to: Grid) -> bool:
    return all(a in (1, b) for a, b in zip(grid, to, strict=True))


def _grid_of(shape: tuple[int, ...], result: Layout) -> Grid | None:
    """Rows, columns and channels of a constant that broadcasts to the result; None if it does not.

    Where the result does not lie in ONNX order, only along its innermost axis.
    """
    rank = len(result.shape)
    if len(shape) > rank:
        return None
    aligned = (1,) * (rank - len(shape)) + shape
    channels = prod(aligned)
    if all(size == 1 or axis == result.axes[-1] for axis, size in enumerate(aligned)):
        return (1, 1, channels)
    if result.axes != tuple(range(rank)):
        return None
    rows = 1 if prod(aligned[:-2]) == 1 else result.grid[0]
    return (rows, aligned[-2], aligned[-1])
