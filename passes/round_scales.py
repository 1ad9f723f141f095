"""Scales at which additions are exact with small multipliers.

An addition computes qa ma + qb mb with ma / 2^s = scale_a / scale_out. Where both multipliers
have as few bits as the codes, an addition needs no widened operands. Scales only grow, by at
most 1/32 of an operand or result that dominates; an operand that contributes little may be
coarsened more, to steps that are still finer than the result's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from imccompiler.ir.decisions import Quant
from imccompiler.ir.dialect import DigitalOp
from imccompiler.ir.types import dtype_of

LARGEST_FACTOR = 127  # with its sign, as wide as an 8-bit code
SMALLEST_FACTOR = 32  # rounds to it coarsen a result by at most 1/32
EXACT = 1e-6  # a factor so near to an integer is that integer


def round_scales(
    module: ModuleOp, groups: list[list[SSAValue]], quants: dict[SSAValue, Quant]
) -> None:
    """Change the scales of groups around additions, in program order.

    Args:
        module: Its additions are looked at.
        groups: Values of one code.
        quants: By value; changed in place. Groups that hold a standing decision or integers
            keep theirs, and an addition never changes what one before it has settled.
    """
    group_of = {v: i for i, group in enumerate(groups) for v in group}
    settled = {i for i, group in enumerate(groups) if any(_is_given(v) for v in group)}
    for op in module.body.block.ops:
        if not isinstance(op, DigitalOp) or op.op_type.data not in {"Add", "Sub"}:
            continue
        members = [group_of.get(v) for v in (*op.operands_, op.result)]
        if None in members:  # an operand is a constant
            continue
        if len(set(members)) == 3:
            a, b, out = (quants[v].scale for v in (*op.operands_, op.result))
            scales = rounded_scales((a, b, out), [m in settled for m in members])
            for group, scale in zip(members, scales, strict=True):
                for v in groups[group or 0]:
                    quants[v] = replace(quants[v], scale=scale)
        settled.update(m for m in members if m is not None)


def _is_given(value: SSAValue) -> bool:
    decided = isinstance(getattr(value.owner, "quant", None), Quant)
    return decided or dtype_of(value).kind in "iub"


def rounded_scales(
    scales: tuple[float, float, float], settled: Sequence[bool]
) -> tuple[float, float, float]:
    """Scales (a, b, out), none smaller, at which a + b has multipliers of 7 bits.

    Args:
        scales: Wanted scales of a, b and the result.
        settled: Which of them must stay. Where that leaves no good answer, all stay.
    """
    a, b, out = scales
    shift = _shift(max(a, b) / out)
    if shift is None:
        return scales
    if not settled[2] and (settled[0] or settled[1]):
        fixed = a if settled[0] else b
        factor = math.floor(fixed * 2**shift / out + EXACT)
        if (settled[0] and settled[1]) or factor < SMALLEST_FACTOR:
            return scales
        out = fixed * 2**shift / factor

    def rounded(scale: float, *, keep: bool) -> float:
        return scale if keep else math.ceil(scale * 2**shift / out - EXACT) * out / 2**shift

    return rounded(a, keep=settled[0]), rounded(b, keep=settled[1]), out


def _shift(ratio: float) -> int | None:
    """The largest shift at which `ratio` rounds up to a multiplier; None if there is none."""
    shift = math.floor(math.log2(LARGEST_FACTOR / ratio))
    return shift if shift >= 0 else None
