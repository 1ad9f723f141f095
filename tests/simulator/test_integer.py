from dataclasses import dataclass
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imccompiler.simulator.integer import (
    AddParameters,
    AverageParameters,
    MatmulRequant,
    ProductParameters,
    code_range,
    dequantize,
    fixed_point,
    multiplier_width,
    quantize,
    range_bits,
    saturate,
    shift_round_half_even,
)


@dataclass(frozen=True)
class Code:
    scale: float
    zero_point: int
    bits: int = 8


codes = st.builds(Code, st.floats(1e-4, 1e2), st.integers(-128, 127), st.just(8))
integers = st.integers(-(2**50), 2**50)


@given(st.lists(integers, min_size=1), st.integers(0, 60))
def test_shift_rounds_half_to_even(values, shift):
    expected = [round(Fraction(v, 2**shift)) for v in values]  # Fraction rounds half to even
    assert shift_round_half_even(np.array(values), shift).tolist() == expected


def test_shift_broadcasts_and_leaves_shift_0_alone():
    x = np.array([[5, 6, 7], [-5, -6, -7]])
    assert shift_round_half_even(x, np.array([0, 1, 2])).tolist() == [[5, 3, 2], [-5, -3, -2]]


@given(integers, st.integers(2, 40))
def test_saturate_is_the_nearest_value_of_the_width(value, bits):
    low, high = code_range(bits)
    assert saturate(np.array([value]), bits).tolist() == [min(max(value, low), high)]


@given(integers, integers)
def test_range_bits_is_the_narrowest_width(a, b):
    low, high = min(a, b), max(a, b)
    bits = range_bits(low, high)
    assert code_range(bits)[0] <= low <= high <= code_range(bits)[1]
    if bits > 1:
        narrower = code_range(bits - 1)
        assert low < narrower[0] or high > narrower[1]


@given(st.floats(2.0**-40, 2.0**7), st.integers(8, 15))
def test_fixed_point_is_as_precise_as_its_bits(ratio, bits):
    multiplier, shift = (int(v) for v in fixed_point(ratio, bits))
    assert 0 <= shift <= 62
    assert 2 ** (bits - 1) <= multiplier < 2**bits
    assert abs(Fraction(multiplier, 2**shift) / Fraction(ratio) - 1) <= Fraction(1, 2**bits)


def test_fixed_point_limits():
    multiplier, shift = fixed_point(np.array([1e9, 1e-30, 1.0 - 1e-9]), 8, max_shift=20)
    assert multiplier.tolist() == [255, 0, 128]
    assert shift.tolist() == [0, 20, 7]


@given(st.integers(1, 60))
def test_a_multiplier_leaves_the_product_within_whole_bytes(value_bits):
    width = multiplier_width(value_bits)
    assert 8 <= width <= 15
    assert value_bits + width <= 32 or value_bits > 24


def test_quantize_rounds_half_to_even_saturates_and_maps_nan_to_zero():
    code = Code(0.5, 3)
    real = np.array([0.25, 0.75, -0.25, 1e9, -np.inf, np.nan])
    assert quantize(real, code).tolist() == [3, 5, 3, 127, -128, 3]


@given(codes, st.lists(st.integers(-128, 127), min_size=1))
def test_codes_come_back(code, values):
    assert quantize(dequantize(np.array(values), code), code).tolist() == values


@given(codes, codes, st.floats(0.5, 2.0), st.integers(-128, 127), st.booleans())
def test_an_addition_is_as_near_as_its_multipliers(a, b, room, zero_point, subtract):
    out = Code(room * max(a.scale, b.scale), zero_point)
    parameters = AddParameters.from_quants(a, b, out, subtract=subtract)
    qa, qb = (v.ravel() for v in np.meshgrid(np.arange(-128, 128, 3), np.arange(-128, 128, 5)))
    got = parameters.apply(qa, qb)
    sign = -1 if subtract else 1
    steps = (dequantize(qa, a) + sign * dequantize(qb, b)) / out.scale + zero_point
    error = np.abs(got - np.clip(steps, -128, 127))
    factors = parameters.multiplier_a, sign * parameters.multiplier_b
    ratios = a.scale / out.scale, b.scale / out.scale
    off = sum(abs(f / 2**parameters.shift - r) for f, r in zip(factors, ratios, strict=True))
    assert off < 2.0**-10
    assert error.max() < 0.5 + 256 * off + 1e-9


