from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from imccompiler import models
from imccompiler.compiler.folder import read_report
from imccompiler.errors import UserInputError
from imccompiler.search import compare, run
from imccompiler.search.ledger import LEDGER
from imccompiler.search.study import Study

TRIALS = 30


def front_of(study: Study) -> list[tuple]:
    return [(m.trial.candidate, m.trial.outcome.metrics, m.equals, m.full) for m in study.front]


def trial_lines(folder: Path) -> dict[int, dict]:
    lines = [json.loads(line) for line in (folder / LEDGER).read_text().splitlines()]
    return {line["trial"]: line for line in lines if "trial" in line}


@pytest.fixture
def whole(space, tmp_path) -> Study:
    """A study that nothing disturbed."""
    return run(space(), trials=TRIALS, output=tmp_path / "whole")


def test_a_study_leaves_a_front_that_can_be_used(whole):
    assert [trial.number for trial in whole.trials] == list(range(TRIALS))
    assert whole.front
    data = json.loads((whole.folder / "front.json").read_text())
    assert data == whole.as_json()
    rows = list(csv.DictReader((whole.folder / "front.csv").open()))
    assert [int(row["trial"]) for row in rows] == [m.trial.number for m in whole.front]
    for member in whole.front:
        report = read_report(whole.folder / member.folder)
        assert (whole.folder / member.folder / "model.onnx").is_file()
        assert (
            report.run.accuracy == member.trial.outcome.value("accuracy") == member.full["accuracy"]
        )
        assert report.area_mm2 == pytest.approx(member.trial.outcome.value("area_mm2"))
    assert whole.table().row_count == len(whole.front)


def test_a_study_goes_on_in_steps_as_in_one_run(space, tmp_path, whole):
    for trials in (4, 17, TRIALS):
        study = run(space(), trials=trials, output=tmp_path / "steps")
        assert len(study.trials) == trials
    assert front_of(study) == front_of(whole)
    before = (study.folder / LEDGER).read_bytes()
    again = run(space(), trials=10, output=study.folder)
    assert len(again.trials) == TRIALS
    assert (study.folder / LEDGER).read_bytes() == before


def test_the_front_does_not_depend_on_workers(space, tmp_path, whole):
    study = run(space(), trials=TRIALS, workers=2, output=tmp_path / "two")
    assert front_of(study) == front_of(whole)
    assert [(t.number, t.candidate) for t in study.trials] == [
        (t.number, t.candidate) for t in whole.trials
    ]


@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_study_loses_nothing_and_ends_the_same(space, tmp_path, whole, workers):
    folder = tmp_path / "killed"
    code = (
        "import sys; from imccompiler.search import run\n"
        "if __name__ == '__main__':\n"
        f"    run(sys.argv[1], trials={TRIALS}, workers={workers}, output=sys.argv[2])\n"
    )
    script = tmp_path / "script.py"
    script.write_text(code)
    driver = subprocess.Popen([sys.executable, script, space(), folder], start_new_session=True)
    ledger, deadline = folder / LEDGER, time.monotonic() + 60
    while not ledger.is_file() or ledger.read_bytes().count(b"\n") < 9:
        assert driver.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)
    os.kill(driver.pid, signal.SIGKILL)
    driver.wait()
    recorded = trial_lines(folder)
    assert 8 <= len(recorded) < TRIALS
    study = run(space(), trials=TRIALS, output=folder)
    held = trial_lines(folder)
    assert {number: held[number] for number in recorded} == recorded
    assert sorted(held) == list(range(TRIALS))
    assert front_of(study) == front_of(whole)


def test_another_space_is_refused(space, tmp_path):
    run(space(), trials=2, output=tmp_path / "study")
    with pytest.raises(UserInputError, match=r"space\.hardware differ"):
        run(space("high: 8}", "high: 9}"), trials=2, output=tmp_path / "study")
    with pytest.raises(UserInputError, match=r"space\.seed differ"):
        run(space(), trials=2, seed=1, output=tmp_path / "study")


def test_a_changed_network_is_another_space(space, tmp_path):
    file = tmp_path / "mine.onnx"
    models.export("digits-mlp", file)
    path = space("[digits-mlp]", "[mine.onnx]")
    run(path, trials=2, output=tmp_path / "study")
    models.export("digits-cnn", file)
    with pytest.raises(UserInputError, match=r"network mine\.onnx differ"):
        run(path, trials=2, output=tmp_path / "study")


def test_samplers_are_compared_on_one_scale(space):
    comparison = compare(space(), samplers=("random", "nsga2"), seeds=(0, 1), trials=12)
    volumes = comparison.hypervolumes()
    assert set(volumes) == {(name, seed) for name in ("random", "nsga2") for seed in (0, 1)}
    assert all(0 < volume < 1 for volume in volumes.values())
