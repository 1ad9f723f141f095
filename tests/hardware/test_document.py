from __future__ import annotations

import re
from pathlib import Path

import pytest

from imccompiler.errors import UserInputError
from imccompiler.hardware.document import with_tables
from imccompiler.hardware.load import load

DOCUMENT = Path(__file__).parents[2] / "docs" / "hardware.md"


def test_document_is_what_the_generator_writes() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    assert with_tables(text) == text, (
        "run: python -m imccompiler.hardware.document docs/hardware.md"
    )


def test_document_without_marker() -> None:
    with pytest.raises(UserInputError, match="missing"):
        with_tables("# Describing a machine")


def test_example_of_the_document_loads(tmp_path: Path) -> None:
    found = re.search(r"```yaml\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    file = tmp_path / "example.yaml"
    file.write_text(found[1], encoding="utf-8")
    machine = load(file)
    assert machine.main_kind.crossbar.rows_active == 256
    assert machine.main_kind.crossbar.adc.bits == 9


def test_overrides_of_the_document_are_valid() -> None:
    overrides = re.findall(r"--set (\S+)", DOCUMENT.read_text(encoding="utf-8"))
    named = [text for text in overrides if "=" in text]
    assert len(named) >= 2
    load("isaac", named)
