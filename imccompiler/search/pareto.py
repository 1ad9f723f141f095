"""Fronts: what a constraint's violation is, which trials no other beats, hypervolume."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imccompiler.search.optional import require
from imccompiler.search.space import Bounds, Metric, Objective, Space
from imccompiler.search.trial import Measured, Outcome, Trial

Points = NDArray[np.float64]
Constraints = Mapping[Metric, Bounds]

UNUSABLE = 1e6
"""Violation of a candidate that no number says how far it is from being usable."""


@dataclass(frozen=True, slots=True)
class Member:
    """A trial that no other beats; `equals` are later trials with the same values."""

    trial: Trial
    equals: tuple[int, ...] = ()


def violation(metrics: Mapping[str, Measured], constraints: Constraints) -> float:
    """Sum over broken bounds of the distance to the bound, as a share of it; 0 if none is.

    Metrics that were not measured break nothing.
    """
    total = 0.0
    for name, bounds in constraints.items():
        if name not in metrics:
            continue
        value = metrics[name].value
        if bounds.max is not None:
            total += max(value - bounds.max, 0.0) / (abs(bounds.max) or 1.0)
        if bounds.min is not None:
            total += max(bounds.min - value, 0.0) / (abs(bounds.min) or 1.0)
    return total


def outcome_violation(outcome: Outcome, space: Space) -> float:
    """How far a candidate is from being usable; 0 if it is."""
    if outcome.state == "infeasible" and outcome.shortage is not None:
        return outcome.shortage.excess + 1e-9
    if outcome.state in ("complete", "stopped"):
        return violation(outcome.metrics, space.constraints)
    return UNUSABLE


def point_of(outcome: Outcome, objectives: Sequence[Objective]) -> tuple[float, ...] | None:
    """The objectives' values, all to be made small; None where one was not measured."""
    point: list[float] = []
    for objective in objectives:
        value = outcome.value(objective.metric)
        if value is None:
            return None
        point.append(-value if objective.goal == "max" else value)
    return tuple(point)


def usable(trials: Sequence[Trial], space: Space) -> list[Trial]:
    """Trials that were measured completely and break no constraint."""
    return [
        trial
        for trial in trials
        if trial.outcome.state == "complete"
        and outcome_violation(trial.outcome, space) == 0
        and point_of(trial.outcome, space.objectives) is not None
    ]


def front_of(trials: Sequence[Trial], space: Space) -> tuple[Member, ...]:
    """Usable trials that no other beats, in the order of their first objective."""
    found = usable(trials, space)
    points = points_of(found, space)
    kept: dict[tuple[float, ...], list[Trial]] = {}
    for index in np.flatnonzero(non_dominated(points)):
        kept.setdefault(tuple(points[index].tolist()), []).append(found[index])
    return tuple(
        Member(first, tuple(trial.number for trial in others))
        for _, (first, *others) in sorted(kept.items())
    )


def points_of(trials: Sequence[Trial], space: Space) -> Points:
    """Objectives of usable trials, all to be made small, shape (trials, objectives)."""
    points = [point_of(trial.outcome, space.objectives) for trial in trials]
    return np.array(points, np.float64).reshape(len(trials), len(space.objectives))


def non_dominated(points: Points) -> NDArray[np.bool_]:
    """Which points no other beats: is at most as large in all and smaller in one; shape (n,)."""
    at_most = (points[:, None] <= points[None]).all(axis=2)
    below = (points[:, None] < points[None]).any(axis=2)
    return np.logical_not((at_most & below).any(axis=0))


def hypervolume(points: Points, ideal: Points, nadir: Points, *, reference: float = 1.1) -> float:
    """Volume that some points dominate, as a share of the box up to the reference point.

    Args:
        points: All to be made small, shape (n, objectives).
        ideal: Becomes 0 in each objective, shape (objectives,).
        nadir: Becomes 1.
        reference: The reference point in each objective, after that.
    """
    if not len(points):
        return 0.0
    span = np.where(nadir > ideal, nadir - ideal, 1.0)
    scaled = (points - ideal) / span
    moocore = require("moocore")
    corner = np.full(points.shape[1], reference)
    return float(moocore.hypervolume(scaled, ref=corner)) / reference ** points.shape[1]