def test_an_operand_of_huge_steps_saturates_and_its_zero_leaves_the_other():
    values, mask = Code(0.05, 3), Code(1e36, 127)
    p = AddParameters.from_quants(values, mask, Code(0.06, 10))
    q = np.arange(-128, 128)
    assert (p.apply(q, np.full(256, -128)) == -128).all()
    kept = p.apply(q, np.full(256, 127))
    assert np.abs(kept - ((q - 3) * 0.05 / 0.06 + 10)).max() < 0.6
    assert p.sum_bits <= 32


@given(codes, codes, codes, st.booleans())
def test_the_widths_of_an_addition_hold(a, b, out, subtract):
    p = AddParameters.from_quants(a, b, out, subtract=subtract)
    assert p.sum_bits <= 32
    for qa in (-128, 127):
        for qb in (-128, 127):
            terms = (qa * p.multiplier_a, qb * p.multiplier_b, p.offset)
            partial = [terms[i] + terms[j] for i, j in ((0, 1), (0, 2), (1, 2))]
            products = range_bits(min(terms[:2]), max(terms[:2]))
            assert products <= p.product_bits
            assert range_bits(min(*terms, *partial), max(*terms, *partial)) <= p.sum_bits
            assert range_bits(sum(terms), sum(terms)) <= p.sum_bits


def test_exact_ratios_have_small_multipliers():
    p = AddParameters.from_quants(Code(1.5, 0), Code(0.25, 0), Code(2.0, 0))
    assert (p.multiplier_a, p.multiplier_b, p.shift, p.multiplier_bits) == (6, 1, 3, 4)


@given(codes, st.integers(1, 400), st.floats(0.2, 1.5), st.integers(-128, 127))
def test_a_mean_is_within_one_step(a, window, room, zero_point):
    out = Code(a.scale * room, zero_point)
    p = AverageParameters.from_quants(a, out, window)
    sums = np.linspace(-128 * window, 127 * window, 200).astype(np.int64)
    exact = quantize((sums / window - a.zero_point) * a.scale, out)
    assert np.abs(p.apply(sums) - exact).max() <= 1
    products = sums * p.multiplier
    assert range_bits(int(sums.min()), int(sums.max())) <= p.sum_bits
    assert range_bits(0, p.multiplier) <= p.sum_bits
    for total in (products, products + p.offset):
        assert range_bits(int(total.min()), int(total.max())) <= p.product_bits <= 40


