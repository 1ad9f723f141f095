"""LayerNormalization, which exporters take apart, put together again.

It is taken only if the structure is that of the definition (ONNX LayerNormalization).
"""

from __future__ import annotations

import numpy as np
from xdsl.ir import Operation, SSAValue

from imccompiler.ir.dialect import DigitalOp
from imccompiler.ir.types import dtype_of, shape_of
from imccompiler.passes.fold_products import split_constant
from imccompiler.passes.rewriting import Array, Rewriter, digital, is_decided, producer


def recognise_layer_norm(rewriter: Rewriter, op: Operation) -> bool:
    """Turn (x - mean) / sqrt(variance + epsilon) over the last axes into LayerNormalization.

    Its scale is 1 at first; `layer_norm_affine` takes up the scale and shift that follow.
    """
    quotient = digital(op, "Div")
    centred = None if quotient is None else _owner(quotient.operands_[0], "Sub")
    root = None if quotient is None else _owner(quotient.operands_[1], "Sqrt")
    if quotient is None or centred is None or root is None:
        return False
    x, mean = centred.operands_
    first_axis = _mean_axis(mean, x)
    epsilon = _epsilon_of_variance(rewriter, root.operands_[0], centred.result, first_axis)
    if first_axis is None or epsilon is None:
        return False
    ones = np.ones(shape_of(x)[first_axis:], dtype_of(x))
    scale = rewriter.weight(quotient, f"{_name(quotient)}.scale", ones)
    attributes = {"axis": first_axis, "epsilon": epsilon}
    norm = rewriter.digital(quotient, "LayerNormalization", [x, scale], shape_of(x), attributes)
    rewriter.replace(quotient, norm)
    return True


def layer_norm_affine(rewriter: Rewriter, op: Operation) -> bool:
    """A constant scale after a LayerNormalization becomes its scale, a shift its bias."""
    affine = digital(op, "Mul", "Add")
    if affine is None:
        return False
    data, constant = split_constant(rewriter, affine)
    norm = None if data is None else producer(data, DigitalOp)
    norm = None if norm is None else digital(norm, "LayerNormalization")
    if norm is None or constant is None or shape_of(affine.result) != shape_of(norm.result):
        return False
    parameters = [rewriter.constant(v) for v in norm.operands_[1:]]
    vector = _over_last_axes(constant, shape_of(norm.operands_[1]))
    if vector is None or any(parameter is None for parameter in parameters):
        return False
    scale, *bias = [p.astype(np.float64) for p in parameters if p is not None]
    if affine.op_type.data == "Mul":
        values = [scale * vector, *(b * vector for b in bias)]
    else:
        values = [scale, bias[0] + vector if bias else vector]
    weights = [
        rewriter.weight(norm, f"{_name(norm)}.{part}", value.astype(dtype_of(norm.result)))
        for part, value in zip(("scale", "bias"), values, strict=False)
    ]
    norm.operands = (norm.operands_[0], *weights)
    rewriter.replace(affine, norm.result)
    return True


def _epsilon_of_variance(
    rewriter: Rewriter, value: SSAValue, centred: SSAValue, first_axis: int | None
) -> float | None:
    """Epsilon, if `value` is epsilon + mean(centred^2) over the axes from `first_axis` on."""
    total = _owner(value, "Add")
    variance, epsilon = (None, None) if total is None else split_constant(rewriter, total)
    mean = None if variance is None else _owner(variance, "ReduceMean")
    if variance is None or mean is None or epsilon is None or epsilon.size != 1:
        return None
    square = mean.operands_[0]
    if first_axis is None or _mean_axis(variance, square) != first_axis:
        return None
    return float(epsilon.reshape(())) if _is_square(rewriter, square, centred) else None


def _is_square(rewriter: Rewriter, value: SSAValue, of: SSAValue) -> bool:
    power, product = _owner(value, "Pow"), _owner(value, "Mul")
    if power is not None:
        return power.operands_[0] is of and rewriter.scalar(power.operands_[1]) == 2
    return product is not None and all(operand is of for operand in product.operands_)


def _mean_axis(value: SSAValue, of: SSAValue) -> int | None:
    """The first axis of a mean of `of` over all axes from there on, these kept as 1."""
    mean = _owner(value, "ReduceMean")
    if mean is None or mean.operands_[0] is not of or len(mean.operands_) != 1:
        return None
    attributes, rank = mean.python_attributes(), len(shape_of(of))
    axes = attributes.get("axes", ())
    whole = axes and axes == tuple(range(axes[0], rank)) and attributes.get("keepdims") == 1
    return axes[0] if whole else None


def _over_last_axes(constant: Array, shape: tuple[int, ...]) -> Array | None:
    """`constant` broadcast to the normalised axes, if it does not vary over others."""
    extra = max(constant.ndim - len(shape), 0)
    if any(dim != 1 for dim in constant.shape[:extra]):
        return None
    return np.broadcast_to(constant.reshape(constant.shape[extra:]), shape).astype(np.float64)


def _owner(value: SSAValue, op_type: str) -> DigitalOp | None:
    owner = value.owner
    if isinstance(owner, DigitalOp) and owner.op_type.data == op_type and not is_decided(owner):
        return owner
    return None


def _name(op: DigitalOp) -> str:
    return op.source.node if op.source is not None else "norm"
