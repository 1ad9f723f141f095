"""Gelu, which exporters take apart, put together again: fewer digital steps, no rounding between.

It is taken only if structure and constants are those of the definition (ONNX Gelu).
"""

from __future__ import annotations

import math
from typing import Literal

from xdsl.ir import Operation, SSAValue

from imccompiler.ir.dialect import DigitalOp
from imccompiler.ir.types import shape_of
from imccompiler.passes.fold_products import split_constant
from imccompiler.passes.rewriting import Rewriter, digital, producer

TOLERANCE = 1e-5  # of constants, relative: they were written in single precision
CUBIC = 0.044715


def recognise_gelu(rewriter: Rewriter, op: Operation) -> bool:
    """Turn x (1 + erf(x / sqrt 2)) / 2, or its form with tanh, into Gelu."""
    product = digital(op, "Mul")
    if product is None:
        return False
    factor, parts = _factors(rewriter, product)
    if len(parts) != 2 or not _near(factor, 0.5):
        return False
    for x, gate in (parts, parts[::-1]):
        form = _gate_form(rewriter, gate, x)
        if form is not None and shape_of(x) == shape_of(product.result):
            attributes = {"approximate": form}
            gelu = rewriter.digital(product, "Gelu", [x], shape_of(x), attributes)
            rewriter.replace(product, gelu)
            return True
    return False


def _gate_form(rewriter: Rewriter, gate: SSAValue, x: SSAValue) -> Literal["none", "tanh"] | None:
    """Which form of Gelu `gate` is 1 + erf or 1 + tanh of, for `x`."""
    one_more = _digital(gate, "Add")
    inner, one = (None, None) if one_more is None else split_constant(rewriter, one_more)
    if inner is None or one is None or one.size != 1 or not _near(float(one.reshape(())), 1.0):
        return None
    erf, tanh = _digital(inner, "Erf"), _digital(inner, "Tanh")
    if erf is not None:
        factor, parts = _leaves(rewriter, erf.operands_[0])
        return "none" if parts == [x] and _near(factor, math.sqrt(0.5)) else None
    if tanh is None:
        return None
    factor, parts = _leaves(rewriter, tanh.operands_[0])
    if len(parts) != 1 or not _near(factor, math.sqrt(2 / math.pi)):
        return None
    total = _digital(parts[0], "Add")
    if total is None or x not in total.operands_:
        return None
    return "tanh" if any(_is_cubic(rewriter, term, x) for term in total.operands_) else None


def _is_cubic(rewriter: Rewriter, term: SSAValue, x: SSAValue) -> bool:
    """Whether `term` is 0.044715 x^3."""
    factor, parts = _leaves(rewriter, term)
    if not _near(factor, CUBIC):
        return False
    power = _digital(parts[0], "Pow") if len(parts) == 1 else None
    if power is None:
        return parts == [x, x, x]
    return power.operands_[0] is x and rewriter.scalar(power.operands_[1]) == 3


def _leaves(rewriter: Rewriter, value: SSAValue) -> tuple[float, list[SSAValue]]:
    """`value` as a product: its scalar factor, and the tensors that are multiplied."""
    op = _digital(value, "Mul", "Div")
    return (1.0, [value]) if op is None else _factors(rewriter, op)


def _factors(rewriter: Rewriter, op: DigitalOp) -> tuple[float, list[SSAValue]]:
    """A Mul, or a Div by a scalar, as a product; inner products that are used elsewhere stay."""
    total, parts = 1.0, list[SSAValue]()
    for position, operand in enumerate(op.operands_):
        divides = op.op_type.data == "Div" and position == 1
        scalar = rewriter.scalar(operand)
        if scalar is not None and (scalar != 0 or not divides):
            total = total / scalar if divides else total * scalar
        elif divides:
            return 1.0, [op.result]
        else:
            factor, inner = _leaves(rewriter, operand)
            total, parts = total * factor, [*parts, *inner]
    return total, parts


def _digital(value: SSAValue, *op_types: str) -> DigitalOp | None:
    op = producer(value, DigitalOp)
    return None if op is None else digital(op, *op_types)


def _near(value: float, target: float) -> bool:
    return math.isclose(value, target, rel_tol=TOLERANCE)
