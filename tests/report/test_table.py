from __future__ import annotations

from typing import Any

import pytest
from rich.console import Console

from imccompiler.errors import UserInputError
from imccompiler.report import inspect, table, units
from imccompiler.report.schema import Report


def text_of(*tables: Any) -> str:
    console = Console(width=100, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    for each in tables:
        console.print(each)
    return console.export_text()


def test_summary_shows_plan_simulation_and_bound(report: Report) -> None:
    text = text_of(table.summary(report))
    for part in ("net on chip", "1.5 µs", "1.51 µs", "1.50 x", "critical path", "30 pJ"):
        assert part in text
    for part in ("66.7 %", "2 of 64 (physical)", "bit for bit", "97.4 %", "something to know"):
        assert part in text


def test_program_that_is_not_exact_is_told(report: Report) -> None:
    assert report.check is not None
    wrong = report.check.model_copy(update={"bit_exact": False, "differing": 3})
    assert "3 of 10 values DIFFER" in table.check_text(wrong)


def test_layer_shows_its_decisions(report: Report) -> None:
    text = text_of(table.layer(report.layers[0]))
    for part in ("9x8", "0-2, 7", "tiling", "slices = 4"):
        assert part in text


def test_layers_by_name_and_glob(report: Report) -> None:
    assert inspect.layers(report, "a") == report.layers
    assert inspect.layers(report, "[ab]*") == report.layers
    assert inspect.layers(report, None) == report.layers
    with pytest.raises(UserInputError, match="no layer is named 'b'"):
        inspect.layers(report, "b")


def test_markup_in_names_is_text(report: Report) -> None:
    layer = report.layers[0].model_copy(update={"name": "[bold]x[/bold]"})
    text = text_of(table.layers(report.model_copy(update={"layers": (layer,)})))
    assert "[bold]x[/bold]" in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0 ns"), (999.4, "999 ns"), (1500.0, "1.5 µs"), (2.345e6, "2.35 ms"), (None, "-")],
)
def test_times(value: float | None, text: str) -> None:
    assert units.time_text(value) == text


def test_counts_shares_and_factors() -> None:
    assert units.count_text(9999) == "9,999"
    assert units.count_text(1_814_073_344) == "1.81 G"
    assert units.energy_text(3.756e6) == "3.76 µJ"
    assert units.rate_text(1e6) == "1,000 images/s"
    assert units.rate_text(0.0) == "-"
    assert units.share_text(0.974) == "97.4 %"
    assert units.times_text(3.0, 2.0) == "1.50 x"
    assert units.times_text(3.0, 0.0) == "-"
