"""A study's front as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from imccompiler.report.units import energy_text, share_text, time_text
from imccompiler.search.front import FrontMember
from imccompiler.search.space import Metric, Space
from imccompiler.search.trial import Trial

_TEXTS: dict[Metric, Callable[[float], str]] = {
    "accuracy": share_text,
    "latency_ns": time_text,
    "interval_ns": time_text,
    "energy_pj": energy_text,
    "power_mw": lambda value: f"{value:,.1f} mW",
    "area_mm2": lambda value: f"{value:,.2f} mm²",
    "crossbars": lambda value: f"{value:,.0f}",
}


def front_table(space: Space, trials: Sequence[Trial], front: Sequence[FrontMember]) -> Table:
    """One row a member: objectives as searched, and the genes that differ along the front."""
    complete = sum(trial.outcome.state == "complete" for trial in trials)
    title = f"front: {len(front)} of {len(trials)} trials, {complete} of them complete"
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", padding=(0, 1, 0, 0))
    table.add_column("trial", justify="right")
    metrics: list[Metric] = [objective.metric for objective in space.objectives]
    for name in metrics:
        heading = name.rpartition("_")[0] or name  # the value has its unit beside it
        table.add_column(heading, justify="right", no_wrap=True)
    genes = [
        g for g in (front[0].values if front else ()) if len({str(m.values[g]) for m in front}) > 1
    ]
    for gene in genes:
        table.add_column(escape(gene), overflow="fold")
    for member in front:
        values = [member.trial.outcome.value(name) for name in metrics]
        texts = ["" if v is None else _TEXTS[n](v) for n, v in zip(metrics, values, strict=True)]
        chosen = [escape(str(member.values[gene])) for gene in genes]
        table.add_row(str(member.trial.number), *texts, *chosen)
    return table
