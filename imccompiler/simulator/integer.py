"""Integer arithmetic that the reference executes and the instruction streams must equal.

Everything is a saturated, rounded, fixed-point affine form, so that an emitter needs only the
instructions multiply, add and shift right with round half to even (`docs/program.md`).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, Self

import numpy as np
from numpy.typing import NDArray

Codes = NDArray[np.int64]

ADD_MULTIPLIER_BITS = 12  # of an addition's larger multiplier: an error of 1/16 of a code
ADD_MIN_SHIFT = 11  # where one scale is much coarser than the result's
MATMUL_MULTIPLIER_BITS = 15  # a multiplier with its sign fits two bytes
MIN_MULTIPLIER_BITS = 8  # below, the scale's error exceeds a quarter of a code at 127
VALUE_BITS = 32  # preferred width of products


class AffineCode(Protocol):
    """Codes of a tensor: real value = scale * (code - zero_point), two's complement of `bits`."""

    @property
    def scale(self) -> float:
        """Real value of one step."""
        ...

    @property
    def zero_point(self) -> int:
        """Code of the real value 0."""
        ...

    @property
    def bits(self) -> int:
        """Width of a code."""
        ...


def code_range(bits: int) -> tuple[int, int]:
    """Smallest and largest two's complement value of `bits` bits."""
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1


def range_bits(low: int, high: int) -> int:
    """Bits of the narrowest two's complement that holds every integer of [low, high]."""
    return 1 + max(max(int(high), 0).bit_length(), max(-int(low) - 1, 0).bit_length())


def same_code(a: AffineCode, b: AffineCode) -> bool:
    """Whether equal codes mean equal values."""
    return a.scale == b.scale and a.zero_point == b.zero_point and a.bits == b.bits


def quantize(values: NDArray[Any], code: AffineCode) -> Codes:
    """Codes of real values: round_half_even(value / scale) + zero_point, saturated; NaN is 0."""
    low, high = code_range(code.bits)
    steps = np.rint(np.asarray(values, dtype=np.float64) / code.scale)
    steps = np.where(np.isnan(steps), 0.0, steps)
    return np.clip(steps + code.zero_point, low, high).astype(np.int64)


def dequantize(codes: NDArray[Any], code: AffineCode) -> NDArray[np.float64]:
    """Real values of codes, in float64."""
    return (np.asarray(codes) - code.zero_point) * np.float64(code.scale)


def saturate(x: Codes, bits: int) -> Codes:
    """The nearest value that `bits` bits of two's complement hold."""
    return np.clip(x, *code_range(bits))


def shift_round_half_even(x: Codes, shift: int | NDArray[Any]) -> Codes:
    """Divide by 2^shift, rounding to the nearest integer and ties to the even one.

    Args:
        x: Integers of at most 62 bits.
        shift: Shifts from 0 to 62; broadcasts against `x`.
    """
    s = np.asarray(shift, dtype=np.int64)
    shifted = np.asarray(s > 0, dtype=np.int64)
    below_half = (np.left_shift(np.int64(1), s) >> 1) - shifted
    # Adding just below one half rounds ties down; an odd quotient's last bit makes it round up.
    return (x + below_half + ((x >> s) & shifted)) >> s


def fixed_point(
    ratio: float | NDArray[Any], multiplier_bits: int, max_shift: int = 62
) -> tuple[Codes, Codes]:
    """Multiplier and shift with ratio ~ multiplier / 2^shift, elementwise.

    The multiplier has `multiplier_bits` significant bits (relative error at most
    2^-multiplier_bits), fewer where the shift would leave [0, max_shift]. A ratio that even
    shift 0 cannot hold becomes the largest multiplier.

    Args:
        ratio: Positive reals.
        multiplier_bits: Magnitude bits of the multiplier.
        max_shift: Largest shift.
    """
    real = np.asarray(ratio, dtype=np.float64)
    _, exponent = np.frexp(real)
    shift = np.clip(multiplier_bits - exponent.astype(np.int64), 0, max_shift)
    multiplier = np.rint(np.ldexp(real, shift))
    overflow = (multiplier >= 2.0**multiplier_bits) & (shift > 0)
    shift = np.where(overflow, shift - 1, shift)
    multiplier = np.where(overflow, np.rint(np.ldexp(real, shift)), multiplier)
    largest = (1 << multiplier_bits) - 1
    return np.minimum(multiplier, largest).astype(np.int64), shift


