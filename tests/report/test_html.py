from __future__ import annotations

import re
from collections.abc import Callable
from html.parser import HTMLParser

from imccompiler.report.html import render
from imccompiler.report.schema import Report
from imccompiler.report.trace import Events

Make = Callable[[list[tuple[int, int, int, float, float]]], Events]
VOID = {"meta", "img", "br"}


class Balanced(HTMLParser):
    """Fails on a tag that is closed in the wrong order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:  # noqa: ARG002
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_shows_the_figures_and_is_well_formed(report: Report, make_events: Make) -> None:
    page = render(report, make_events([(0, 0, 0, 0.0, 5.0), (4, 1, 0, 0.0, 10.0)]), ["a"])
    for text in ("1.5 µs", "<b>1 M</b>", "30 pJ", "critical path", "something to know", "CP-SAT"):
        assert text in page
    for text in ("bit-exact", "97.4 %", "9-bit ADC", "2 of them work"):
        assert text in page
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []


def test_page_needs_nothing_beside_it(report: Report) -> None:
    page = render(report)
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!data:)""", page)
    assert "@import" not in page
    assert "url(" not in page
    assert len(page) < 100_000


def test_names_from_the_network_cannot_become_markup(report: Report) -> None:
    evil = '"><script>alert(1)</script>'
    layer = report.layers[0].model_copy(update={"name": evil})
    page = render(report.model_copy(update={"layers": (layer,), "model": evil, "notes": (evil,)}))
    assert "<script>alert" not in page
    assert page.count("<script>") == 1


def test_page_without_figures(report: Report) -> None:
    nothing = dict.fromkeys(
        (
            "latency_ns", "interval_ns", "energy_pj", "area_mm2", "power_mw", "lower_bound",
            "simulated", "crossbars", "check", "run", "hashes",
        )
    )  # fmt: skip
    page = render(report.model_copy(update={**nothing, "layers": (), "passes": ()}))
    assert "Cores over time" not in page
