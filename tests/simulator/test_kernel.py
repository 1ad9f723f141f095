"""Crossbar arithmetic against plain integers, in numpy and in torch."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imccompiler.simulator.cells import CellScheme, adc_bits_needed, program_tile
from imccompiler.simulator.kernel import Converter, exact_dtype, multiply, multiply_exact


@pytest.fixture(params=["numpy", "torch"])
def xp(request):
    pytest.importorskip(request.param)
    return import_module(request.param)


@st.composite
def cases(draw):
    """A scheme, weights, inputs and their bits."""
    rows = draw(st.integers(1, 40))
    scheme = CellScheme(
        weight_bits=draw(st.integers(2, 9)),
        cell_bits=draw(st.sampled_from([1, 2, 3, 4, 8])),
        signed_weights=draw(st.sampled_from(["offset", "differential", "twos_complement"])),
        input_bits_per_cycle=draw(st.sampled_from([1, 2, 3])),
        rows_active=draw(st.integers(1, rows)),
        flip_encoding=draw(st.booleans()),
    )
    bits = draw(st.integers(2, 12))
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    w_high, x_high = 1 << (scheme.weight_bits - 1), 1 << (bits - 1)
    w = rng.integers(-w_high, w_high, (rows, draw(st.integers(1, 6)))).astype(np.int16)
    x = rng.integers(-x_high, x_high, (draw(st.integers(1, 4)), rows)).astype(np.int16)
    if draw(st.booleans()):  # extremes
        w, x = np.where(w < 0, -w_high, w_high - 1), np.where(x < 0, -x_high, x_high - 1)
    return scheme, w, x, bits


@settings(deadline=None)
@given(cases())
def test_enough_bits_make_the_product_exact(case):
    scheme, w, x, bits = case
    tile = program_tile(w, scheme)
    expected = x.astype(int) @ w.astype(int)
    assert np.array_equal(multiply(tile, x, bits), expected)
    needed = Converter(int(adc_bits_needed(tile).max()))
    assert np.array_equal(multiply(tile, x, bits, needed), expected)
    whole_range = Converter(scheme.largest_sum.bit_length(), "full_range")
    assert np.array_equal(multiply(tile, x, bits, whole_range), expected)


@settings(deadline=None)
@given(cases(), st.integers(1, 8), st.sampled_from(["unit", "full_range"]))
def test_torch_computes_what_numpy_does(case, adc_bits, lsb):
    torch = pytest.importorskip("torch")
    scheme, w, x, bits = case
    adc = Converter(adc_bits, lsb)
    in_numpy = multiply(program_tile(w, scheme), x, bits, adc)
    in_torch = multiply(program_tile(torch.asarray(w), scheme), torch.asarray(x), bits, adc)
    assert isinstance(in_torch, torch.Tensor)
    assert np.array_equal(in_torch.numpy(), in_numpy)


@settings(deadline=None)
@given(cases())
def test_one_bit_less_than_needed_fails_on_the_largest_inputs(case):
    """Inputs that drive every row fully in every cycle reach the largest sum of a bit line."""
    scheme, w, _, _ = case
    one_line = CellScheme(
        scheme.weight_bits, scheme.weight_bits, "offset", scheme.input_bits_per_cycle, len(w)
    )
    tile = program_tile(w[:, :1], one_line)
    bits = scheme.input_bits_per_cycle * 2
    largest = -1 if scheme.input_bits_per_cycle == 1 else (1 << (bits - 1)) - 1
    x = np.full((1, len(w)), largest)
    needed = int(adc_bits_needed(tile)[0, 0])
    expected = x @ w[:, :1].astype(int)
    assert np.array_equal(multiply(tile, x, bits, Converter(needed)), expected)
    if tile.cells.sum() > 0 and needed > 1:
        assert not np.array_equal(multiply(tile, x, bits, Converter(needed - 1)), expected)


def test_isaac_needs_eight_bits_with_flipping_and_nine_without(xp):
    """128 rows of 2-bit cells sum to 384; flipping halves that (ISAAC, section 5)."""
    levels = np.full((128, 2), 127, np.int16)  # the highest of all
    levels[64:, 1] = -128  # and the lowest: half a column of either cannot be halved
    w = xp.asarray(levels)
    for flip, bits in ((False, 9), (True, 8)):
        scheme = CellScheme(8, 2, "offset", 1, 128, flip)
        assert int(xp.max(adc_bits_needed(program_tile(w, scheme)))) == bits


def test_columns_need_bits_of_their_own():
    scheme = CellScheme(4, 2, "offset", 1, 2)
    w = np.array([[-8, 7], [-8, -1], [-8, 7]])  # levels 0000 1111, 0000 0111, 0000 1111
    # low slice: columns sum to 0 and 3 + 3; high slice: 0 and 3 + 1
    assert adc_bits_needed(program_tile(w, scheme)).tolist() == [[1, 3], [1, 3]]


def test_sums_saturate_with_unit_steps(xp):
    scheme = CellScheme(2, 2, "offset", 1, 4)
    tile = program_tile(xp.asarray(np.array([[1], [1], [1], [1]])), scheme)  # levels 3
    ones = xp.asarray(np.ones((1, 4), np.int8))
    # digit 0 drives four levels of 3: 12, of which 3 bits hold 7; offset 2 * 4 comes off
    assert int(multiply(tile, ones, 8, Converter(4))[0, 0]) == 4
    assert int(multiply(tile, ones, 8, Converter(3))[0, 0]) == 7 - 8
    # -1: all digits driven; saturated in each: 7 (1 + 2 + .. + 64 - 128) + 8
    assert int(multiply(tile, -ones, 8, Converter(3))[0, 0]) == -7 + 8


def test_sums_are_rounded_half_to_even_over_the_full_range(xp):
    scheme = CellScheme(2, 1, "differential", 1, 30)  # sums of 0 to 30
    adc = Converter(4, "full_range")  # codes 0 to 15: steps of 2
    assert adc.step(scheme) == 2.0
    w = np.zeros((30, 30), np.int8)
    for n in range(30):
        w[: n + 1, n] = 1
    tile = program_tile(xp.asarray(w), scheme)
    y = multiply(tile, xp.asarray(np.ones((1, 30), np.int8)), 8, adc)
    expected = [2 * round((n + 1) / 2) for n in range(30)]  # Python rounds half to even
    assert np.asarray(y)[0].tolist() == expected
    assert expected[:6] == [0, 2, 4, 4, 4, 6]


def test_saturation_happens_in_each_pass():
    scheme = CellScheme(2, 2, "offset", 1, 2)
    tile = program_tile(np.ones((4, 1), int), scheme)  # two passes of 2 rows, 6 each
    x = np.ones((1, 4), int)
    assert multiply(tile, x, 8, Converter(3))[0, 0] == 4
    assert multiply(tile, x, 8, Converter(2))[0, 0] == 3 + 3 - 8


def test_many_images_are_cut_into_blocks(monkeypatch):
    rng = np.random.default_rng(0)
    w, x = rng.integers(-128, 128, (16, 5)), rng.integers(-128, 128, (37, 16))
    tile = program_tile(w, CellScheme(8, 2, "offset", 1, 16))
    monkeypatch.setattr("imccompiler.simulator.kernel._BLOCK_VALUES", 8 * 20 * 10)
    assert np.array_equal(multiply(tile, x, 8), x @ w)


def test_multiply_exact(xp):
    rng = np.random.default_rng(0)
    for rows, bits in ((100, 8), (3000, 16)):
        w = rng.integers(-128, 128, (rows, 4))
        x = rng.integers(-(1 << (bits - 1)), 1 << (bits - 1), (3, rows))
        weights = xp.asarray(w, dtype=exact_dtype(xp, rows, 8, bits))
        assert np.array_equal(np.asarray(multiply_exact(weights, xp.asarray(x))), x @ w)


def test_large_sums_are_exact_in_double_precision():
    w = np.full((300, 1), 32767)
    x = np.full((1, 300), 32767)
    tile = program_tile(w, CellScheme(16, 8, "offset", 8, 300))
    assert tile.cells.dtype == np.float64
    assert multiply(tile, x, 16)[0, 0] == 300 * 32767**2


def test_converters_follow_the_machine(make_machine):
    analog = make_machine(bits=6, lsb="full_range").main_kind.crossbar
    assert Converter.of(analog) == Converter(6, "full_range")
    digital = make_machine(crossbar={"style": "digital"}).main_kind.crossbar
    assert Converter.of(digital) is None
