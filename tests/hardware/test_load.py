from __future__ import annotations

import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

from imccompiler.errors import HardwareError
from imccompiler.hardware.load import content_hash, load, vary


def write(path: Path, text: str) -> Path:
    path.write_text(textwrap.dedent(text).lstrip(), encoding="utf-8")
    return path


def message(file: Path | str, *overrides: str) -> str:
    with pytest.raises(HardwareError) as caught:
        load(file, overrides)
    return str(caught.value)


def test_extends_a_preset_key_by_key(tmp_path: Path) -> None:
    file = write(
        tmp_path / "tall.yaml",
        """
        extends: isaac
        name: tall
        core_kinds:
          tile:
            crossbar: {rows: 256}
            vector: {functions: [Sigmoid]}
        """,
    )
    machine = load(file)
    assert machine.name == "tall"
    assert machine.main_kind.crossbar.rows == 256
    assert machine.main_kind.crossbar.rows_active == 256
    assert machine.main_kind.crossbar.columns == 128
    assert machine.main_kind.vector.functions == ("Sigmoid",)


def test_extends_a_file_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "extends: pimcomp\nweight_bits: 4")
    file = write(tmp_path / "b.yaml", "extends: a.yaml\nactivation_bits: 6")
    machine = load(file)
    assert (machine.weight_bits, machine.activation_bits) == (4, 6)


def test_extends_in_a_circle(tmp_path: Path) -> None:
    write(tmp_path / "a.yaml", "extends: b.yaml")
    file = write(tmp_path / "b.yaml", "extends: a.yaml")
    text = message(file)
    assert "circle" in text
    assert "a.yaml" in text


def test_extends_itself(tmp_path: Path) -> None:
    assert "circle" in message(write(tmp_path / "a.yaml", "extends: a.yaml"))


def test_unknown_key_names_line_and_close_match(tmp_path: Path) -> None:
    file = write(
        tmp_path / "m.yaml",
        """
        extends: isaac
        core_kinds:
          tile:
            crossbar:
              row: 64
        """,
    )
    text = message(file)
    assert f"{file}:5" in text
    assert "core_kinds.tile.crossbar.row" in text
    assert "`rows`" in text


def test_wrong_type_names_line_and_value(tmp_path: Path) -> None:
    file = write(tmp_path / "m.yaml", "extends: isaac\nname: x\nweight_bits: many")
    text = message(file)
    assert f"{file}:3" in text
    assert "weight_bits" in text
    assert "'many'" in text


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    file = write(
        tmp_path / "m.yaml",
        """
        extends: isaac
        weight_bits: 99
        core_kinds:
          tile:
            crossbars: -1
            crossbar:
              adc: {bits: 40}
        """,
    )
    text = message(file)
    assert "3 errors" in text
    assert all(f"{file}:{line}:" in text for line in (2, 5, 7))


def test_a_fault_of_the_extended_file_is_found_there(tmp_path: Path) -> None:
    base = write(tmp_path / "base.yaml", "extends: isaac\nweight_bits: 99")
    assert f"{base}:2" in message(write(tmp_path / "m.yaml", "extends: base.yaml"))


def test_missing_key_names_the_section(tmp_path: Path) -> None:
    file = write(tmp_path / "m.yaml", "name: x\ntechnology: {}")
    text = message(file)
    assert "`technology.node_nm` is missing" in text
    assert "`chip` is missing" in text


@pytest.mark.parametrize("bits", ["0", "40"])
def test_adc_bits_out_of_range(bits: str) -> None:
    text = message("pimcomp", f"adc.bits={bits}")
    assert "core_kinds.core.crossbar.adc.bits" in text
    assert f"override `adc.bits={bits}`" in text


def test_zero_crossbars_of_zero_rows() -> None:
    assert "crossbar.rows" in message("pimcomp", "crossbar.rows=0")
    assert load("pimcomp", ["core.crossbars=0"]).main_kind.crossbars == 0


def test_rule_between_keys_blames_the_override() -> None:
    text = message("pimcomp", "crossbar.rows_active=200")
    assert "override `crossbar.rows_active=200`" in text
    assert "rows_active must not be above rows" in text


@pytest.mark.parametrize(
    ("override", "hint"),
    [
        ("crossbar.row=2", "`rows`"),
        ("noc.hop=2", "`hop_ns`"),
        ("core.crossbar_=2", "`crossbar`"),
        ("crosbar.rows=2", "`crossbar`"),
    ],
)
def test_unknown_override_suggests(override: str, hint: str) -> None:
    assert hint in message("isaac", override)


def test_a_damaged_file_leaves_no_trace(tmp_path: Path) -> None:
    file = write(tmp_path / "m.yaml", "a: " + "[" * 500)
    for _ in range(2):
        assert "nested too deeply" in message(file)
    assert load("pimcomp", ["cell.bits=1"]).main_kind.cell.bits == 1


