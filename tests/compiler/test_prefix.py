"""First passes run once for a network, and again where anything they depend on is another."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import imccompiler
from imccompiler.compiler import Compilation
from imccompiler.frontend import Network, load_onnx
from imccompiler.frontend.load import STAGES
from imccompiler.hardware.load import vary
from imccompiler.hardware.schema import Machine
from imccompiler.ir.dialect import MatmulOp
from imccompiler.ir.text import print_module
from imccompiler.models import build, digits
from imccompiler.passes import calibration

DATA = {"image": digits.calibration()}
FIRST = "fold,canonicalize,quantize"


@pytest.fixture
def fresh() -> Network:
    return load_onnx(build("digits-cnn"))


def ran(compilation: Compilation) -> list[str]:
    """The passes that took time."""
    return [each.name for each in compilation.report.passes if each.seconds > 0]


def content(compilation: Compilation) -> tuple[str, str, Any]:
    """Everything that a compilation decided."""
    report = compilation.report.model_dump(exclude={"passes"})
    return print_module(compilation.module), compilation.store.content_hash(), report


@pytest.mark.parametrize("data", [None, DATA])
def test_another_machine_begins_where_the_first_passes_ended(
    fresh: Network, machine: Machine, monkeypatch: pytest.MonkeyPatch, data: Any
) -> None:
    other = vary(machine, {"crossbar.rows": 64, "adc.bits": 5})
    expected = content(imccompiler.compile(fresh, other, effort=0, calibration=data))
    again = load_onnx(build("digits-cnn"))
    imccompiler.compile(again, machine, effort=0, calibration=data)
    monkeypatch.setattr(calibration, "run_float", None)
    copied = data and {name: array.copy() for name, array in data.items()}
    found = imccompiler.compile(again, other, effort=0, calibration=copied)
    assert content(found) == expected
    assert not {*FIRST.split(",")} & {*ran(found)}
    assert content(imccompiler.compile(again, other, effort=0, calibration=data)) == expected


@pytest.mark.parametrize(
    ("options", "first"),
    [
        ({"set": ["activation_bits=6"]}, "quantize"),
        ({"set": ["weight_bits=4"]}, "quantize"),
        ({"calibration": {"image": DATA["image"][:4]}}, "quantize"),
        ({"passes": "fold,canonicalize,quantize{samples=3}"}, "quantize"),
        ({"passes": "fold{limit_mib=1},canonicalize,quantize"}, "fold"),
        ({"passes": "canonicalize,quantize"}, "canonicalize"),
    ],
)
def test_passes_run_from_where_something_is_another(
    fresh: Network, machine: Machine, options: dict[str, Any], first: str
) -> None:
    given = {"passes": FIRST, "effort": 0, "calibration": DATA}
    imccompiler.compile(fresh, machine, **given)
    found = imccompiler.compile(fresh, machine, **{**given, **options})
    assert ran(found)[0] == first
    expected = imccompiler.compile(load_onnx(build("digits-cnn")), machine, **{**given, **options})
    assert content(found) == content(expected)


def test_pinned_decisions_changed_modules_and_other_weights_are_noticed(
    fresh: Network, machine: Machine, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"passes": FIRST, "effort": 0, "calibration": DATA}
    plain = content(imccompiler.compile(fresh, machine, **given))
    op = next(op for op in fresh.module.body.block.ops if isinstance(op, MatmulOp))
    assert op.source is not None
    pins = tmp_path / "pins.yaml"
    pins.write_text(f"layers: {{{op.source.node}: {{quant: {{scale: 0.5, zero_point: 1}}}}}}")
    pinned = imccompiler.compile(fresh, machine, pin=pins, **given)
    assert ran(pinned)[0] == "fold"
    assert content(imccompiler.compile(fresh, machine, pin=pins, **given)) == content(pinned)
    assert content(imccompiler.compile(fresh, machine, **given)) == plain
    name = op.weight.owner.properties["key"].data
    fresh.store._entries[name] = np.zeros_like(fresh.store[name])
    assert ran(imccompiler.compile(fresh, machine, **given))[0] == "fold"
    del op.properties["source"]
    assert ran(imccompiler.compile(fresh, machine, **given))[0] == "fold"


def test_few_stages_are_kept_and_none_where_passes_are_watched(
    fresh: Network, machine: Machine, tmp_path: Path
) -> None:
    given: dict[str, Any] = {"passes": FIRST, "calibration": DATA}
    watched = imccompiler.compile(fresh, machine, output=tmp_path / "out", **given)
    assert len(fresh.stages) == 0
    assert ran(watched) == FIRST.split(",")
    for bits in range(4, 9):
        imccompiler.compile(fresh, machine, set=[f"activation_bits={bits}"], **given)
    assert len(fresh.stages) == 2 + 5
    for bits in range(4, 9):
        imccompiler.compile(
            fresh, machine, set=["weight_bits=4", f"activation_bits={bits}"], **given
        )
    assert len(fresh.stages) == STAGES
