"""Inputs as pulses: time and energy of a cycle follow the bits of its digit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imccompiler.cost.energy import mvm_pj
from imccompiler.cost.machine import MachineTiming
from imccompiler.cost.timing import CoreTiming, cycle_ns, front_ns, pulses
from imccompiler.hardware.load import load, vary


def timing(**changes: Any) -> CoreTiming:
    machine = load("hermes")
    return MachineTiming.of(vary(machine, {f"crossbar.{k}": v for k, v in changes.items()})).main


def test_a_product_of_8_bits_is_one_conversion() -> None:
    assert timing().mvm_ps(8) == 127_500 + 4_440 + 1_000
    assert cycle_ns(load("hermes").main_kind.crossbar) == pytest.approx(132.94)


def test_narrower_inputs_take_shorter_pulses() -> None:
    assert timing().mvm_ps(4) == 7_500 + 4_440 + 1_000
    assert timing().mvm_ps(1) == 500 + 4_440 + 1_000
    assert [pulses(n) for n in (0, 1, 4, 8)] == [0, 1, 15, 255]


def test_wider_inputs_take_several_digits() -> None:
    assert timing().mvm_ps(16) == 2 * (127_500 + 5_440)
    assert timing(pipelined=True).mvm_ps(16) == 2 * 131_940 + 1_000


def test_reading_may_hide_behind_converting() -> None:
    slow = timing(pipelined=True, pulse_ns=0.001)
    assert slow.mvm_ps(16) == (4_440 + 255) * 2 + 1_000
    assert timing(pipelined=True, pulse_ns=0.001, read_ns=0.1).mvm_ps(16) == 355 + 2 * 1_000


def test_times_broadcast_over_widths() -> None:
    core, widths = timing(pipelined=True), np.array([1, 4, 8, 12, 16])
    assert core.mvm_ps(widths).tolist() == [core.mvm_ps(int(n)) for n in widths]


def test_the_array_spends_in_proportion_to_the_pulses() -> None:
    kind = load("hermes").main_kind
    assert mvm_pj(kind, 8)["crossbar"] == pytest.approx(13_430)
    assert mvm_pj(kind, 4)["crossbar"] == pytest.approx(13_430 * 15 / 255)
    both = mvm_pj(kind, np.array([4, 8]))["crossbar"]
    assert both == pytest.approx([13_430 * 15 / 255, 13_430])


def test_levels_cost_the_same_whatever_their_bits() -> None:
    crossbar = load("pimcomp", ["crossbar.input_bits_per_cycle=8"]).main_kind.crossbar
    assert front_ns(crossbar, 1) == front_ns(crossbar) == front_ns(crossbar, 8)
