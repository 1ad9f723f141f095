from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imccompiler.errors import UserInputError
from imccompiler.search.ledger import LEDGER, Ledger
from imccompiler.search.trial import Measured, Outcome, Shortage, Trial, from_json, to_json

IDENTITY = {"space": {"seed": 0, "batch_size": 6}, "contents": {"machine": "abc"}}
VERSIONS = {"imccompiler": "1"}


def open_ledger(folder, identity=IDENTITY, versions=VERSIONS) -> Ledger:
    return Ledger(folder, json.dumps(identity), identity, versions)


def trial(number: int) -> Trial:
    outcome = Outcome("complete", {"accuracy": Measured(0.1 * number, "execute")}, seconds=0.5)
    return Trial(number, (number, 1), outcome)


@given(
    st.lists(st.integers(0, 99)),
    st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
    st.none() | st.text(),
    st.none() | st.builds(Shortage, st.integers(), st.floats(0, 9), st.text(), st.just(("a",))),
)
def test_a_trial_goes_through_json(candidate, values, reason, shortage):
    metrics = {name: Measured(value, "plan") for name, value in values.items()}
    held = Trial(7, tuple(candidate), Outcome("infeasible", metrics, reason, shortage, 0.25))
    assert from_json(json.loads(json.dumps(to_json(held)))) == held


def test_trials_come_back_in_any_order(tmp_path):
    with open_ledger(tmp_path) as ledger:
        for number in (2, 0, 1):
            ledger.append(trial(number))
    with open_ledger(tmp_path) as ledger:
        assert ledger.trials == {n: trial(n) for n in (0, 1, 2)}


def test_a_torn_line_is_cut_and_no_other(tmp_path):
    with open_ledger(tmp_path) as ledger:
        ledger.append(trial(0))
        ledger.append(trial(1))
    path = tmp_path / LEDGER
    whole = path.read_bytes()
    last = len(whole.splitlines()[-1]) + 1
    for cut in range(1, last):
        path.write_bytes(whole[:-cut])
        with open_ledger(tmp_path) as ledger:
            assert list(ledger.trials) == [0]
            ledger.append(trial(1))
        assert path.read_bytes() == whole


def test_a_torn_header_is_written_anew(tmp_path):
    (tmp_path / LEDGER).write_bytes(b'{"format":1,"spa')
    with open_ledger(tmp_path) as ledger:
        ledger.append(trial(0))
    with open_ledger(tmp_path) as ledger:
        assert list(ledger.trials) == [0]


def test_damage_in_the_middle_is_told_with_its_line(tmp_path):
    with open_ledger(tmp_path) as ledger:
        ledger.append(trial(0))
        ledger.append(trial(1))
    path = tmp_path / LEDGER
    lines = path.read_text().splitlines(keepends=True)
    path.write_text(lines[0] + lines[1][:20] + "\n" + lines[2])
    with pytest.raises(UserInputError, match="is damaged") as caught:
        open_ledger(tmp_path)
    assert str(caught.value.where).endswith(":2")
    path.write_text(lines[0] + "{}\n")
    with pytest.raises(UserInputError, match="not a trial"):
        open_ledger(tmp_path)


def test_another_space_is_refused_and_what_differs_is_told(tmp_path):
    open_ledger(tmp_path).__exit__()
    other = {"space": {"seed": 1, "batch_size": 6}, "contents": {"machine": "abd"}}
    with pytest.raises(UserInputError, match=r"space\.seed, machine differ") as caught:
        open_ledger(tmp_path, other)
    assert "batch_size" not in str(caught.value)


def test_a_second_driver_is_refused(tmp_path):
    with open_ledger(tmp_path), pytest.raises(UserInputError, match="another search is at work"):
        open_ledger(tmp_path)
    open_ledger(tmp_path).__exit__()


def test_other_versions_are_noted_once(tmp_path):
    open_ledger(tmp_path).__exit__()
    for _ in range(2):
        open_ledger(tmp_path, versions={"imccompiler": "2"}).__exit__()
    lines = (tmp_path / LEDGER).read_text().splitlines()
    assert [json.loads(line)["versions"]["imccompiler"] for line in lines] == ["1", "2"]


def test_what_is_no_ledger_is_refused(tmp_path):
    (tmp_path / LEDGER).write_text('{"name": "something else"}\n')
    with pytest.raises(UserInputError, match="no header"):
        open_ledger(tmp_path)
