from __future__ import annotations

import pytest

from imccompiler.search import read_space
from imccompiler.search.evaluate import evaluate
from imccompiler.search.problem import Payload, problem_of


@pytest.fixture
def judge(space):
    """Evaluate a design of the small space, given as changes to a good one."""

    def judge(*changes: str, **values):
        payload = Payload.of(read_space(space(*changes)))
        good = {"chip.grid": [2, 2], "core.crossbars": 8, "adc.bits": 8, "cell.bits": 2}
        good |= {"array": "large", "quantize.method": "minmax"}
        given = good | {key.replace("__", "."): value for key, value in values.items()}
        return evaluate(payload, problem_of(payload).genome.encode(given))

    return judge


def test_a_good_design_is_measured_completely(judge):
    outcome = judge()
    assert outcome.state == "complete", outcome.reason
    assert outcome.value("accuracy") >= 0.9
    assert outcome.metrics["area_mm2"].rung == "machine"
    assert outcome.metrics["latency_ns"].rung == "plan"
    assert outcome.metrics["accuracy"].rung == "execute"


def test_the_machine_decides_the_figures(judge):
    coarse, small = judge(adc__bits=3), judge(chip__grid=[1, 1])
    assert coarse.value("accuracy") < judge().value("accuracy")
    assert small.value("area_mm2") < judge().value("area_mm2")


def test_what_does_not_fit_is_a_result(judge):
    outcome = judge(chip__grid=[1, 1], core__crossbars=1)
    assert outcome.state == "infeasible"
    assert outcome.shortage.demand > outcome.shortage.capacity == 1
    assert outcome.shortage.unit == "crossbars"
    assert outcome.shortage.levers


def test_an_invalid_machine_is_a_result(judge):
    changes = ("cell.bits: [1, 2, 4]", "cell.bits: [1, 2]\n    adc.per_crossbar: [1, 200]")
    outcome = judge(*changes, adc__per_crossbar=200)
    assert outcome.state == "invalid"
    assert "per_crossbar" in outcome.reason


def test_a_broken_constraint_stops_before_the_next_rung(judge):
    objectives = "objectives:\n"
    outcome = judge(objectives, "constraints: {area_mm2: {max: 0.1}}\nobjectives:\n")
    assert outcome.state == "stopped"
    assert set(outcome.metrics) == {"area_mm2"}
    outcome = judge(objectives, "constraints: {latency_ns: {max: 1.0}}\nobjectives:\n")
    assert outcome.state == "stopped"
    assert "latency_ns" in outcome.metrics
    assert "accuracy" not in outcome.metrics


def test_without_estimate_the_simulator_measures(judge):
    names = "fold,canonicalize,quantize,partition,segment,replicate,place,schedule,allocate,emit"
    pipeline = ("mapping:\n", f'mapping:\n  pipeline: "{names}"\n')
    energy = ("  - metric: area_mm2\n", "  - metric: area_mm2\n  - metric: energy_pj\n")
    outcome, planned = judge(*pipeline, *energy), judge(*energy)
    assert outcome.state == "complete", outcome.reason
    assert outcome.metrics["energy_pj"].rung == "simulate"
    assert planned.metrics["energy_pj"].rung == "plan"
    for name in ("latency_ns", "energy_pj"):
        assert outcome.value(name) == pytest.approx(planned.value(name), rel=0.05)
