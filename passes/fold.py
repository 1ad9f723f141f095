"""The pass `fold`: constants computed, and folded into the weights that follow or precede."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from imccompiler.errors import PassError, UserInputError
from imccompiler.ir.dialect import DigitalOp, WeightOp
from imccompiler.ir.types import dtype_of, shape_of
from imccompiler.passes.base import CompileContext, ImcPass
from imccompiler.passes.fold_norms import (
    fold_affine_into_batch_norm,
    fold_batch_norm,
    fold_batch_norm_forward,
)
from imccompiler.passes.fold_products import (
    fold_pad,
    fold_scale_after,
    fold_shift_after,
    split_constant,
)
from imccompiler.passes.rewriting import Rewriter, Rule, apply_rules, digital, is_float, producer


@dataclass(frozen=True)
class FoldPass(ImcPass):
    """Fold constants: operators of constants, BatchNormalization, channel scales, zero padding.

    Holds on exit: no digital operator has constant operands only, unless its result is larger
    than `limit_mib` or it cannot be evaluated; ops whose result nothing uses are gone. Ops about
    which something is decided stay as they are.

    Attributes:
        limit_mib: Largest constant that folding may make, in MiB.
    """

    name: ClassVar[str] = "fold"
    limit_mib: int = 64

    def depends_on(self, context: CompileContext) -> tuple[object, ...]:  # noqa: ARG002
        """Nothing."""
        return ()

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Apply the rules until none applies.

        Raises:
            PassError: `limit_mib` is negative.
        """
        if self.limit_mib < 0:
            raise PassError(f"limit_mib must not be {self.limit_mib}", where=self.name)
        apply_rules(module, context.store, (constants_rule(self.limit_mib), *RULES))


def constants_rule(limit_mib: int) -> Rule:
    """The rule that computes digital operators whose operands are all constants."""

    def fold_constants(rewriter: Rewriter, op: Operation) -> bool:
        from imccompiler.simulator.digital import evaluate_float  # noqa: PLC0415

        if not isinstance(op, DigitalOp) or not op.operands_:
            return False
        if not all(isinstance(v.owner, WeightOp) for v in op.operands_):
            return False
        shape, dtype = shape_of(op.result), dtype_of(op.result)
        if math.prod(shape) * dtype.itemsize > limit_mib * 2**20:
            return False
        attributes = op.python_attributes()
        operands = [rewriter.constant(v) for v in op.operands_]
        for position in attributes.pop("absent", ()):
            operands.insert(position, None)
        try:
            value = evaluate_float(op.op_type.data, attributes, operands)
        except UserInputError:  # a mode that is not supported: the op stays
            return False
        name = op.source.node if op.source is not None else op.op_type.data
        rewriter.replace(op, rewriter.weight(op, name, value.astype(dtype).reshape(shape)))
        return True

    return fold_constants


def merge_additions(rewriter: Rewriter, op: Operation) -> bool:
    """Two additions of constants in a row become one."""
    outer = digital(op, "Add")
    if outer is None or not is_float(outer.result):
        return False
    middle, second = split_constant(rewriter, outer)
    inner = None if middle is None else producer(middle, DigitalOp)
    inner = None if inner is None else digital(inner, "Add")
    if second is None or inner is None:
        return False
    data, first = split_constant(rewriter, inner)
    if data is None or first is None:
        return False
    name = f"{outer.source.node}.sum" if outer.source is not None else "sum"
    total = (first.astype(np.float64) + second).astype(first.dtype)
    outer.operands = (data, rewriter.weight(outer, name, total))
    return True


RULES: tuple[Rule, ...] = (
    fold_batch_norm,
    fold_scale_after,
    fold_shift_after,
    fold_pad,
    merge_additions,
    fold_affine_into_batch_norm,
    fold_batch_norm_forward,
)
