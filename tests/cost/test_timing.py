from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from imccompiler.cost.machine import MachineTiming
from imccompiler.cost.timing import CoreTiming, back_ns, front_ns, input_cycles
from imccompiler.hardware.load import load, vary


@pytest.fixture(scope="module")
def pimcomp() -> CoreTiming:
    return MachineTiming.of(load("pimcomp")).main


def timing(**changes: Any) -> CoreTiming:
    names = {key.replace("__", "."): value for key, value in changes.items()}
    return MachineTiming.of(vary(load("pimcomp"), names)).main


def test_stages_of_a_product_on_the_judges_chip() -> None:
    crossbar = load("pimcomp").main_kind.crossbar
    assert front_ns(crossbar) == 9  # 1 + 7 + 1
    assert back_ns(crossbar) == 162  # 20 + 1 + 1 + 7 * 20
    assert input_cycles(crossbar, 8) == 8


def test_product_on_the_judges_chip(pimcomp: CoreTiming) -> None:
    assert pimcomp.mvm_ps(8) == 1_305_000  # 9 + 162 + 7 * 162


def test_product_without_pipelining() -> None:
    assert timing(crossbar__pipelined=False).mvm_ps(8) == 8 * 171_000


def test_product_limited_by_reading() -> None:
    assert timing(crossbar__read_ns=200).mvm_ps(8) == (202 + 162 + 7 * 202) * 1000


def test_product_limited_by_shift_and_add() -> None:
    slow = timing(crossbar__shift_add_ns=30)  # each conversion waits for 30 + 1
    assert slow.mvm_ps(8) == (9 + (20 + 31 + 7 * 31) * 8) * 1000


def test_row_blocks_and_wide_digits_change_the_cycles() -> None:
    assert timing(crossbar__rows_active=32).mvm_ps(8) == (9 + 162 + (8 * 4 - 1) * 162) * 1000
    assert timing(crossbar__rows_active=50).row_blocks == 3
    assert timing(crossbar__input_bits_per_cycle=3).mvm_ps(8) == (9 + 162 + 2 * 162) * 1000


def test_columns_that_the_converters_do_not_divide() -> None:
    crossbar = vary(load("pimcomp"), {"adc.per_crossbar": 100}).main_kind.crossbar
    assert back_ns(crossbar) == 22 + 20  # two conversions each at most


def test_isaac_converts_128_columns_in_100_ns() -> None:
    isaac = MachineTiming.of(load("isaac")).main
    assert back_ns(load("isaac").main_kind.crossbar) == pytest.approx(100)
    assert isaac.mvm_ps(8) == 900_000  # 100 + 8 * 100
    assert isaac.mvm_ps(16) == 1_700_000  # the paper's 16 cycles and one of conversion


def test_mvmul_reads_multiplies_and_writes(pimcomp: CoreTiming) -> None:
    # 128 rows * 1 byte * 8 reads in 16 accesses of 20 ns; 4 * 32 bytes in 2 writes of 30 ns
    assert pimcomp.mvmul_ps(8, 4, 8) == (320 + 1305 + 60) * 1000
    # 16-bit input: 32 accesses, 16 cycles; 24-bit outputs of 64 crossbars: 64 * 32 * 3 / 64
    assert pimcomp.mvmul_ps(16, 64, 24) == (640 + 171 + 15 * 162 + 96 * 30) * 1000


def test_row_blocks_that_are_summed_are_read_together(pimcomp: CoreTiming) -> None:
    # 3 * 128 rows * 8 reads in 48 accesses of 20 ns; the crossbars work at once, the adders write
    # the outputs of one row block
    assert pimcomp.mvmul_ps(8, 4, 8, 3) == (960 + 1305 + 60) * 1000


def test_memory_port_counts_whole_accesses(pimcomp: CoreTiming) -> None:
    port = pimcomp.port
    assert [port.read_ps(n) for n in (0, 1, 64, 65, 128)] == [0, 20000, 20000, 40000, 40000]
    assert [port.write_ps(n) for n in (0, 1, 64, 65)] == [0, 30000, 30000, 60000]


def test_vector_instructions(pimcomp: CoreTiming) -> None:
    assert pimcomp.vector_ps(128, 2, 128, 128) == (2 * 40 + 4 * 4 + 60) * 1000
    assert pimcomp.vector_ps(128, 1, 128, 128) == (40 + 16 + 60) * 1000
    assert pimcomp.vector_ps(33, 2, 66, 33) == (2 * 40 + 2 * 4 + 30) * 1000


def test_functions_and_products_of_activations(pimcomp: CoreTiming) -> None:
    assert pimcomp.function_compute_ps(64) == 2 * 4000 * 8
    assert pimcomp.product_compute_ps(1000) == 32 * 4000
    unit = timing(core__matrix={"macs_per_step": 64, "step_ns": 2, "mac_pj": 1})
    assert unit.product_compute_ps(1000) == 16 * 2000


def test_moves_and_programming(pimcomp: CoreTiming) -> None:
    assert pimcomp.lmv_ps(100) == 2 * 20_000 + 2 * 30_000
    assert pimcomp.lldi_ps(100) == 60_000
    assert pimcomp.mvwr_ps() == 10_968_750  # puma-simulator's whole array


@pytest.mark.parametrize(
    "formula",
    [
        lambda t, n: t.port.read_ps(n),
        lambda t, n: t.port.write_ps(n),
        lambda t, n: t.mvm_ps(n),
        lambda t, n: t.mvmul_ps(8, n, 16),
        lambda t, n: t.vector_ps(n, 2, n * 2, n),
        lambda t, n: t.function_compute_ps(n),
        lambda t, n: t.product_compute_ps(n),
        lambda t, n: t.lmv_ps(n),
    ],
)
def test_formulas_broadcast(formula: Any, pimcomp: CoreTiming) -> None:
    counts = np.array([[1, 8, 16], [31, 32, 33]])
    result = formula(pimcomp, counts)
    assert result.dtype == np.int64
    assert result.tolist() == [[formula(pimcomp, int(n)) for n in row] for row in counts]


def test_differential_weights_halve_the_outputs() -> None:
    assert timing(crossbar__signed_weights="differential").outputs_per_crossbar == 16