@given(codes, codes, st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_a_product_is_within_one_step(a, b, depth, seed):
    rng = np.random.default_rng(seed)
    qa, qb = rng.integers(-128, 128, (2, 20, depth))
    sums = ((qa - a.zero_point) * (qb - b.zero_point)).sum(axis=1)
    real = sums * a.scale * b.scale
    out = Code(max(float(np.abs(real).max()), 1e-9) / 127, 0)
    got = ProductParameters.from_quants(a, b, out).apply(sums)
    assert np.abs(got - quantize(real, out)).max() <= 1


def layer(rng, channels, rows, *, weight_limit=127):
    weight = rng.integers(-weight_limit, weight_limit + 1, (channels, rows))
    scale = rng.uniform(0.5, 2.0, channels) * 0.01
    bias = rng.normal(0, 1, channels)
    return weight, scale, bias


@given(st.integers(1, 700), st.integers(-128, 127), st.integers(-128, 127), st.integers(0, 99))
def test_requantisation_is_within_one_step(rows, zero_in, zero_out, seed):
    rng = np.random.default_rng(seed)
    weight, scale, bias = layer(rng, 7, rows)
    x = rng.integers(-128, 128, (50, rows))
    source = Code(0.02, zero_in)
    real = (x - zero_in) * source.scale @ (weight * scale[:, None]).T + bias
    target = Code(float(np.abs(real).max()) / 100, zero_out)
    requant = MatmulRequant.from_quants(weight, scale, bias, source, target)
    got = requant.apply(x @ weight.T, 8)
    assert np.abs(got - quantize(real, target)).max() <= 1


@pytest.mark.parametrize("dtype", [np.int8, np.int64, np.float32])
def test_widths_hold_for_the_worst_inputs(dtype):
    rng = np.random.default_rng(3)
    weight, scale, bias = layer(rng, 5, 300)
    source, target = Code(0.02, -128), Code(0.3, -128)
    requant = MatmulRequant.from_quants(weight.astype(dtype), scale, bias, source, target)
    up, down = np.where(weight > 0, 127, -128), np.where(weight > 0, -128, 127)
    for worst in (up, down):
        sums = np.sort(weight * worst, axis=1)
        for terms in (sums, sums[:, ::-1]):  # smallest terms first, then largest first
            partial = np.cumsum(terms, axis=1)
            for value in (partial, partial + requant.bias[:, None]):
                assert range_bits(int(value.min()), int(value.max())) <= requant.accumulator_bits
                product = value * requant.multiplier[:, None]
                assert range_bits(int(product.min()), int(product.max())) <= requant.product_bits
    assert requant.product_bits <= 32
    assert range_bits(0, int(requant.multiplier.max())) <= requant.accumulator_bits


def test_accumulator_width_is_tight():
    weight = np.full((1, 100), 127)
    requant = MatmulRequant.from_quants(
        weight, np.ones(1), None, Code(1.0, 0), Code(127.0 * 100, 0)
    )
    assert requant.accumulator_bits == range_bits(-128 * 12700, 127 * 12700)


def test_wide_sums_get_a_multiplier_of_eight_bits_or_more():
    rng = np.random.default_rng(0)
    weight, scale, bias = layer(rng, 3, 40_000)
    requant = MatmulRequant.from_quants(weight, scale, bias, Code(0.02, 0), Code(1.0, 0))
    assert requant.accumulator_bits > 24
    assert requant.product_bits <= 40
    assert requant.multiplier.min() >= 128


def test_a_bias_that_always_saturates_costs_no_width():
    weight, scale = np.array([[1, -1], [1, 1]]), np.full(2, 1e-6)
    args = (np.array([1e6, -1e6]), Code(0.1, 0), Code(0.1, 0))
    requant = MatmulRequant.from_quants(weight, scale, *args)
    x = np.array([[-128, 127], [127, -128], [0, 0], [127, 127], [-128, -128]])
    got = requant.apply(x @ weight.T, 8)
    assert (got[:, 0] == 127).all()
    assert (got[:, 1] == -128).all()
    assert requant.bias.dtype == np.int32


def test_relu_is_saturation_at_the_lowest_code():
    rng = np.random.default_rng(5)
    weight, scale, bias = layer(rng, 6, 64)
    source = Code(0.02, 7)
    x = rng.integers(-128, 128, (200, 64))
    real = (x - 7) * source.scale @ (weight * scale[:, None]).T + bias
    target = Code(float(real.max()) / 255, -128)
    requant = MatmulRequant.from_quants(weight, scale, bias, source, target)
    got = requant.apply(x @ weight.T, 8)
    relu = quantize(np.maximum(real, 0), target)
    assert np.abs(got - relu).max() <= 1
    assert (got[real < -target.scale] == -128).all()
    assert (real < -target.scale).any()
