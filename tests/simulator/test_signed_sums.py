"""Pairs in a cell, whose column sums have a sign, and converters with a narrowed range."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imccompiler.hardware.load import load
from imccompiler.hardware.schema import Cell
from imccompiler.simulator.cells import CellScheme, adc_bits_needed, column_range, program_tile
from imccompiler.simulator.kernel import Converter, multiply
from imccompiler.simulator.noise import programmed_levels

PAIRS = CellScheme(4, 4, "differential_cell", 4, 8)


@st.composite
def cases(draw):
    """A scheme of pairs, weights, inputs and their bits."""
    rows = draw(st.integers(1, 40))
    scheme = CellScheme(
        weight_bits=draw(st.integers(2, 9)),
        cell_bits=draw(st.sampled_from([1, 2, 3, 4, 8])),
        signed_weights="differential_cell",
        input_bits_per_cycle=draw(st.sampled_from([1, 3, 4, 8])),
        rows_active=draw(st.integers(1, rows)),
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
    needed = int(adc_bits_needed(tile).max())
    for lsb in ("unit", "full_range", "column_range"):
        enough = needed if lsb != "full_range" else scheme.largest_sum.bit_length() + 1
        assert np.array_equal(multiply(tile, x, bits, Converter(enough, lsb)), expected)


def test_a_pair_takes_one_column_and_its_level_a_sign():
    tile = program_tile(np.array([[7, -8], [-1, 3]]), PAIRS)
    assert PAIRS.columns_per_weight == 1
    assert tile.cells.tolist() == [[7, -8], [-1, 3]]
    assert tile.input_weight.tolist() == [0, 0]  # nothing to subtract


def test_codes_have_both_signs():
    assert Converter(8).codes(PAIRS) == (-128, 127)
    assert Converter(8).codes(CellScheme(4, 4, "offset", 4, 8)) == (0, 255)


def test_sums_saturate_on_both_sides():
    tile = program_tile(np.array([[7, -8]]), PAIRS)
    x = np.array([[7]], np.int16)  # raised to 15: sums of 105 and -120
    offset = -8 * np.array([7, -8])
    assert multiply(tile, x, 4, Converter(5)).tolist() == [(np.array([15, -16]) + offset).tolist()]


def test_the_range_of_a_column_is_that_of_its_own_cells():
    tile = program_tile(np.array([[7, 1], [-2, 1], [3, 0]]), PAIRS)
    assert column_range(tile).tolist() == [150, 30]  # 10 and 2 at inputs of 15
    steps = Converter(4, "column_range").steps(tile)
    assert steps == pytest.approx([150 / 7, 30 / 7])
    assert Converter(4, "column_range", 0.5).steps(tile) == pytest.approx([75 / 7, 15 / 7])


def test_the_range_of_non_negative_columns_spans_all_codes():
    tile = program_tile(np.array([[7], [7]]), CellScheme(4, 4, "offset", 4, 2))
    assert Converter(4, "column_range").steps(tile) == pytest.approx([30 * 15 / 15])


def test_a_narrower_range_has_finer_steps_and_saturates_earlier():
    scheme = CellScheme(2, 1, "differential", 1, 30)
    assert Converter(4, "full_range", 0.5).step(scheme) == 1.0
    tile = program_tile(np.ones((30, 1), np.int64), scheme)
    ones = np.ones((1, 30), np.int16)
    assert multiply(tile, ones, 2, Converter(4, "full_range", 0.5))[0, 0] == 15
    assert multiply(tile, ones, 2, Converter(4, "full_range"))[0, 0] == 30


def test_errors_of_pairs_may_cross_zero():
    cell = Cell(kind="pcm", bits=4, programming_error=0.1)
    levels, normals = np.array([0.0, 5, -5]), np.array([-1, -1, -1], np.float32)
    assert programmed_levels(levels, cell, normals, pairs=True) == pytest.approx([-1.5, 3.5, -6.5])
    assert programmed_levels(levels, cell, normals) == pytest.approx([0, 3.5, 0])


def test_torch_computes_what_numpy_does():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    w = rng.integers(-8, 8, (30, 5)).astype(np.int16)
    x = rng.integers(-128, 128, (7, 30)).astype(np.int16)
    adc = Converter(6, "column_range", 0.5)
    scheme = CellScheme(4, 4, "differential_cell", 4, 20)
    by_torch = multiply(program_tile(torch.asarray(w), scheme), torch.asarray(x), 8, adc)
    assert np.array_equal(np.asarray(by_torch), multiply(program_tile(w, scheme), x, 8, adc))


def test_presets_have_the_converters_of_their_chips():
    assert Converter.of(load("hermes").main_kind.crossbar) == Converter(8, "full_range", 0.083)
    assert Converter.of(load("neurram").main_kind.crossbar) == Converter(8, "column_range", 0.47)
    assert Converter.of(load("dimc").main_kind.crossbar) is None  # sums are exact
