"""Studies: run one in a folder, or compare samplers in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imccompiler.errors import UserInputError
from imccompiler.report.build import versions
from imccompiler.search.executor import workers_of
from imccompiler.search.explore import explore
from imccompiler.search.front import FrontMember, export_front, front_json
from imccompiler.search.ledger import Ledger
from imccompiler.search.pareto import Points, front_of, hypervolume, points_of
from imccompiler.search.problem import Payload, problem_of
from imccompiler.search.reading import SpaceFile, read_space
from imccompiler.search.samplers import sampler_of
from imccompiler.search.space import SamplerName, Space
from imccompiler.search.trial import Trial

if TYPE_CHECKING:
    from rich.table import Table

Progress = Callable[[str, int, int], Any]
_DECADES = ("_ns", "_pj", "_mw", "_mm2")


@dataclass(frozen=True, slots=True)
class Study:
    """What `run` hands back.

    Attributes:
        source: The space.
        trials: All, by number.
        front: What no other trial beats, as exported.
        folder: Where the ledger and the front are.
    """

    source: SpaceFile
    trials: tuple[Trial, ...]
    front: tuple[FrontMember, ...]
    folder: Path

    def table(self) -> Table:
        """The front as a table for the terminal."""
        from imccompiler.search.table import front_table  # noqa: PLC0415

        return front_table(self.source.space, self.trials, self.front)

    def as_json(self) -> dict[str, Any]:
        """The content of front.json."""
        return front_json(self.source.space, self.trials, self.front)


def run(
    space: Path | str,
    *,
    trials: int,
    workers: int = 1,
    output: Path | str,
    seed: int | None = None,
    progress: Progress | None = None,
    scheduler: str | None = None,
) -> Study:
    """Run a study in a folder, or go on with it.

    The folder gets `ledger.jsonl`, `front.json`, `front.csv`, and `front/NNNN/` for each trial
    NNNN of the front: network, machine, program and report, compiled at the space's
    `front_effort` and executed. The front does not depend on `workers`.

    Args:
        space: A space file.
        trials: Of the study in all; recorded ones are kept, even beyond this number.
        workers: Processes.
        output: The folder.
        seed: In place of the space's.
        progress: Told (step, done, in all).
        scheduler: Address of a Dask scheduler whose workers can read the space's files.

    Raises:
        UserInputError: The space or the folder cannot be used, or a package is missing.
    """
    if trials < 1 or workers < 1:
        raise UserInputError("a study needs at least one trial and one worker")
    source = read_space(space, seed=seed)
    payload, folder = Payload.of(source), Path(output)
    problem = problem_of(payload)
    sampler = sampler_of(source.space, problem.genome)
    with (
        Ledger(folder, problem.space_hash(), problem.identity(), versions()) as ledger,
        workers_of(payload, workers, timeout_s=source.space.timeout_s, scheduler=scheduler) as pool,
    ):
        done = explore(
            payload,
            sampler,
            pool,
            trials=max(trials, 1 + max(ledger.trials, default=-1)),
            batch_size=source.space.batch_size,
            recorded=dict(ledger.trials),
            record=ledger.append,
            progress=progress,
        )
        members = front_of(done, source.space)
        front = export_front(
            problem, payload, members, folder, pool, trials=done, progress=progress
        )
    return Study(source, tuple(done), front, folder)


@dataclass(frozen=True, slots=True, eq=False)
class Comparison:
    """Fronts of several samplers with the same seeds, by (sampler, seed).

    Each front is an array of shape (members, objectives), all to be made small.
    """

    space: Space
    fronts: Mapping[tuple[SamplerName, int], Points]

    def hypervolumes(self, *, logarithmic: bool = True) -> dict[tuple[SamplerName, int], float]:
        """Share of one box that each front dominates.

        The box is the same for all: from the best to the worst value of each objective over all
        fronts, its worst corner moved out by a tenth.

        Args:
            logarithmic: Look at times, energies and areas by their ratios, as they span decades.
        """
        scaled = {key: self._scaled(front, logarithmic) for key, front in self.fronts.items()}
        every = np.concatenate(list(scaled.values()))
        ideal, nadir = every.min(axis=0), every.max(axis=0)
        return {key: hypervolume(front, ideal, nadir) for key, front in scaled.items()}

    def _scaled(self, front: Points, logarithmic: bool) -> Points:
        names = [objective.metric for objective in self.space.objectives]
        ratios = np.array([logarithmic and name.endswith(_DECADES) for name in names])
        return np.where(ratios, np.log(np.where(ratios, front, 1.0)), front)


def compare(
    space: Path | str,
    *,
    samplers: Sequence[SamplerName],
    seeds: Sequence[int],
    trials: int,
    progress: Progress | None = None,
) -> Comparison:
    """Run studies with several samplers and seeds in memory.

    Args:
        space: A space file; its own sampler and seed are not used.
        samplers: Their names.
        seeds: Of the studies; all samplers get the same ones.
        trials: Of each study.
        progress: Told (step, studies done, studies).

    Raises:
        UserInputError: The space cannot be used, no front has a member, or a package is missing.
    """
    source = read_space(space)
    payload = Payload.of(source)
    fronts: dict[tuple[SamplerName, int], Points] = {}
    cases: list[tuple[SamplerName, int]] = [(s, seed) for s in samplers for seed in seeds]
    for count, (sampler, seed) in enumerate(cases):
        if progress is not None:
            progress(f"{sampler}, seed {seed}", count, len(cases))
        found = _in_memory(payload, sampler, seed, trials)
        members = [member.trial for member in front_of(found, source.space)]
        fronts[sampler, seed] = points_of(members, source.space)
    if not any(len(front) for front in fronts.values()):
        raise UserInputError("no trial of any study can be used", where=str(space))
    return Comparison(source.space, fronts)


def _in_memory(payload: Payload, sampler: SamplerName, seed: int, trials: int) -> list[Trial]:
    """All trials of a study that leaves nothing behind; compilations keep the space's seed."""
    problem = problem_of(payload)
    space = problem.space.model_copy(update={"sampler": sampler, "seed": seed})
    with workers_of(payload, 1, timeout_s=space.timeout_s) as workers:
        return explore(
            payload,
            sampler_of(space, problem.genome),
            workers,
            trials=trials,
            batch_size=space.batch_size,
            recorded={},
            record=lambda _: None,
        )
