"""The report as one HTML page that needs nothing beside it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING

from imccompiler.report import units
from imccompiler.report.schema import Report
from imccompiler.report.table import check_text, ranges, run_text, shape_text, simulated_text
from imccompiler.report.timeline import Span, core_timeline, layer_spans, timeline_image
from imccompiler.report.trace import UNITS, Events

if TYPE_CHECKING:
    from jinja2 import Template

TICKS = 6
KINDS = ("planned", "simulated", "bound")


@dataclass(frozen=True, slots=True)
class Bar:
    """A value, and its share of the largest one beside it."""

    kind: str
    text: str
    share: float


@dataclass(frozen=True, slots=True)
class Metric:
    """One quantity as planned, simulated and bound from below, ready to draw."""

    name: str
    text: str
    bars: tuple[Bar, ...]
    above: str
    binds: str


@dataclass(frozen=True, slots=True)
class Activity:
    """The simulated run, ready to draw."""

    image: str
    cores: tuple[int, ...]
    ticks: tuple[str, ...]
    spans: tuple[Span, ...]
    end_ns: float


def render(report: Report, events: Events | None = None, layers: Sequence[str] = ()) -> str:
    """The page.

    Args:
        report: The content of report.json.
        events: Of the timing simulator; the page shows what cores and layers did over time.
        layers: Names that the events' column `layer` counts.
    """
    return _template().render(
        r=report,
        metrics=metrics(report),
        components=components(report),
        activity=activity(events, layers) if events is not None and len(events) else None,
        most_energy=max((x.energy_pj or 0.0 for x in report.layers), default=0.0),
        pass_seconds=sum(p.seconds for p in report.passes),
    )


def metrics(report: Report) -> tuple[Metric, ...]:
    """Latency, interval and energy."""
    bound, sim, energy = report.lower_bound, report.simulated, report.energy_pj
    binds = bound.binds if bound else None
    return (
        _metric(
            "Latency",
            units.time_text,
            (report.latency_ns, sim and sim.latency_ns, bound and bound.latency_ns),
            binds and binds.latency,
        ),
        _metric(
            "Interval",
            units.time_text,
            (report.interval_ns, sim and sim.interval_ns, bound and bound.interval_ns),
            binds and binds.interval,
        ),
        _metric(
            "Energy",
            units.energy_text,
            (energy and energy.total, sim and sim.energy_pj.total, bound and bound.energy_pj),
            binds and binds.energy,
        ),
    )


def components(report: Report) -> list[tuple[str, str, float]]:
    """Components by energy: name, text and share of the total."""
    if report.energy_pj is None or not report.energy_pj.total:
        return []
    ordered = sorted(report.energy_pj.by_component.items(), key=lambda item: -item[1])
    total = report.energy_pj.total
    return [(n.replace("_", " "), units.energy_text(v), v / total) for n, v in ordered if v]


def activity(events: Events, layers: Sequence[str]) -> Activity:
    """What cores and layers did."""
    timeline = core_timeline(events)
    ticks = (units.time_text(timeline.end_ns * i / TICKS) for i in range(TICKS + 1))
    return Activity(
        image=timeline_image(timeline),
        cores=tuple(timeline.cores.tolist()),
        ticks=tuple(ticks),
        spans=layer_spans(events, layers),
        end_ns=timeline.end_ns,
    )


def _metric(
    name: str,
    text: Callable[[float | None], str],
    values: tuple[float | None, float | None, float | None],
    binds: str | None,
) -> Metric:
    most = max(value or 0.0 for value in values) or 1.0
    planned, simulated, bound = values
    return Metric(
        name=name,
        text=text(planned if planned is not None else simulated),
        bars=tuple(
            Bar(kind, text(value), value / most)
            for kind, value in zip(KINDS, values, strict=True)
            if value is not None
        ),
        above=f"{units.times_text(planned, bound)} the bound" if planned and bound else "",
        binds=binds or "",
    )


@cache
def _template() -> Template:
    from jinja2 import Environment, StrictUndefined  # noqa: PLC0415

    folder = resources.files("imccompiler.report")
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(
        time=units.time_text,
        energy=units.energy_text,
        count=units.count_text,
        share=units.share_text,
        shape=shape_text,
        ranges=ranges,
        check=check_text,
        run=run_text,
        simulated=simulated_text,
        compact=json.dumps,
    )
    return environment.from_string(
        folder.joinpath("page.html").read_text(encoding="utf-8"),
        globals={
            "style": folder.joinpath("page.css").read_text(encoding="utf-8"),
            "script": folder.joinpath("page.js").read_text(encoding="utf-8"),
            "unit_names": UNITS,
        },
    )
