import pytest

import imccompiler
from imccompiler.hardware.load import load
from imccompiler.hardware.unmodelled import unmodelled


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("cell.drift_exponent=0.05", "drift_exponent"),
        ("cell.stuck_at_max=0.01", "stuck_at_max"),
    ],
)
def test_fields_without_effect_are_told(override, key):
    (text,) = unmodelled(load("isaac", [override]))
    assert key in text


@pytest.mark.parametrize("preset", ["isaac", "pimcomp"])
def test_presets_promise_nothing_that_is_not_modelled(preset):
    assert unmodelled(load(preset)) == ()


def test_the_report_says_so():
    compiled = imccompiler.compile("digits-mlp", "isaac", set=["cell.stuck_at_max=0.01"], effort=0)
    assert any("stuck_at_max" in note for note in compiled.report.notes)
