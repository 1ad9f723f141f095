"""Decide the codes of every tensor and the integer form of every product with static weights."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from imccompiler.errors import PassError
from imccompiler.ir.decisions import Quant
from imccompiler.ir.dialect import DigitalOp, DynamicMatmulOp, InputOp, MatmulOp
from imccompiler.ir.types import dtype_of
from imccompiler.passes.base import CompileContext, ImcPass
from imccompiler.passes.calibration import Calibration, Range, index_limit, observed_ranges
from imccompiler.passes.code_groups import code_groups, narrow_to_use
from imccompiler.passes.quantize_weights import decide_integer
from imccompiler.passes.round_scales import round_scales
from imccompiler.simulator.integer import code_range, range_bits

Coded = InputOp | MatmulOp | DynamicMatmulOp | DigitalOp


@dataclass(frozen=True)
class QuantizePass(ImcPass):
    """Quantise activations per tensor, from calibration data, and weights per channel.

    On exit every value that is not a constant has a `quant`, and every `imc.matmul` its
    `integer` arrays. Decisions that stand are kept: a `quant` serves its whole group of values
    that must have one code. Integer inputs (token numbers) keep their values as codes. A range
    that begins at 0 has the lowest code as zero point, so a relu is done by saturation.

    Options:
        weight_bits, activation_bits: 0 means the machine's.
        method: `minmax`, `percentile` or `mse`.
        percentile: Of each side, of the method `percentile`.
        samples: Calibration samples that are run; without calibration data and at effort 0, one.
        round_scales: Let additions have small multipliers, by coarsening scales a little.
    """

    name = "quantize"
    weight_bits: int = 0
    activation_bits: int = 0
    method: Literal["minmax", "percentile", "mse"] = "minmax"
    percentile: float = 99.99
    samples: int = 8
    round_scales: bool = True

    def depends_on(self, context: CompileContext) -> tuple[object, ...]:
        """Bit widths and calibration."""
        return (self._weight_bits(context), *self._calibration(context).content())

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Decide all `quant` and `integer` attributes that are not there.

        Raises:
            PassError: An option is out of range.
            UserInputError: Calibration data is missing or has the wrong shape.
        """
        self._check()
        if any(op.quant is None for op in coded_ops(module)):
            self._decide_quants(context, module)
        weight_bits = self._weight_bits(context)
        for op in module.body.block.ops:
            if isinstance(op, MatmulOp) and op.integer is None:
                self._check_codes(op, context, weight_bits)
                codes = _quant(op.input), _quant(op.result)
                op.integer = decide_integer(op, context.store, weight_bits, *codes)

    def _check(self) -> None:
        for name in ("weight_bits", "activation_bits"):
            if getattr(self, name) not in {0, *range(2, 17)}:
                raise PassError(f"{name} must be 0 or from 2 to 16", where=self.name)
        if not 50 < self.percentile <= 100:
            raise PassError("percentile must be above 50 and at most 100", where=self.name)
        if self.samples < 1:
            raise PassError("samples must be at least 1", where=self.name)

    def _check_codes(self, op: MatmulOp, context: CompileContext, weight_bits: int) -> None:
        """Drop given integers that only their zero points make too wide."""
        codes = op.codes
        if codes is None or not codes.bits - codes.zero_bits <= weight_bits < codes.bits:
            return
        op.codes = None
        name = op.source.node if op.source is not None else op.name
        context.notes.append(
            f"the weights of {name!r} take {codes.bits} bits with their zero points and the "
            f"machine holds {weight_bits}: they were quantised anew"
        )

    def _weight_bits(self, context: CompileContext) -> int:
        return self.weight_bits or context.machine.weight_bits

    def _calibration(self, context: CompileContext) -> Calibration:
        noise = context.calibration is None
        return Calibration(
            inputs=context.calibration,
            samples=1 if noise and context.effort == 0 else self.samples,
            seed=context.seed,
            method=self.method,
            percentile=self.percentile,
            bits=self.activation_bits or context.machine.activation_bits,
        )

    def _decide_quants(self, context: CompileContext, module: ModuleOp) -> None:
        groups = code_groups(module)
        bits = self._calibration(context).bits
        ranges: dict[SSAValue, Range] = {}
        if any(_standing_in(group) is None for group in groups):
            ranges = self._ranges(context, module)
        quants = [self._group_quant(g, ranges, context, bits) for g in groups]
        decided = {v: q for g, q in zip(groups, quants, strict=True) for v in g}
        if self.round_scales:
            round_scales(module, groups, decided)
        for op in coded_ops(module):
            if op.quant is None:
                op.quant = decided[op.result]

    def _ranges(self, context: CompileContext, module: ModuleOp) -> dict[SSAValue, Range]:
        if context.calibration is None:
            context.notes.append(
                "activations were calibrated on seeded noise: give calibration data before "
                "trusting accuracy"
            )
        ranges = observed_ranges(module, context.store, self._calibration(context))
        narrow_to_use(module, ranges)
        return ranges

    def _group_quant(
        self,
        group: list[SSAValue],
        ranges: dict[SSAValue, Range],
        context: CompileContext,
        bits: int,
    ) -> Quant:
        if (standing := _standing_in(group)) is not None:
            return standing
        lows, highs = zip(*(ranges[v] for v in group), strict=True)
        if any(dtype_of(v).kind in "iub" for v in group):
            limits = [index_limit(v, context.store) - 1 for v in group]
            return integer_quant(int(min(lows)), int(max(*highs, *limits)))
        return affine_quant(min(lows), max(highs), bits)


def affine_quant(low: float, high: float, bits: int) -> Quant:
    """Codes that span [low, high], widened to hold 0, which has a code of its own."""
    low, high = min(low, 0.0), max(high, 0.0)
    lowest, highest = code_range(bits)
    scale = (high - low) / (highest - lowest)
    if not scale > 0:  # only zeros were seen
        return Quant(1.0, lowest, bits)
    return Quant(scale, min(max(round(lowest - low / scale), lowest), highest), bits)


def integer_quant(low: int, high: int) -> Quant:
    """Codes that are the integers themselves, in one, two or four bytes."""
    needed = range_bits(low, high)
    return Quant(1.0, 0, next((bits for bits in (8, 16) if needed <= bits), 32))


def coded_ops(module: ModuleOp) -> Iterable[Coded]:
    """Ops whose result has a `quant`, in program order."""
    return [op for op in module.body.block.ops if isinstance(op, Coded)]


def _standing(value: SSAValue) -> Quant | None:
    return value.owner.quant if isinstance(value.owner, Coded) else None


def _standing_in(group: list[SSAValue]) -> Quant | None:
    return next((q for v in group if (q := _standing(v)) is not None), None)


def _quant(value: SSAValue) -> Quant:
    quant = _standing(value)
    if quant is None:
        owner = value.owner
        where = owner.name if isinstance(owner, Operation) else None
        raise PassError("has no quant", where=where)
    return quant
