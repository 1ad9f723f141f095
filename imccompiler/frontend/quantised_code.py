"""Integer codes as quantised networks write them, and constants in them.

A network's integers are signed or unsigned, of any range; the dialect's are two's complement.
Moving zero point and codes by the same number changes no value.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.frontend.constants import Array
from imccompiler.ir.decisions import Quant
from imccompiler.simulator.integer import code_range, range_bits


@dataclass(frozen=True, slots=True)
class Code:
    """Codes of an activation: value = scale * (code - zero_point), code from `low` to `high`."""

    scale: float
    zero_point: int
    low: int
    high: int

    @property
    def quant(self) -> Quant:
        """The same codes in the dialect's form; unsigned ones are moved by half their range."""
        if self.low >= 0:
            bits = max(self.high.bit_length(), 1)
            return Quant(self.scale, self.zero_point - (1 << (bits - 1)), bits)
        return Quant(self.scale, self.zero_point, range_bits(self.low, self.high))

    @property
    def bounds(self) -> tuple[float, float] | None:
        """Smallest and largest value, if codes of the width could go beyond; else None."""
        bits = self.quant.bits
        full = (0, (1 << bits) - 1) if self.low >= 0 else code_range(bits)
        return (
            None if full == (self.low, self.high) else (self.real(self.low), self.real(self.high))
        )

    def real(self, code: int) -> float:
        """The value of a code."""
        return self.scale * (code - self.zero_point)

    def narrowed(self, low: float, high: float) -> Code:
        """The code after a clip to [low, high]."""
        return replace(
            self, low=int(max(self.low, np.ceil(low))), high=int(min(self.high, np.floor(high)))
        )


@dataclass(frozen=True, slots=True)
class ConstantCodes:
    """What is known of a constant whose values are integers times scales.

    Attributes:
        scale: Of one step, one element or one for each index of some axis.
        bits: Width of the integers, zero points subtracted.
        zero_bits: Bits that they would not need without zero points.
    """

    scale: NDArray[np.float64]
    bits: int
    zero_bits: int = 0


def integer_range(bits: int, *, signed: bool, narrow: bool = False) -> tuple[int, int]:
    """Smallest and largest integer of a width; `narrow` ones leave one out to be symmetric."""
    if signed:
        low, high = code_range(bits)
        return low + narrow, high
    return 0, (1 << bits) - 1 - narrow


def constant_bits(codes: Array, zero_point: Array, low: int, high: int) -> tuple[int, int]:
    """Width of codes in [low, high] less their zero points, and by how much those widen it."""
    declared = (high - low).bit_length()
    shifted = codes.astype(np.int64) - zero_point.astype(np.int64)
    needed = range_bits(int(shifted.min(initial=0)), int(shifted.max(initial=0)))
    return max(declared, needed), max(needed - declared, 0)


def along(values: Array, shape: tuple[int, ...], axis: int, block: int = 0) -> Array:
    """Scales or zero points in a form that broadcasts: of one element, along an axis, or blocks."""
    if values.size == 1:
        return values.reshape(())
    if values.ndim == 1:
        return values.reshape([-1 if i == axis % len(shape) else 1 for i in range(len(shape))])
    size = shape[axis]
    repeated = np.repeat(values, block or -(-size // values.shape[axis]), axis=axis)
    return np.take(repeated, range(size), axis=axis)


def dequantised(codes: Array, scale: Array, zero_point: Array) -> NDArray[np.float32]:
    """Values of constant codes, as DequantizeLinear computes them."""
    steps = (codes.astype(np.int64) - zero_point.astype(np.int64)).astype(np.float32)
    return (steps * scale.astype(np.float32)).astype(np.float32)


def quantised(values: Array, scale: Array, zero_point: Array, low: int, high: int) -> Array:
    """Codes of constant values, as QuantizeLinear computes them."""
    steps = np.rint(values.astype(np.float32) / scale.astype(np.float32)).astype(np.float64)
    kept = np.clip(steps + zero_point.astype(np.float64), low, high)
    return np.asarray(kept, dtype=_holder(low, high))


def _holder(low: int, high: int) -> Any:
    return next(t for t in "bBhHiI" if np.iinfo(t).min <= low and high <= np.iinfo(t).max)
