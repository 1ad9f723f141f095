"""The presets' organisation is that of the published machines."""

from __future__ import annotations

import pytest

from imccompiler.hardware.load import load
from imccompiler.hardware.schema import Machine
from imccompiler.hardware.weights import outputs_per_crossbar, slices


def weights(machine: Machine) -> int:
    """Weights that all crossbars hold."""
    kind = machine.main_kind
    each = kind.crossbar.rows * outputs_per_crossbar(kind, machine.weight_bits)
    return machine.core_count * kind.crossbars * each


def test_puma_has_138_tiles_of_16_matrix_units() -> None:
    puma = load("puma")
    kind = puma.main_kind
    assert puma.core_count == 138
    assert kind.crossbars == 16 * slices(kind, 16)
    assert (kind.crossbar.rows, kind.crossbar.columns, kind.cell.bits) == (128, 128, 2)
    assert puma.technology.node_nm == 32


def test_hermes_has_64_cores_of_256_converters() -> None:
    hermes = load("hermes")
    kind = hermes.main_kind
    assert hermes.core_count == 64
    assert (kind.crossbars, kind.crossbar.rows, kind.crossbar.columns) == (1, 256, 256)
    assert kind.crossbar.adc.per_crossbar == 256
    assert kind.crossbar.input_bits_per_cycle == hermes.activation_bits  # one conversion a product
    assert kind.cell.kind == "pcm"
    assert weights(hermes) == 64 * 256 * 256


def test_neurram_has_48_cores_of_256_by_256_cells() -> None:
    neurram = load("neurram")
    kind = neurram.main_kind
    assert neurram.core_count == 48
    assert 2 * kind.crossbar.rows == kind.crossbar.columns == kind.crossbar.adc.per_crossbar == 256
    assert kind.crossbar.adc.kind == "integrating"
    assert weights(neurram) == 48 * 128 * 256


def test_sram_analog_has_590_kbit_a_unit() -> None:
    kind = load("sram-analog").main_kind
    assert kind.crossbar.rows * kind.crossbar.columns == 590 * 1000 - 176
    assert kind.cell.bits == 1
    assert slices(kind, 8) == 8


def test_dimc_has_64_kbit_a_macro_and_adds_exactly() -> None:
    dimc = load("dimc")
    kind = dimc.main_kind
    assert kind.crossbar.rows * kind.crossbar.columns == 64 * 1024
    assert kind.crossbar.digital
    assert kind.crossbar.adc.kind == "adder_tree"
    assert weights(dimc) > 2e6


@pytest.mark.parametrize(("sram", "nonvolatile"), [("dimc", "hermes"), ("dimc", "neurram")])
def test_sram_is_rewritten_faster_and_cheaper(sram: str, nonvolatile: str) -> None:
    fast, slow = load(sram).main_kind, load(nonvolatile).main_kind
    assert 10 * fast.cell.write_ns < slow.cell.write_ns
    assert 10 * fast.cell.write_pj < slow.cell.write_pj
    assert fast.cell.write_ns > 0
    assert fast.cell.write_pj > 0