def multiplier_width(value_bits: int, code_bits: int = MIN_MULTIPLIER_BITS) -> int:
    """Magnitude bits of a multiplier for values of `value_bits` and results of `code_bits`.

    As many as keep the product within 32 bits, 15 at most. Where fewer than the result has bits
    would be left, and at least 8, products are a byte wider, and so on.
    """
    product_bits = VALUE_BITS
    least = min(max(code_bits, MIN_MULTIPLIER_BITS), MATMUL_MULTIPLIER_BITS)
    while product_bits - value_bits < least:
        product_bits += 8
    return min(MATMUL_MULTIPLIER_BITS, product_bits - value_bits)


def _span(*terms: tuple[int, int]) -> tuple[int, int]:
    """Range of every partial sum, in any order, of terms of the given ranges."""
    return sum(min(low, 0) for low, _ in terms), sum(max(high, 0) for _, high in terms)


def _scaled(bits: int, factor: int) -> tuple[int, int]:
    """Range of factor * code for any code of `bits`."""
    low, high = code_range(bits)
    return min(low * factor, high * factor), max(low * factor, high * factor)


@dataclass(frozen=True, slots=True)
class AddParameters:
    """Sum or difference of two tensors of one shape, each with its own code.

    out = saturate(round_half_even((qa multiplier_a + qb multiplier_b + offset) / 2^shift))

    Attributes:
        multiplier_a, multiplier_b: Signed factors of the codes.
        offset: Folds all zero points in.
        shift: Right shift.
        bits: Width of the result.
        multiplier_bits: Holds both multipliers.
        product_bits: Holds either product, for any code.
        sum_bits: Holds every partial sum of the two products and the offset, in any order.
    """

    multiplier_a: int
    multiplier_b: int
    offset: int
    shift: int
    bits: int
    multiplier_bits: int
    product_bits: int
    sum_bits: int

    @classmethod
    def from_quants(
        cls, a: AffineCode, b: AffineCode, out: AffineCode, *, subtract: bool = False
    ) -> Self:
        """Parameters of a + b, or of a - b with `subtract`.

        Each multiplier is off by at most half a step of 2^-shift, so the result is off by at
        most 2^-(shift + 1) codes for each step of each operand; 8-bit codes have shifts of 11
        and more, or exact multipliers. An operand whose single step spans all codes of the
        result is treated as one whose step just does. All widths stay within 32 bits for codes
        of up to 16 bits.
        """
        width = VALUE_BITS - 2 - max(a.bits, b.bits)  # of a multiplier: four terms add up
        ratios = np.array([a.scale, b.scale]) / out.scale
        ratios = np.minimum(ratios, min(2.0**out.bits, 2.0**width - 1))
        exponent = int(np.frexp(ratios.max())[1])
        shift = max(ADD_MULTIPLIER_BITS - exponent, min(ADD_MIN_SHIFT, width - exponent))
        shift = min(shift, VALUE_BITS - 2 - out.bits)
        ma, mb = (int(m) for m in np.rint(np.ldexp(ratios, shift)))
        while shift and not (ma | mb) & 1:  # exact small factors keep the products narrow
            ma, mb, shift = ma >> 1, mb >> 1, shift - 1
        mb = -mb if subtract else mb
        offset = (out.zero_point << shift) - a.zero_point * ma - b.zero_point * mb
        products = (_scaled(a.bits, ma), _scaled(b.bits, mb))
        return cls(
            multiplier_a=ma,
            multiplier_b=mb,
            offset=offset,
            shift=shift,
            bits=out.bits,
            multiplier_bits=max(range_bits(ma, ma), range_bits(mb, mb)),
            product_bits=max(range_bits(*p) for p in products),
            sum_bits=range_bits(*_span(*products, (offset, offset))),
        )

    def apply(self, qa: Codes, qb: Codes) -> Codes:
        """Codes of the result."""
        total = qa * self.multiplier_a + qb * self.multiplier_b + self.offset
        return saturate(shift_round_half_even(total, self.shift), self.bits)


