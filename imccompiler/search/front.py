"""The front of a study as files: front.json, front.csv, and a compiled folder for each member."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from imccompiler.compiler import compile, evaluate  # noqa: A004
from imccompiler.compiler.folder import REPORT, read_report, update_report
from imccompiler.errors import ImcError
from imccompiler.hardware.load import vary
from imccompiler.search.executor import Workers, run_all
from imccompiler.search.figures import exported
from imccompiler.search.genes import Candidate, design_of
from imccompiler.search.pareto import Member
from imccompiler.search.pipelines import text_of
from imccompiler.search.problem import Payload, Problem, problem_of
from imccompiler.search.reading import locate
from imccompiler.search.space import Space
from imccompiler.search.trial import Trial

FRONT = "front"
FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class FrontMember:
    """A member of the front, as exported.

    Attributes:
        trial: Its first trial, with what the search measured.
        equals: Later trials with the same values.
        values: What the candidate stands for, by gene.
        full: What the exported program has, by metric: compiled at `front_effort`, simulated,
            and executed itself.
        folder: Where it is, relative to the study's.
        problem: Why there is no folder, if it could not be exported.
    """

    trial: Trial
    equals: tuple[int, ...]
    values: Mapping[str, Any]
    full: Mapping[str, float]
    folder: str | None
    problem: str | None = None


def export_front(
    problem: Problem,
    payload: Payload,
    members: Sequence[Member],
    folder: Path,
    workers: Workers,
    *,
    trials: Sequence[Trial],
    progress: Callable[[str, int, int], Any] | None = None,
) -> tuple[FrontMember, ...]:
    """Write the front into a study's folder; what is there of an earlier run is used again.

    Args:
        problem: The study's.
        payload: Of the same space.
        members: The front.
        folder: The study's.
        workers: Where to compile.
        trials: All of the study.
        progress: Told (step, members done, members).
    """
    home = folder / FRONT
    home.mkdir(exist_ok=True)
    names = [f"{member.trial.number:04d}" for member in members]
    _remove_others(home, set(names))
    tasks = [(payload, m.trial.candidate, home / n) for m, n in zip(members, names, strict=True)]
    found: dict[int, dict[str, float] | Exception] = {}
    for place, result in run_all(workers, export, tasks):
        found[place] = result
        if progress is not None:
            progress("export the front", len(found), len(members))
    front = tuple(
        _member(problem, member, name, found[place])
        for place, (member, name) in enumerate(zip(members, names, strict=True))
    )
    data = front_json(problem.space, trials, front)
    _replace(folder / "front.json", json.dumps(data, indent=2, allow_nan=False) + "\n")
    _replace(folder / "front.csv", front_csv(problem.space, front))
    return front


def export(payload: Payload, candidate: Candidate, folder: Path) -> dict[str, float]:
    """Compile a candidate through the driver into a folder and execute it on the space's data.

    Args:
        payload: The space.
        candidate: One of its genome.
        folder: To write; left as it is if a complete export stands there.

    Returns:
        Metrics of the exported program.
    """
    problem = problem_of(payload)
    space, samples = problem.space, problem.samples
    if (folder / REPORT).is_file():
        report = read_report(folder)
        if samples is None or report.run is not None:
            return exported(report)
    design = design_of(space, problem.genome.decode(candidate))
    compilation = compile(
        locate(design.network, problem.folder),
        vary(problem.machine, design.overrides),
        objective=design.objective,
        passes=text_of(space.mapping.pipeline, design.options),
        effort=space.front_effort,
        seed=space.seed,
        calibration=problem.calibration,
        output=folder,
    )
    if samples is None:
        return exported(compilation.report)
    run = evaluate(compilation, samples.inputs, samples.labels).run
    return exported(update_report(folder, run=run))


def front_json(
    space: Space, trials: Sequence[Trial], front: Sequence[FrontMember]
) -> dict[str, Any]:
    """The content of front.json."""
    states = [trial.outcome.state for trial in trials]
    return {
        "format_version": FORMAT_VERSION,
        "objectives": [objective.model_dump() for objective in space.objectives],
        "constraints": {n: b.model_dump() for n, b in space.constraints.items()},
        "sampler": space.sampler,
        "seed": space.seed,
        "trials": len(trials),
        "states": {state: states.count(state) for state in sorted(set(states))},
        "front": [
            {
                "trial": member.trial.number,
                "equals": list(member.equals),
                "values": dict(member.values),
                "metrics": {
                    name: {"value": m.value, "rung": m.rung}
                    for name, m in member.trial.outcome.metrics.items()
                },
                "full": dict(member.full),
                "folder": member.folder,
                "problem": member.problem,
            }
            for member in front
        ],
    }


def front_csv(space: Space, front: Sequence[FrontMember]) -> str:
    """One line a member: trial, objectives as searched and as exported, then the genes."""
    metrics = [objective.metric for objective in space.objectives]
    genes = list(front[0].values) if front else []
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["trial", *metrics, *(f"full_{name}" for name in metrics), *genes])
    for member in front:
        searched = [member.trial.outcome.value(name) for name in metrics]
        full = [member.full.get(name) for name in metrics]
        values = [member.values[gene] for gene in genes]
        writer.writerow([member.trial.number, *searched, *full, *values])
    return text.getvalue()


def _member(
    problem: Problem, member: Member, name: str, found: dict[str, float] | Exception
) -> FrontMember:
    values = problem.genome.decode(member.trial.candidate)
    if isinstance(found, Exception):
        kind = "" if isinstance(found, ImcError) else f"{type(found).__name__}: "
        return FrontMember(member.trial, member.equals, values, {}, None, f"{kind}{found}")
    return FrontMember(member.trial, member.equals, values, found, f"{FRONT}/{name}")


def _remove_others(home: Path, names: set[str]) -> None:
    """Remove exports of trials that are no longer on the front, and nothing else."""
    for folder in home.iterdir():
        if folder.name.isdecimal() and folder.name not in names and (folder / REPORT).is_file():
            shutil.rmtree(folder)


def _replace(path: Path, text: str) -> None:
    """Write a file, whole or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)
