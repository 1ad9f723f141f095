"""The loop of a study: ask for a batch, evaluate it, tell the results in trial order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from imccompiler.search.evaluate import evaluate
from imccompiler.search.executor import Workers, run_all
from imccompiler.search.genes import Candidate
from imccompiler.search.problem import Payload
from imccompiler.search.samplers import Sampler
from imccompiler.search.trial import Outcome, Trial


def explore(
    payload: Payload,
    sampler: Sampler,
    workers: Workers,
    *,
    trials: int,
    batch_size: int,
    recorded: Mapping[int, Trial],
    record: Callable[[Trial], None],
    progress: Callable[[str, int, int], Any] | None = None,
) -> list[Trial]:
    """All trials of a study, those that are recorded and those that are missing.

    The sampler goes through the same batches in both cases, so a study that was broken off ends
    as one that was not. A recorded trial counts even where the sampler now asks for another.

    Args:
        payload: The space.
        sampler: Fresh.
        workers: Where to evaluate.
        trials: How many in all; the last batch may be cut short.
        batch_size: Of the space.
        recorded: Trials by number.
        record: Takes each new trial as soon as it is known, in the order in which they end.
        progress: Told (step, trials done, trials).
    """
    known: dict[Candidate, Outcome] = {}
    done: list[Trial] = []
    for batch, begin in enumerate(range(0, trials, batch_size)):
        asked = sampler.ask(batch)[: trials - begin]
        candidates = [
            recorded[n].candidate if n in recorded else candidate
            for n, candidate in enumerate(asked, start=begin)
        ]
        found = {n: recorded[n] for n in range(begin, begin + len(asked)) if n in recorded}
        known.update((t.candidate, t.outcome) for t in found.values() if _lasting(t.outcome))
        missing = [(n, c) for n, c in enumerate(candidates, start=begin) if n not in found]
        for trial in _evaluated(payload, workers, missing, known):
            record(trial)
            found[trial.number] = trial
            if progress is not None:
                progress("search", len(done) + len(found), trials)
        done += [found[n] for n in sorted(found)]
        if len(asked) == batch_size:
            sampler.tell(candidates, [found[n].outcome for n in sorted(found)])
    return done


def _evaluated(
    payload: Payload,
    workers: Workers,
    missing: Sequence[tuple[int, Candidate]],
    known: dict[Candidate, Outcome],
) -> Iterator[Trial]:
    """Trials of a batch as they end; what is known of a candidate is not evaluated again."""
    first: dict[Candidate, int] = {}
    for number, candidate in missing:
        if candidate not in known:
            first.setdefault(candidate, number)
    tasks = [(payload, candidate) for candidate in first]
    for place, result in run_all(workers, evaluate, tasks):
        candidate = tasks[place][1]
        outcome = _failure(result) if isinstance(result, Exception) else result
        known[candidate] = outcome
        yield Trial(first[candidate], candidate, outcome)
    for number, candidate in missing:
        if first.get(candidate) != number:
            yield Trial(number, candidate, known[candidate])
    for candidate in first:
        if not _lasting(known[candidate]):
            del known[candidate]


def _lasting(outcome: Outcome) -> bool:
    """Whether another evaluation would find the same."""
    return outcome.state != "failed"


def _failure(error: Exception) -> Outcome:
    name = type(error).__name__
    reason = "took longer than the time limit" if name == "TimeoutError" else f"{name}: {error}"
    return Outcome("failed", reason=reason)