@dataclass(frozen=True, slots=True)
class AverageParameters:
    """Mean over a window of fixed size, from the plain sum of its codes.

    out = saturate(round_half_even((sum multiplier + offset) / 2^shift))

    Attributes:
        multiplier, offset, shift, bits: As in the formula.
        window: Codes that are summed.
        sum_bits: Holds every partial sum of codes, and the multiplier.
        product_bits: Holds the product, with and without the offset.
    """

    multiplier: int
    offset: int
    shift: int
    bits: int
    window: int
    sum_bits: int
    product_bits: int

    @classmethod
    def from_quants(cls, a: AffineCode, out: AffineCode, window: int) -> Self:
        """Parameters of the mean of `window` values."""
        sums = _scaled(a.bits, window)
        width = multiplier_width(range_bits(*sums) + 2, out.bits)  # 2: zero points of both sides
        max_shift = VALUE_BITS - 2 - out.bits
        m, s = fixed_point(a.scale / (out.scale * window), width, max_shift)
        multiplier, shift = int(m), int(s)
        offset = (out.zero_point << shift) - window * a.zero_point * multiplier
        product = (sums[0] * multiplier, sums[1] * multiplier)
        return cls(
            multiplier=multiplier,
            offset=offset,
            shift=shift,
            bits=out.bits,
            window=window,
            sum_bits=max(range_bits(*sums), range_bits(0, multiplier)),
            product_bits=range_bits(*_span(product, (offset, offset))),
        )

    def apply(self, sums: Codes) -> Codes:
        """Codes of the means of windows with the given sums of codes."""
        total = sums * self.multiplier + self.offset
        return saturate(shift_round_half_even(total, self.shift), self.bits)


@dataclass(frozen=True, slots=True)
class ProductParameters:
    """Matrix product of two activations, from sum_k (qa - za)(qb - zb).

    out = saturate(round_half_even((sum multiplier + offset) / 2^shift))
    """

    multiplier: int
    offset: int
    shift: int
    bits: int

    @classmethod
    def from_quants(cls, a: AffineCode, b: AffineCode, out: AffineCode) -> Self:
        """Parameters of a product; the multiplier has 15 significant bits."""
        ratio = a.scale * b.scale / out.scale
        m, s = fixed_point(ratio, MATMUL_MULTIPLIER_BITS, 62 - out.bits)
        shift = int(s)
        return cls(int(m), out.zero_point << shift, shift, out.bits)

    def apply(self, sums: Codes) -> Codes:
        """Codes of the result."""
        total = sums * self.multiplier + self.offset
        return saturate(shift_round_half_even(total, self.shift), self.bits)


