"""Machines in YAML of every shape: valid, or a `HardwareError` that names file or key."""

from __future__ import annotations

import contextlib
from functools import reduce
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ruamel.yaml import YAML

from imccompiler.errors import HardwareError, ImcError
from imccompiler.hardware.load import load

KEYS = (
    "name", "extends", "activation_bits", "crossbar.rows", "crossbar.columns", "crossbar.adc.bits",
    "crossbar.adc.columns_per_adc", "crossbar.cell.bits", "crossbar.input_bits_per_cycle",
    "crossbar.rows_active", "core.crossbars", "core.memory_kib", "chip.grid", "chip.noc",
    "chip.clock_mhz", "technology.node_nm", "package.chips", "crossbar", "core", "chip", "nonsense",
)  # fmt: skip
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.sampled_from([0, 1, -1, 40, 2**31, 1e-9, 1e300]),
    st.floats(),
    st.text(max_size=8),
    st.sampled_from(["isaac", "../isaac", "1e-9", "12:30", "no", "NaN", "a" * 10_000]),
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=6), inner, max_size=3)
    ),
    max_leaves=6,
)
FIXED = settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


def nested(path: str, value: Any) -> Any:
    """`{a: {b: value}}` of "a.b"."""
    return reduce(lambda inner, key: {key: inner}, reversed(path.split(".")), value)


def only_ours(source: Path | str, overrides: tuple[str, ...] = ()) -> None:
    with contextlib.suppress(ImcError):
        load(source, overrides)


@FIXED
@given(st.sampled_from(KEYS), VALUES)
def test_one_key_of_any_value(tmp_path: Path, key: str, value: Any) -> None:
    path = tmp_path / "machine.yaml"
    with path.open("w", encoding="utf-8", errors="replace") as file:
        YAML(typ="safe").dump({"extends": "isaac", **nested(key, value)}, file)
    only_ours(path)


@FIXED
@given(st.binary(max_size=300))
def test_files_of_any_bytes(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "machine.yaml"
    path.write_bytes(content)
    with pytest.raises(HardwareError, match="machine"):
        load(path)


@FIXED
@given(st.text(alphabet="extnds: isac\n-{}[]&*!|>'\"#?%@`0\t", max_size=60))
def test_files_that_are_almost_yaml(tmp_path: Path, content: str) -> None:
    path = tmp_path / "machine.yaml"
    path.write_text(content, encoding="utf-8")
    only_ours(path)


@FIXED
@given(st.sampled_from(KEYS), st.text(max_size=12))
def test_overrides_of_any_text(key: str, text: str) -> None:
    only_ours("isaac", (f"{key}={text}",))
    only_ours("isaac", (text,))


@pytest.mark.parametrize(
    "bomb",
    [
        "a0: &a0 [x, x]\n" + "".join(
            f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]\n" for i in range(1, 10)
        ),
        "extends: machine.yaml\n",
        "crossbar: " + "[" * 3000,
        "extends: isaac\n" + "crossbar: {rows: " + "9" * 100_000 + "}\n",
        "&a [*a]",
    ],
)  # fmt: skip
def test_bombs(tmp_path: Path, bomb: str) -> None:
    path = tmp_path / "machine.yaml"
    path.write_text(bomb)
    with pytest.raises(HardwareError):
        load(path)
