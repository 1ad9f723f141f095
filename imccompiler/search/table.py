"""A study's front as a table for the terminal."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich import box
from rich.markup import escape
from rich.table import Table

from imccompiler.report.units import energy_text, share_text, time_text
from imccompiler.search.front import FrontMember
from imccompiler.search.genes import OBJECTIVE
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
    table.add_column("trial", justify="right", no_wrap=True)
    metrics: list[Metric] = [objective.metric for objective in space.objectives]
    for name in metrics:
        heading = name.rpartition("_")[0] or name  # the value has its unit beside it
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("design, where the front differs", overflow="fold", ratio=1)
    genes = _differing(front)
    for member in front:
        values = [member.trial.outcome.value(name) for name in metrics]
        texts = ["" if v is None else _TEXTS[n](v) for n, v in zip(metrics, values, strict=True)]
        design = ", ".join(_choice(gene, member.values[gene]) for gene in genes)
        table.add_row(str(member.trial.number), *texts, escape(design))
    return table


def _differing(front: Sequence[FrontMember]) -> list[str]:
    """Genes in which members of the front differ."""
    genes = front[0].values if front else ()
    return [g for g in genes if any(m.values[g] != front[0].values[g] for m in front)]


def _choice(gene: str, value: object) -> str:
    """A gene's value; names speak for themselves, numbers need the key."""
    named = isinstance(value, str) and not value[:1].isdecimal() and gene != OBJECTIVE
    return str(value) if named else f"{gene.rpartition('.')[2]} {value}"
