"""Every preset can be extended and overridden, and refuses what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from imccompiler.cli import main
from imccompiler.errors import HardwareError
from imccompiler.hardware.load import load, presets
from imccompiler.hardware.unmodelled import unmodelled

every_preset = pytest.mark.parametrize("name", presets())


def extended(folder: Path, name: str, more: str = "") -> Path:
    """A file that extends a preset."""
    file = folder / "mine.yaml"
    file.write_text(f"extends: {name}\nname: mine\n{more}", encoding="utf-8")
    return file


def crossbar(name: str, keys: str) -> str:
    """YAML of keys of the first core kind's crossbar; keys begin in line 6 of `extended`."""
    kind = next(iter(load(name).core_kinds))
    return f"core_kinds:\n  {kind}:\n    crossbar:\n      {keys}\n"


@every_preset
def test_every_preset_can_be_extended(tmp_path: Path, name: str) -> None:
    machine = load(extended(tmp_path, name, crossbar(name, "read_ns: 12.5")))
    base = load(name)
    assert machine.name == "mine"
    assert machine.main_kind.crossbar.read_ns == 12.5
    assert machine.main_kind.crossbar.adc == base.main_kind.crossbar.adc
    assert machine.core_count == base.core_count


@every_preset
def test_every_preset_can_be_overridden(name: str) -> None:
    machine = load(name, ["local_memory.kib=4096", "noc.hop_ns=7", "adc.area_um2=3"])
    assert machine.main_kind.local_memory.kib == 4096
    assert machine.chip.noc.hop_ns == 7
    assert machine.main_kind.crossbar.adc.area_um2 == 3


@every_preset
def test_every_preset_has_an_effect_in_all_that_it_says(name: str) -> None:
    assert unmodelled(load(name)) == ()


@every_preset
@pytest.mark.parametrize(
    ("keys", "expected"),
    [
        ("colums: 4", "unknown key"),
        ("rows: tall", "'tall'"),
        ("rows: 0", "not 0"),
        ("adc: {bits: 0}", "adc.bits"),
        ("adc: {bits: 40}", "adc.bits"),
        ("adc: {range_share: 0}", "range_share"),
        ("pulse_ns: -1", "pulse_ns"),
        ("signed_weights: differental", "signed_weights"),
    ],
)
def test_wrong_keys_name_file_and_line(tmp_path: Path, name: str, keys: str, expected: str) -> None:
    file = extended(tmp_path, name, crossbar(name, keys))
    with pytest.raises(HardwareError) as caught:
        load(file)
    assert f"{file}:6" in str(caught.value)
    assert expected in str(caught.value)


@pytest.mark.parametrize(
    ("name", "override", "expected"),
    [
        ("dimc", "adc.bits=8", "must hold sums of 9 bits"),
        ("dimc", "crossbar.style=analog", "style must be digital"),
        ("isaac", "adc.kind=adder_tree", "style must be digital"),
        ("isaac", "adc.range_share=0.5", "range_share needs an lsb"),
        ("isaac", "crossbar.signed_weights=differential_cell", "leaves no use for flip_encoding"),
    ],
)
def test_rules_between_keys_name_the_override(name: str, override: str, expected: str) -> None:
    with pytest.raises(HardwareError) as caught:
        load(name, [override])
    assert expected in str(caught.value)
    assert f"override `{override}`" in str(caught.value)


@every_preset
@pytest.mark.parametrize("keys", ["adc: {bits: 40}", "rows: 0", "colums: 4"])
def test_the_command_line_ends_with_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, keys: str
) -> None:
    file = extended(tmp_path, name, crossbar(name, keys))
    with pytest.raises(SystemExit) as caught:
        main(["hardware", "check", str(file)])
    said = capsys.readouterr()
    assert caught.value.code == 2
    assert "mine.yaml:6" in (said.err + said.out).replace("\n", "")
    assert "Traceback" not in said.err
