"""In which order each tensor lies in memory: channels last around windows, ONNX order elsewhere."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from imccompiler.ir.dialect import (
    DigitalOp,
    InputOp,
    MatmulOp,
    WeightOp,
    shape_of,
)
from imccompiler.passes.geometry import Layout, channels_last, natural

SPATIAL = frozenset(
    {
        "MaxPool",
        "AveragePool",
        "GlobalAveragePool",
        "GlobalMaxPool",
        "BatchNormalization",
        "InstanceNormalization",
        "LRN",
        "Resize",
    }
)
FREE = frozenset({"Reshape", "Transpose", "Squeeze", "Unsqueeze", "Expand", "Gather"})


def assign_layouts(module: ModuleOp) -> dict[SSAValue, Layout]:
    """The layout of every tensor.

    Windowed operators read and write channels last. Operators that rearrange anyway write what
    their readers want. All others keep the order of their first tensor operand of that rank.
    """
    layouts: dict[SSAValue, Layout] = {}
    for op in module.body.block.ops:
        if isinstance(op, WeightOp) or not op.results:
            continue
        result = op.results[0]
        if _makes_channels_last(op, result, layouts):
            layouts[result] = channels_last(shape_of(result))
        else:
            layouts[result] = natural(shape_of(result))
    return layouts


def _makes_channels_last(op: object, result: SSAValue, layouts: dict[SSAValue, Layout]) -> bool:
    if len(shape_of(result)) < 3:
        return False
    match op:
        case MatmulOp():
            return bool(op.window.kernel)
        case InputOp():
            return _wanted_by_readers(result)
        case DigitalOp():
            return _digital_makes_channels_last(op, layouts)
        case _:
            return False


def _digital_makes_channels_last(op: DigitalOp, layouts: dict[SSAValue, Layout]) -> bool:
    if op.op_type.data in SPATIAL:
        return True
    if op.op_type.data in FREE:
        return _wanted_by_readers(op.result)
    first = next((v for v in op.operands_ if v in layouts), None)
    return (
        first is not None
        and layouts[first] == channels_last(shape_of(first))
        and len(shape_of(first)) == len(shape_of(op.result))
    )


def _wanted_by_readers(value: SSAValue) -> bool:
    """Whether a reader slides a window over the value, directly or behind elementwise ops."""
    seen = [value]
    for current in seen:
        for use in current.uses:
            reader = use.operation
            if isinstance(reader, MatmulOp) and reader.window.kernel:
                return True
            if isinstance(reader, DigitalOp):
                if reader.op_type.data in SPATIAL:
                    return True
                same_rank = len(shape_of(reader.result)) == len(shape_of(value))
                if reader.op_type.data not in FREE and same_rank and reader.result not in seen:
                    seen.append(reader.result)
    return False