def test_unknown_preset_suggests() -> None:
    assert "did you mean `isaac`" in message("issac")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name: [", "not YAML"),
        ("name: a\nname: b", "stands twice"),
        ("a: &x 1\nb: *x", "anchors"),
        ("- 1", "a machine is a mapping"),
        ("", "a machine is a mapping"),
        ("a: " + "[" * 500 + "]" * 500, "nested too deeply"),
        ("extends: isaac\nchip: {noc: {hop_ns: .inf}}", "finite number"),
        ("extends: isaac\nchip: {noc: {hop_ns: .nan}}", "finite number"),
        ("extends: [isaac]", "preset's name or a file"),
        ("extends: nowhere.yaml", "no such file"),
    ],
)
def test_damaged_files(tmp_path: Path, text: str, expected: str) -> None:
    assert expected in message(write(tmp_path / "m.yaml", text))


def test_binary_file(tmp_path: Path) -> None:
    file = tmp_path / "m.yaml"
    file.write_bytes(b"\xff\xfe\x00")
    assert "cannot be read" in message(file)


def test_overrides_reach_every_kind_of_core() -> None:
    base = load("isaac")
    other = base.core_kinds["tile"].model_dump(mode="json", exclude_unset=True)
    two = vary(
        base,
        {
            "core_kinds.tile.crossbars": 8,
            "chip.cores": [{"kind": "tile", "count": 4}],
            "chip.grid": [2, 2],
        },
    )
    mixed = two.model_dump(exclude_unset=True)
    mixed["core_kinds"]["other"] = other
    machine = vary(type(base).model_validate(mixed), {"crossbar.rows": 64, "adc.bits": 7})
    assert {k.crossbar.rows for k in machine.core_kinds.values()} == {64}
    assert {k.crossbar.adc.bits for k in machine.core_kinds.values()} == {7}


def test_overrides_are_yaml_and_later_ones_win() -> None:
    machine = load(
        "pimcomp",
        [
            "chip.noc.hop_ns=1e-1",
            "chip.grid=[4, 3]",
            "cell.bits=4",
            "cell.bits=1",
            "vector.functions=[Erf]",
        ],
    )
    assert machine.chip.noc.hop_ns == 0.1
    assert machine.core_count == 12
    assert machine.main_kind.cell.bits == 1
    assert machine.main_kind.vector.functions == ("Erf",)


def test_override_of_a_list_entry() -> None:
    assert load("pimcomp", ["chip.cores.0.count=5"]).core_count == 5
    assert "no entry 3" in message("pimcomp", "chip.cores.3.count=5")


def test_override_adds_an_optional_section() -> None:
    machine = load("pimcomp", ["matrix={macs_per_step: 64, step_ns: 1, mac_pj: 0.5}"])
    assert machine.main_kind.matrix is not None
    assert "matrix" in message("pimcomp", "matrix.macs_per_step=64")  # the others are missing


def test_too_many_cores_for_the_grid() -> None:
    assert "do not fit a grid of 144 places" in message("pimcomp", "chip.cores.0.count=145")


def test_vary_validates_and_leaves_its_machine_alone() -> None:
    machine = load("pimcomp")
    narrow = vary(machine, {"crossbar.rows": 32, "local_memory.kib": 64})
    assert (narrow.main_kind.crossbar.rows, narrow.main_kind.crossbar.rows_active) == (32, 32)
    assert (machine.main_kind.crossbar.rows, machine.main_kind.local_memory.kib) == (128, 1024)
    assert narrow.sources == machine.sources
    with pytest.raises(HardwareError, match=r"cell\.bits=9"):
        vary(machine, {"cell.bits": 9})
    with pytest.raises(HardwareError, match="no key"):
        vary(machine, {"cell.bit": 1})


def test_vary_equals_load_with_overrides() -> None:
    loaded = load("isaac", ["cell.bits=1", "noc.hop_ns=2"])
    assert vary(load("isaac"), {"cell.bits": 1, "noc.hop_ns": 2}) == loaded


def test_vary_is_fast() -> None:
    machine = load("isaac")
    begin = time.process_time()
    for rows in range(1, 101):
        vary(machine, {"crossbar.rows": rows, "cell.bits": 1})
    assert (time.process_time() - begin) / 100 < 0.001


def test_hash_follows_what_matters() -> None:
    machine = load("pimcomp")
    same = [{"name": "x"}, {"description": "y"}, {"noc.hop_ns": 2.6}, {"core.rob_size": 1}]
    assert {content_hash(vary(machine, change)) for change in same} == {content_hash(machine)}
    assert content_hash(vary(machine, {"noc.hop_ns": 2.7})) != content_hash(machine)


def test_hash_is_the_same_in_another_process() -> None:
    code = "from imccompiler.hardware.load import *; print(content_hash(load('isaac')))"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == content_hash(load("isaac"))
