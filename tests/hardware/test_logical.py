from __future__ import annotations

import pytest

from imccompiler.errors import HardwareError
from imccompiler.hardware.load import load, vary
from imccompiler.hardware.logical import logical
from imccompiler.hardware.weights import outputs_per_crossbar, slices


def test_logical_crossbars_hold_a_whole_weight_a_column() -> None:
    machine = logical(load("pimcomp"))
    assert machine.crossbar_count == "logical"
    assert outputs_per_crossbar(machine.main_kind, machine.weight_bits) == 128


def test_logical_needs_weights_that_fit_a_cell() -> None:
    with pytest.raises(HardwareError, match="10 bits"):
        logical(vary(load("pimcomp"), {"weight_bits": 10}))


@pytest.mark.parametrize(
    ("scheme", "cell_bits", "weight_bits", "expected"),
    [
        ("offset", 2, 8, 32),
        ("offset", 3, 8, 42),  # 3 cells a weight
        ("twos_complement", 1, 8, 16),
        ("differential", 2, 8, 16),
    ],
)
def test_weights_side_by_side(scheme: str, cell_bits: int, weight_bits: int, expected: int) -> None:
    changes = {"crossbar.signed_weights": scheme, "cell.bits": cell_bits}
    kind = vary(load("pimcomp"), changes).main_kind
    assert outputs_per_crossbar(kind, weight_bits) == expected
    assert slices(kind, weight_bits) == -(-weight_bits // cell_bits)