@dataclass(frozen=True, slots=True)
class MatmulRequant:
    """From the sums of a matrix product with static weights to codes, channel by channel.

    out = saturate(round_half_even((sum_k w[k, n] x[k] + bias[n]) multiplier[n] / 2^shift[n]))

    The real bias and both zero points are in `bias`: sum_k w (x - zx) = sum_k w x - zx sum_k w,
    and the result's zero point is divided by the scale ratio (rounding it costs at most half a
    ratio of a code, some thousandths of a code for usual scales). A following relu needs
    nothing: its result has the lowest code as zero point, at which saturation clamps. A
    result of one bit whose zero point is 0 is the sign of the sum, exactly, where a step of the
    sum is no smaller than one of the result.

    Attributes:
        bias, multiplier, shift: Shape (channels,); int32 (`bias` int64 if it needs more).
        accumulator_bits: Holds, for any input codes, the sum over every subset of rows, in any
            order and with or without the bias; and the multiplier.
        product_bits: Holds every such sum times the multiplier.
    """

    bias: NDArray[Any]
    multiplier: NDArray[np.int32]
    shift: NDArray[np.int32]
    accumulator_bits: int
    product_bits: int

    @classmethod
    def from_quants(
        cls,
        weight: NDArray[Any],
        weight_scale: NDArray[Any],
        bias: NDArray[Any] | None,
        input_code: AffineCode,
        output_code: AffineCode,
    ) -> Self:
        """Requantisation of one layer.

        Args:
            weight: Integer weights, shape (channels, rows), any dtype.
            weight_scale: Real value of one weight step, shape (channels,).
            bias: Real bias, shape (channels,).
            input_code: Codes of the layer's input.
            output_code: Codes of its result.
        """
        magnitude = np.abs(weight.astype(np.float32, copy=False))
        exact = magnitude.max(initial=0) * weight.shape[1] < 2**24  # in float32, which is faster
        kind = np.float32 if exact else np.float64
        total = weight.sum(axis=1, dtype=kind).astype(np.float64)
        absolute = magnitude.sum(axis=1, dtype=kind).astype(np.float64)
        ups, downs = (absolute + total) / 2, (absolute - total) / 2
        low, high = code_range(input_code.bits)
        lowest, highest = ups * low - downs * high, ups * high - downs * low

        target = np.zeros_like(total) if bias is None else bias / np.float64(output_code.scale)
        target = target + output_code.zero_point  # the code that a sum of 0 must give
        reach = 2.0**output_code.bits
        sign_only = output_code.bits == 1 and output_code.zero_point == 0

        def folded(ratio: NDArray[np.float64]) -> NDArray[np.float64]:
            real = target / ratio - input_code.zero_point * total
            # A bias beyond these bounds saturates the result for every input, as they do.
            bounded = np.clip(real, -highest - reach / ratio, reach / ratio - lowest)
            return np.floor(bounded) if sign_only else np.rint(bounded)

        ratio = np.float64(input_code.scale) * weight_scale / output_code.scale
        estimate = _accumulator_range(folded(ratio), lowest, highest)
        # The fixed-point ratio moves the folded bias by less than a hundredth.
        width = multiplier_width(range_bits(*(int(1.01 * v) for v in estimate)), output_code.bits)
        multiplier, shift = fixed_point(ratio, width)
        multiplier = np.maximum(multiplier, 1)
        rounded = np.ldexp(multiplier.astype(np.float64), -shift)
        if sign_only:  # -1 where the sum is negative, else 0: a sum is an integer, so exactly
            whole = ratio >= 1
            multiplier, shift = np.where(whole, 1, multiplier), np.where(whole, 0, shift)
            rounded = np.where(whole, ratio, rounded)
        biases = folded(rounded)
        ends = (lowest + np.minimum(biases, 0), highest + np.maximum(biases, 0))
        return cls(
            bias=biases.astype(np.int32 if np.abs(biases).max() < 2**31 else np.int64),
            multiplier=multiplier.astype(np.int32),
            shift=shift.astype(np.int32),
            accumulator_bits=max(
                range_bits(*_accumulator_range(biases, lowest, highest)),
                range_bits(0, int(multiplier.max())),
            ),
            product_bits=range_bits(
                int((ends[0] * multiplier).min()), int((ends[1] * multiplier).max())
            ),
        )

    def apply(self, sums: Codes, bits: int) -> Codes:
        """Codes of `bits` bits from sums of shape (..., channels)."""
        return requantize(sums, self.bias, self.multiplier, self.shift, bits)


def requantize(
    sums: Codes,
    bias: NDArray[Any],
    multiplier: NDArray[Any],
    shift: NDArray[Any],
    bits: int,
) -> Codes:
    """Codes from sums: add, multiply, shift with round half to even, saturate; broadcasts."""
    scaled = (sums + bias.astype(np.int64)) * multiplier.astype(np.int64)
    return saturate(shift_round_half_even(scaled, shift), bits)


def _accumulator_range(
    bias: NDArray[np.float64], lowest: NDArray[np.float64], highest: NDArray[np.float64]
) -> tuple[int, int]:
    return int((lowest + np.minimum(bias, 0)).min()), int((highest + np.maximum(bias, 0)).max())
