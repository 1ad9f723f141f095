from __future__ import annotations

import numpy as np
import pytest

from imccompiler.cost import energy
from imccompiler.hardware.load import load, vary

PIMCOMP = load("pimcomp")
KIND = PIMCOMP.main_kind


def test_product_is_the_judges() -> None:
    parts = energy.mvm_pj(KIND, 8)
    assert energy.total_pj(parts) == pytest.approx(24_490.24)  # 8 (22.24 * 7 + 8 * 1.135 * 20 * 16)
    assert parts["crossbar"] == pytest.approx(8 * 155.68)
    assert parts["adc"] == pytest.approx(8 * 128 * 22.7)


def test_product_follows_crossbars_and_bits() -> None:
    once = energy.total_pj(energy.mvm_pj(KIND, 8))
    assert energy.total_pj(energy.mvm_pj(KIND, 16, 4)) == pytest.approx(8 * once)


def test_row_blocks_convert_again_but_drive_each_row_once() -> None:
    machine = vary(load("isaac"), {"crossbar.rows_active": 32})
    whole = energy.mvm_pj(load("isaac").main_kind, 8)
    parts = energy.mvm_pj(machine.main_kind, 8)
    assert parts["adc"] == 4 * whole["adc"]
    assert parts["dac"] == whole["dac"]


def test_isaac_components_of_one_cycle() -> None:
    parts = energy.mvm_pj(load("isaac").main_kind, 1)
    # Table I of the paper, an eighth of an IMA's power for 100 ns
    assert parts["adc"] == pytest.approx(16 / 8 * 100)
    assert parts["dac"] == pytest.approx((4 + 1.24) / 8 * 100)
    assert parts["crossbar"] == pytest.approx(2.4 / 8 * 100)
    assert parts["shift_add"] == pytest.approx((0.2 / 8 + 0.05 / 96) * 100)  # of IMA and tile
    assert parts["output_buffer"] == pytest.approx(0.23 / 8 * 100)
    assert parts["sample_hold"] == pytest.approx(0.01 / 8 * 100)


def test_network_is_the_judges() -> None:
    assert energy.message_pj(PIMCOMP, 128, 7) == {"noc": 4 * 46}
    assert energy.send_pj(PIMCOMP, 128, 7) == {"noc": 6 * 46}
    assert energy.ld_pj(PIMCOMP, KIND, 128)["noc"] == 46
    assert energy.st_pj(PIMCOMP, KIND, 128)["noc"] == 4 * 46


def test_hops_cost_where_the_machine_says_so() -> None:
    isaac = load("isaac")
    assert energy.message_pj(isaac, 33, 3) == {"noc": 2 * (42 + 3 * 21)}


def test_memories_charge_accesses() -> None:
    isaac = load("isaac")
    kind = isaac.main_kind
    assert energy.local_memory_pj(kind, 33, 1) == {"local_memory": 3 * 86.5625}
    assert energy.global_memory_pj(isaac, 32, 0) == {"global_memory": 13_000}
    assert energy.ld_pj(isaac, kind, 64) == {
        "local_memory": 2 * 86.5625,
        "global_memory": 2 * 13_000,
        "noc": 224,
    }
    assert energy.local_memory_pj(KIND, 1000, 1000) == {"local_memory": 0}  # pimsim-nn's default


def test_mvmul_includes_its_memory_accesses() -> None:
    kind = load("isaac").main_kind
    parts = energy.mvmul_pj(kind, 8, 8, 3, 8)
    assert parts["local_memory"] == pytest.approx((4 + 3) * 86.5625)
    assert parts["adc"] == 3 * energy.mvm_pj(kind, 8)["adc"]


def test_row_blocks_that_are_summed_are_all_read_but_written_once() -> None:
    kind = load("isaac").main_kind
    parts = energy.mvmul_pj(kind, 8, 8, 3, 8, 2)
    assert parts["local_memory"] == pytest.approx((2 * 4 + 3) * 86.5625)
    assert parts["adc"] == 6 * energy.mvm_pj(kind, 8)["adc"]


def test_digital_units() -> None:
    kind = load("isaac").main_kind
    assert energy.vector_pj(kind, 5) == {"vector": 2 * 2.6}
    assert energy.function_pj(kind, 5) == {"vector": 2 * 2.6 * 8}
    assert energy.product_pj(kind, 40) == {"vector": 10 * 2.6}
    unit = {"macs_per_step": 8, "step_ns": 1, "mac_pj": 0.5}
    with_unit = vary(load("isaac"), {"core.matrix": unit}).main_kind
    assert energy.product_pj(with_unit, 40) == {"matrix": 20}


def test_programming_charges_every_cell() -> None:
    assert energy.mvwr_pj(KIND, 2)["programming"] == pytest.approx(2 * 21_125)


def test_static_power_is_the_judges() -> None:
    assert energy.static_mw(PIMCOMP) == 145  # 1 mW a local memory and 1 for the global one
    assert energy.static_mw(PIMCOMP, [3, 7]) == 3


def test_energies_broadcast_and_add_up() -> None:
    counts = np.array([1, 8, 16])
    parts = energy.mvm_pj(KIND, counts, 2)
    singles = [energy.total_pj(energy.mvm_pj(KIND, int(n), 2)) for n in counts]
    assert energy.total_pj(parts) == pytest.approx(np.array(singles))


def test_combined_keeps_the_order_of_components() -> None:
    parts = energy.combined(
        [(2, energy.message_pj(PIMCOMP, 1, 1)), (3, energy.mvm_pj(KIND, 8)), (1, {"static": 5.0})]
    )
    assert list(parts) == [c for c in energy.COMPONENTS if c in parts]
    assert parts["noc"] == 92
    assert energy.total_pj(parts) == pytest.approx(92 + 3 * 24_490.24 + 5)


def test_two_core_example_is_the_judges() -> None:
    """A program of ld, mvmul on 4 crossbars, vector work, send, sync and st, run on pimsim-nn.

    It reported 2,661 ns and 106,495.96 pJ with two cores.
    """
    parts = [
        energy.ld_pj(PIMCOMP, KIND, 128),
        energy.mvmul_pj(KIND, 8, 8, 4, 8),
        energy.vector_pj(KIND, 128),
        energy.send_pj(PIMCOMP, 128, 1),
        energy.message_pj(PIMCOMP, 1, 1),  # sync
        energy.vector_pj(KIND, 128),
        energy.st_pj(PIMCOMP, KIND, 128),
        {"static": energy.static_mw(PIMCOMP, [0, 1]) * 2661},
    ]
    total = energy.total_pj(energy.combined((1, part) for part in parts))
    assert total == pytest.approx(106_495.96)
