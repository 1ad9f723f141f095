"""Movements that importers put around products: parts of a tensor, and tensors put together."""

from __future__ import annotations

from collections.abc import Sequence

from xdsl.ir import SSAValue

from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.graph import Node
from imccompiler.ir.types import shape_of


def cut(
    b: ModuleBuilder,
    node: Node,
    x: SSAValue,
    axis: int,
    positions: range,
    part: str,
) -> SSAValue:
    """The elements of `x` at some positions of an axis, ascending."""
    shape = list(shape_of(x))
    if positions == range(shape[axis]):
        return x
    shape[axis] = len(positions)
    lists = {
        "axes": [axis],
        "starts": [positions.start],
        "ends": [positions.stop],
        "steps": [positions.step],
    }
    return b.digital(node, "Slice", [x], shape, lists, part=part)


def join(
    b: ModuleBuilder, node: Node, parts: Sequence[SSAValue], axis: int, part: str = ""
) -> SSAValue:
    """Tensors behind each other along an axis."""
    if len(parts) == 1:
        return parts[0]
    shape = list(shape_of(parts[0]))
    shape[axis] = sum(shape_of(p)[axis] for p in parts)
    return b.digital(node, "Concat", parts, shape, {"axis": axis}, part=part)


def permute(b: ModuleBuilder, node: Node, x: SSAValue, order: Sequence[int], part: str) -> SSAValue:
    """The axes of `x` in another order."""
    if list(order) == sorted(order):
        return x
    shape = [shape_of(x)[axis] for axis in order]
    return b.digital(node, "Transpose", [x], shape, {"perm": list(order)}, part=part)


def pad_axis(
    b: ModuleBuilder, node: Node, x: SSAValue, axis: int, widths: tuple[int, int], part: str
) -> SSAValue:
    """Zeros before and behind the elements of an axis."""
    if widths == (0, 0):
        return x
    shape = list(shape_of(x))
    shape[axis] += sum(widths)
    pads = [0] * (2 * len(shape))
    pads[axis], pads[axis + len(shape)] = widths
    lists = {"pads": pads, "mode": "constant", "constant_value": 0.0}
    return b.digital(node, "Pad", [x], shape, lists, part=part)
