"""A report as tables for the terminal."""

from __future__ import annotations

import json
from collections.abc import Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from imccompiler.report.schema import Check, Layer, Report, Run, Simulated
from imccompiler.report.units import (
    NOTHING,
    count_text,
    energy_text,
    rate_text,
    share_text,
    time_text,
    times_text,
)

UNITS = {
    "crossbar": "crossbars",
    "dynamic": "matrix unit",
    "digital": "vector unit",
    "host": "host",
}


def summary(report: Report) -> RenderableType:
    """The figures of a compilation, one section below the other."""
    parts: list[RenderableType] = [figures(report)]
    if report.energy_pj is not None:
        parts.append(_energy(report.energy_pj.by_component, report.energy_pj.total))
    facts = _facts(report)
    if facts.row_count:
        parts.append(facts)
    parts.extend(Text(f"note: {note}", style="yellow") for note in report.notes)
    return Group(*parts)


def layers(report: Report) -> Table:
    """One row a layer."""
    table = Table(box=box.SIMPLE_HEAD, title="layers", title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("layer", overflow="fold", min_width=16)
    table.add_column("operator", no_wrap=True)
    for name in ("output", "matrix", "copies", "xbars", "cores", "energy"):
        table.add_column(name, justify="right", no_wrap=True)
    for item in report.layers:
        matrix = (item.rows, item.columns) if item.rows else ()
        table.add_row(
            escape(item.name),
            item.op_type,
            shape_text(item.shape),
            shape_text(matrix),
            _maybe(item.copies),
            _maybe(item.crossbars),
            str(len(item.cores)) if item.cores else "",
            energy_text(item.energy_pj) if item.energy_pj is not None else "",
        )
    return table


def coverage(report: Report) -> Table:
    """One row for each operator on each kind of unit, most work first."""
    found = report.coverage
    total = found.crossbar_macs + found.dynamic_macs + found.host_macs
    table = Table(box=box.SIMPLE_HEAD, title="coverage", title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("operator", no_wrap=True)
    table.add_column("runs on", no_wrap=True)
    for name in ("ops", "MACs", "share", "results"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("why", overflow="fold")
    for item in found.operators:
        table.add_row(
            escape(item.op_type),
            UNITS[item.unit],
            str(item.count),
            count_text(item.macs) if item.macs else "",
            share_text(item.macs / total) if item.macs else "",
            count_text(item.elements),
            item.reason,
        )
    return table


def passes(report: Report) -> Table:
    """One row a pass, with what its solvers did."""
    table = _table("pass", title="passes")
    table.add_column("seconds", justify="right")
    for name in ("solver", "status"):
        table.add_column(name)
    for name in ("value", "bound"):
        table.add_column(name, justify="right")
    for item in report.passes:
        table.add_row(item.name, f"{item.seconds:.3f}")
        for s in item.solvers:
            table.add_row(
                "", f"{s.seconds:.3f}", s.solver, s.status, _number(s.value), _number(s.bound)
            )
    return table


def layer(item: Layer) -> Table:
    """All about one layer."""
    table = Table(box=box.SIMPLE, show_header=False, title=escape(item.name), title_justify="left")
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    rows = {
        "operator": f"{item.op_type} ({item.kind})",
        "output": shape_text(item.shape),
        "multiply-accumulates": count_text(item.macs),
        "weight matrix": shape_text((item.rows or 0, item.columns or 0)) if item.rows else NOTHING,
        "copies": _maybe(item.copies) or NOTHING,
        "crossbars": _maybe(item.crossbars) or NOTHING,
        "cores": ranges(item.cores) or NOTHING,
        "energy": energy_text(item.energy_pj),
    }
    for key, value in rows.items():
        table.add_row(key, value)
    for name, fields in item.decisions.items():
        table.add_row(name, ", ".join(f"{k} = {_value(v)}" for k, v in fields.items()))
    return table


def figures(report: Report) -> Table:
    """Latency, interval and energy as planned, as simulated and as bound from below."""
    title = f"{escape(report.model)} on {escape(report.hardware)}, for {report.objective}"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", title_style="bold")
    table.add_column("")
    for name in ("planned", "simulated", "lower bound", "above bound"):
        table.add_column(name, justify="right")
    table.add_column("bound by", overflow="fold")
    bound, sim = report.lower_bound, report.simulated
    table.add_row(
        "latency",
        time_text(report.latency_ns),
        time_text(sim and sim.latency_ns),
        time_text(bound and bound.latency_ns),
        times_text(report.latency_ns, bound and bound.latency_ns),
        bound.binds.latency if bound else "",
    )
    table.add_row(
        "interval",
        time_text(report.interval_ns),
        time_text(sim and sim.interval_ns),
        time_text(bound and bound.interval_ns),
        times_text(report.interval_ns, bound and bound.interval_ns),
        bound.binds.interval if bound else "",
    )
    energy = report.energy_pj.total if report.energy_pj else None
    table.add_row(
        "energy",
        energy_text(energy),
        energy_text(sim.energy_pj.total if sim else None),
        energy_text(bound and bound.energy_pj),
        times_text(energy, bound and bound.energy_pj),
        bound.binds.energy if bound else "",
    )
    return table


def two_columns(rows: dict[str, str]) -> Table:
    """Names and what they are."""
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in rows.items():
        table.add_row(escape(name), escape(text))
    return table


def _energy(by_component: dict[str, float], total: float) -> Table:
    table = Table(box=box.SIMPLE, show_header=False, title="energy of one image")
    table.title_justify = "left"
    table.add_column()
    table.add_column(justify="right")
    table.add_column(justify="right", style="dim")
    table.add_column(style="cyan")
    for name, value in sorted(by_component.items(), key=lambda item: -item[1]):
        if not value:
            continue
        share = value / total if total else 0.0
        table.add_row(
            name.replace("_", " "),
            energy_text(value),
            share_text(share),
            "█" * round(24 * share),
        )
    return table


def _facts(report: Report) -> Table:
    table = Table(box=box.SIMPLE, show_header=False)
    table.add_column(style="dim")
    table.add_column(overflow="fold")
    for key, value in _fact_rows(report):
        table.add_row(key, value)
    return table


def _fact_rows(report: Report) -> Iterator[tuple[str, str]]:
    if report.interval_ns:
        yield "throughput", rate_text(report.interval_ns)
    if report.power_mw is not None:
        yield "power", f"{report.power_mw:,.1f} mW"
    if report.area_mm2 is not None:
        yield "area", f"{report.area_mm2:,.2f} mm²"
    if (use := report.crossbars) is not None:
        text = f"{use.used:,} of {use.available:,} ({use.counting})"
        yield "crossbars", f"{text}, {share_text(use.cell_utilisation)} of their cells"
        if use.segments > 1:
            worn = use.images_until_worn
            life = f", worn after {worn:,.0f} images" if worn is not None else ""
            yield (
                "weights",
                f"in {use.segments} segments, written {use.writes_per_image} times{life}",
            )
    if report.simulated is not None:
        yield "simulation", simulated_text(report.simulated)
    if report.check is not None:
        yield "check", check_text(report.check)
    if report.run is not None:
        yield "run", run_text(report.run)
    seconds = sum(item.seconds for item in report.passes)
    yield "passes", f"{seconds:.2f} s at effort {report.effort}, seed {report.seed}"


def simulated_text(simulated: Simulated) -> str:
    """One line on a simulation."""
    busiest = max(simulated.core_utilisation, default=0.0)
    text = f"{simulated.images} image(s), busiest core computes {share_text(busiest)} of the time"
    if simulated.latency_deviation is not None:
        text += f", {100 * simulated.latency_deviation:+.2f} % off the plan"
    return text


def check_text(check: Check) -> str:
    """One line on a check."""
    exact = "equals the reference bit for bit"
    if not check.bit_exact:
        exact = f"{check.differing:,} of {check.compared:,} values DIFFER from the reference"
    parts = [exact, *_float_parts(check.onnxruntime_sqnr_db, check.onnxruntime_max_abs_diff)]
    if check.adc_bits_needed is not None:
        parts.append(f"needs a {check.adc_bits_needed}-bit ADC, has {check.adc_bits}")
    return ", ".join(parts)


def run_text(run: Run) -> str:
    """One line on a run."""
    parts = [f"{run.samples:,} input(s)", "ideal" if run.ideal else "the machine's own ADC"]
    if run.accuracy is not None:
        parts.append(f"accuracy {share_text(run.accuracy)}")
    if run.onnxruntime_accuracy is not None:
        parts.append(f"float accuracy {share_text(run.onnxruntime_accuracy)}")
    parts += _float_parts(run.onnxruntime_sqnr_db, run.onnxruntime_max_abs_diff)
    return ", ".join(parts)


def _float_parts(sqnr_db: float | None, difference: float | None) -> list[str]:
    parts = [] if sqnr_db is None else [f"{sqnr_db:.1f} dB SQNR to ONNX Runtime"]
    return parts if difference is None else [*parts, f"largest difference {difference:.3g}"]


def _table(*columns: str, title: str) -> Table:
    return Table(*columns, box=box.SIMPLE_HEAD, title=title, title_justify="left")


def shape_text(shape: tuple[int | None, ...]) -> str:
    """A shape, such as `1x64x56x56`."""
    return "x".join(str(size) for size in shape)


def _maybe(value: int | None) -> str:
    return "" if value is None else f"{value:,}"


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:,.6g}"


def _value(value: object) -> str:
    if isinstance(value, (tuple, list)) and len(value) > 16:
        return f"[{len(value)} entries]"
    return json.dumps(value)


def ranges(numbers: tuple[int, ...]) -> str:
    """Sorted numbers as ranges, such as `0-3, 8`."""
    starts = [n for i, n in enumerate(numbers) if i == 0 or numbers[i - 1] != n - 1]
    ends = [n for i, n in enumerate(numbers) if i == len(numbers) - 1 or numbers[i + 1] != n + 1]
    pairs = zip(starts, ends, strict=True)
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in pairs)
