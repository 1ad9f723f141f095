"""Canonical forms of operators that only change shapes: one Reshape, one Transpose, or nothing."""

from __future__ import annotations

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from imccompiler.ir.attributes import to_attributes
from imccompiler.ir.decisions import Source
from imccompiler.ir.dialect import DigitalOp, MatmulOp
from imccompiler.ir.types import dtype_of, shape_of, tensor_type
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.rewriting import Rewriter, digital, is_decided


def drop_identity(rewriter: Rewriter, op: Operation) -> bool:
    """What hands its operand on unchanged goes."""
    same = digital(op, "Identity", "Dropout", "Reshape", "Transpose", "Cast", "Concat", "Expand")
    if same is None or not _is_identity(same):
        return False
    rewriter.replace(same, same.operands_[0])
    return True


def reshape_form(rewriter: Rewriter, op: Operation) -> bool:
    """Flatten, Squeeze, Unsqueeze, and a Transpose that moves only axes of size 1: a Reshape."""
    moved = digital(op, "Flatten", "Squeeze", "Unsqueeze", "Transpose")
    if moved is None or (moved.op_type.data == "Transpose" and not _moves_ones(moved)):
        return False
    rewriter.replace(moved, _reshape(rewriter, moved, moved.operands_[0]))
    return True


def merge_reshapes(_: Rewriter, op: Operation) -> bool:
    """A Reshape of a Reshape reads what the first one read."""
    outer = digital(op, "Reshape")
    inner = None if outer is None else _digital_owner(outer.operands_[0], "Reshape")
    if outer is None or inner is None:
        return False
    outer.operands[0] = inner.operands_[0]
    return True


def merge_transposes(_: Rewriter, op: Operation) -> bool:
    """A Transpose of a Transpose becomes one."""
    outer = digital(op, "Transpose")
    inner = None if outer is None else _digital_owner(outer.operands_[0], "Transpose")
    if outer is None or inner is None:
        return False
    first, second = _perm(inner), _perm(outer)
    outer.operands[0] = inner.operands_[0]
    outer.properties["attrs"] = to_attributes({"perm": [first[axis] for axis in second]})
    return True


def global_average(rewriter: Rewriter, op: Operation) -> bool:
    """A mean over all of space, as ReduceMean or AveragePool, becomes GlobalAveragePool."""
    mean = digital(op, "ReduceMean", "AveragePool")
    if mean is None or not _covers_space(mean):
        return False
    x = mean.operands_[0]
    if len(shape_of(x)) == 3 and not _follows_window(x):
        return False  # of a sequence's tokens: its last axis are channels, not space
    shape = shape_of(x)
    pooled = rewriter.digital(mean, "GlobalAveragePool", [x], (*shape[:2], *[1] * (len(shape) - 2)))
    same = shape_of(pooled) == shape_of(mean.result)
    rewriter.replace(mean, pooled if same else _reshape(rewriter, mean, pooled, "shape"))
    return True


def _follows_window(value: SSAValue) -> bool:
    """Whether a value is made by a window, elementwise operators between."""
    while isinstance(value.owner, DigitalOp) and value.owner.operands_:
        value = value.owner.operands_[0]
    return isinstance(value.owner, MatmulOp) and bool(value.owner.window.kernel)


def in_onnx_order(module: ModuleOp) -> None:
    """Bring what a product without a window reads into ONNX order, by a Reshape to its own shape.

    Windows leave channels innermost, which then are not the rows of such a product.
    """
    layouts = assign_layouts(module)
    for op in list(module.body.block.ops):
        if not isinstance(op, MatmulOp) or op.window.kernel or layouts[op.input].is_onnx:
            continue
        shape = shape_of(op.input)
        node = op.source.node if op.source is not None else op.name
        moved = DigitalOp(
            "Reshape",
            [op.input],
            tensor_type(shape, dtype_of(op.input)),
            to_attributes({"shape": list(shape)}),
            Source(f"{node}/ordered", "Reshape"),
        )
        module.body.block.insert_op_before(moved, op)
        op.operands[0] = moved.result


def _is_identity(op: DigitalOp) -> bool:
    kind, x = op.op_type.data, op.operands_[0]
    if kind == "Transpose":
        return _perm(op) == tuple(range(len(shape_of(x))))
    if kind == "Concat" and len(op.operands_) != 1:
        return False
    return shape_of(x) == shape_of(op.result) and dtype_of(x) == dtype_of(op.result)


def _moves_ones(op: DigitalOp) -> bool:
    """Whether the axes that are larger than 1 keep their order."""
    shape = shape_of(op.operands_[0])
    large = [axis for axis in _perm(op) if shape[axis] != 1]
    return large == sorted(large)


def _covers_space(op: DigitalOp) -> bool:
    attributes, shape = op.python_attributes(), shape_of(op.operands_[0])
    if len(shape) not in (3, 4, 5) or len(op.operands_) != 1:
        return False
    if op.op_type.data == "ReduceMean":
        return attributes.get("axes") == tuple(range(2, len(shape)))
    whole = attributes.get("kernel_shape") == shape[2:] and not any(attributes.get("pads", ()))
    dilations = attributes.get("dilations", ())
    return whole and all(dilation == 1 for dilation in dilations)


def _digital_owner(value: SSAValue, op_type: str) -> DigitalOp | None:
    owner = value.owner
    if isinstance(owner, DigitalOp) and owner.op_type.data == op_type and not is_decided(owner):
        return owner
    return None


def _perm(op: DigitalOp) -> tuple[int, ...]:
    rank = len(shape_of(op.operands_[0]))
    default = tuple(reversed(range(rank)))
    return op.python_attributes().get("perm", default)


def _reshape(rewriter: Rewriter, op: DigitalOp, x: SSAValue, part: str = "") -> SSAValue:
    shape = shape_of(op.result)
    return rewriter.digital(op, "Reshape", [x], shape, {"shape": shape}, part=part)
