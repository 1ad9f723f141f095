"""Values that must have one code: the two sides of what only moves or compares codes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from imccompiler.ir.attributes import to_python
from imccompiler.ir.dialect import DigitalOp, WeightOp, shape_of
from imccompiler.ir.host import on_host
from imccompiler.passes.calibration import Range
from imccompiler.simulator.digital import is_movement
from imccompiler.simulator.digital_elementwise import clip_bounds


def tied_operands(op: DigitalOp) -> list[SSAValue]:
    """Operands that should have the code of the result, so that codes need no arithmetic.

    Those of movements, of maxima, of Relu, and of a Clip around 0: with one code for both
    sides, what is clipped away is clipped when the operand is saturated.
    """
    data = [v for v in op.operands_ if not isinstance(v.owner, WeightOp)]
    kind, attributes = op.op_type.data, to_python(op.attrs)
    all_data = len(data) == len(op.operands_)
    if on_host(kind) or (kind == "Resize" and attributes.get("mode", "nearest") != "nearest"):
        return []
    if kind in {"Relu", "MaxPool", "GlobalMaxPool"}:
        return data
    if kind in {"Clip", "Max", "Concat"}:
        fits = {"Clip": lambda: _around_zero(attributes), "Max": lambda: _alike(data)}
        return data if all_data and fits.get(kind, lambda: True)() else []
    first_only = bool(data) and len(data) == 1 and op.operands_[0] is data[0]
    return data if is_movement(kind) and first_only else []


def _alike(values: list[SSAValue]) -> bool:
    return len({shape_of(v) for v in values}) == 1


def _around_zero(attributes: Mapping[str, Any]) -> bool:
    low, high = clip_bounds(attributes, ())
    return low <= 0 <= high


def narrow_to_use(module: ModuleOp, ranges: dict[SSAValue, Range]) -> None:
    """Give a tied operand that is used once the range of the result, from the end on.

    What does not get through a Relu, a Clip, a maximum or a Slice need not be represented; so a
    sum before a Relu has 0 as its lowest value.
    """
    for op in reversed(list(module.body.block.ops)):
        if isinstance(op, DigitalOp) and op.result in ranges:
            for operand in tied_operands(op):
                if operand in ranges and operand.has_one_use():
                    ranges[operand] = ranges[op.result]


def code_groups(module: ModuleOp) -> list[list[SSAValue]]:
    """All values that are not constants, in groups of one code, in program order."""
    leader: dict[SSAValue, SSAValue] = {}

    def find(value: SSAValue) -> SSAValue:
        while leader[value] is not value:
            leader[value] = leader[leader[value]]
            value = leader[value]
        return value

    for op in module.body.block.ops:
        if not op.results or isinstance(op, WeightOp):
            continue
        result = op.results[0]
        leader[result] = result
        if isinstance(op, DigitalOp):
            for operand in tied_operands(op):
                leader[find(result)] = find(operand)
    groups: dict[SSAValue, list[SSAValue]] = {}
    for value in leader:
        groups.setdefault(find(value), []).append(value)
    return list(groups.values())
