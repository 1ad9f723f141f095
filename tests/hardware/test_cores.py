"""Properties of kinds, spread over the cores of chips and packages."""

from __future__ import annotations

from pathlib import Path

import pytest

from imccompiler.hardware.cores import cores_of_kind, crossbar_kinds, kind_numbers, of_cores
from imccompiler.hardware.load import load, vary

EXAMPLE = Path(__file__).parents[2] / "examples" / "isaac_package.yaml"


@pytest.fixture(scope="module")
def mixed():
    """Two chips with two large and three small cores each."""
    machine = load("isaac")
    tile = machine.core_kinds["tile"]
    small = tile.model_copy(update={"crossbars": 4})
    chip = machine.chip.model_dump(exclude_unset=True)
    cores = [{"kind": "large", "count": 2}, {"kind": "small", "count": 3}]
    data = machine.model_dump(exclude_unset=True) | {
        "core_kinds": {"small": small.model_dump(), "large": tile.model_dump()},
        "chip": chip | {"grid": (2, 3), "cores": cores},
        "package": {"chips": 2},
    }
    return type(machine).model_validate(data)


def test_cores_go_chip_after_chip(mixed):
    assert (mixed.cores_per_chip, mixed.core_count) == (5, 10)
    assert mixed.kind_of_core() == ["large", "large", "small", "small", "small"] * 2
    names = list(mixed.core_kinds)
    assert [names[n] for n in kind_numbers(mixed)] == mixed.kind_of_core()


def test_each_core_has_what_its_kind_has(mixed):
    assert of_cores(mixed, lambda kind: kind.crossbars).tolist() == [96, 96, 4, 4, 4] * 2
    assert of_cores(mixed, lambda kind: (1, kind.rob_size)).shape == (10, 2)


def test_kinds_with_crossbars_stand_in_the_order_of_the_mesh(mixed):
    assert crossbar_kinds(mixed) == ("large", "small")
    assert cores_of_kind(mixed, "small").tolist() == [False, False, True, True, True] * 2
    bare = vary(mixed, {"core_kinds.large.crossbars": 0})
    assert crossbar_kinds(bare) == ("small",)
    assert crossbar_kinds(vary(bare, {"core_kinds.small.crossbars": 0})) == ("large",)


def test_hetero_has_the_cores_of_two_presets_in_rows():
    hetero = load("hetero")
    assert hetero.core_kinds["analog"] == load("hermes").main_kind
    assert hetero.core_kinds["digital"] == load("dimc").main_kind
    rows = [hetero.kind_of_core()[row : row + 8] for row in range(0, 64, 8)]
    assert rows == [["analog"] * 8, ["digital"] * 8] * 4


def test_the_example_holds_seven_billion_weights():
    package = load(EXAMPLE)
    tile = package.main_kind
    weights = tile.crossbar.rows * tile.crossbar.columns // tile.columns_per_weight(8)
    assert package.core_count * tile.crossbars * weights > 7e9
    assert package.package == vary(load("isaac"), {"package.chips": 112}).package
