from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from imccompiler.search.pareto import (
    front_of,
    hypervolume,
    non_dominated,
    outcome_violation,
    violation,
)
from imccompiler.search.space import Bounds, Space
from imccompiler.search.trial import Measured, Outcome, Shortage, Trial

POINTS = arrays(
    np.float64, st.tuples(st.integers(0, 12), st.integers(1, 4)), elements=st.integers(0, 4)
)
SPACE = Space.model_validate(
    {
        "networks": ["digits-mlp"],
        "data": "digits",
        "hardware": {"base": "isaac"},
        "objectives": [{"metric": "accuracy"}, {"metric": "area_mm2"}],
        "constraints": {"accuracy": {"min": 0.5}, "latency_ns": {"max": 10.0}},
    }
)


def outcome(accuracy: float, area: float, latency: float = 1.0) -> Outcome:
    values = {"accuracy": accuracy, "area_mm2": area, "latency_ns": latency}
    return Outcome("complete", {name: Measured(v, "plan") for name, v in values.items()})


@given(POINTS)
def test_non_dominated_equals_brute_force(points):
    def beats(a: list[float], b: list[float]) -> bool:
        return all(x <= y for x, y in zip(a, b, strict=True)) and a != b

    rows = points.tolist()
    expected = [not any(beats(other, row) for other in rows) for row in rows]
    assert non_dominated(points).tolist() == expected


@given(POINTS.filter(lambda p: p.shape[1] <= 3))
def test_hypervolume_equals_counting_cells(points):
    """Integer points in a box up to 5: count unit cells that some point dominates."""
    dimensions = points.shape[1]
    cells = np.stack(np.meshgrid(*[np.arange(5)] * dimensions), axis=-1).reshape(-1, dimensions)
    covered = (points[:, None] <= cells[None]).all(axis=2).any(axis=0).sum() if len(points) else 0
    ideal, nadir = np.zeros(dimensions), np.full(dimensions, 4.0)
    found = hypervolume(points, ideal, nadir, reference=1.25)
    assert found == pytest.approx(covered / 5**dimensions)


def test_violation_adds_up_shares():
    metrics = {"accuracy": Measured(0.4, "execute"), "latency_ns": Measured(15.0, "plan")}
    constraints = {"accuracy": Bounds(min=0.5), "latency_ns": Bounds(max=10.0)}
    assert violation(metrics, constraints) == pytest.approx(0.2 + 0.5)
    assert violation({"latency_ns": metrics["latency_ns"]}, constraints) == pytest.approx(0.5)
    assert violation(metrics, {"latency_ns": Bounds(min=1.0, max=15.0)}) == 0


def test_what_does_not_fit_violates_by_its_excess():
    short = Outcome("infeasible", shortage=Shortage(30, 20, "crossbars", ()))
    assert outcome_violation(short, SPACE) == pytest.approx(0.5)
    assert outcome_violation(Outcome("invalid"), SPACE) > 1e3
    assert outcome_violation(outcome(0.9, 1.0), SPACE) == 0


def test_the_front_has_usable_trials_once_each():
    found = [
        outcome(0.9, 2.0),
        outcome(0.8, 3.0),  # beaten
        outcome(0.9, 2.0),  # as the first
        outcome(0.6, 1.0),
        outcome(0.4, 0.5),  # breaks a constraint
        outcome(0.99, 0.1, latency=20.0),  # another
        Outcome("failed", {"accuracy": Measured(1.0, "execute"), "area_mm2": Measured(0, "plan")}),
    ]
    front = front_of([Trial(i, (i,), o) for i, o in enumerate(found)], SPACE)
    assert [(member.trial.number, member.equals) for member in front] == [(0, (2,)), (3, ())]


def test_no_trials_have_no_front():
    assert front_of([], SPACE) == ()
    assert hypervolume(np.zeros((0, 2)), np.zeros(2), np.ones(2)) == 0.0
