"""docs/ir.md says what the code does."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from imccompiler.frontend.canonical import ATTRIBUTE_INPUTS
from imccompiler.ir import decisions as d
from imccompiler.ir.dialect import IMC
from imccompiler.ir.text import parse_module, print_module

PAGE = (Path(__file__).parents[2] / "docs" / "ir.md").read_text(encoding="utf-8")
ROWS = {
    cells[0]: cells
    for line in PAGE.splitlines()
    if line.startswith("| `") and (cells := [cell.strip() for cell in line[1:-1].split(" | ")])
}


def test_example_is_as_printed() -> None:
    (example,) = re.findall(r"^```mlir\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    assert print_module(parse_module(example)) == example


@pytest.mark.parametrize("decision", d.ALL, ids=lambda decision: decision.name)
def test_every_field_of_every_decision_is_there(decision: type) -> None:
    name = {"integer_matmul": "integer"}.get(
        decision.name.removeprefix("imc."), decision.name.removeprefix("imc.")
    )
    *_, fields = ROWS[f"`{name}`"]
    for field in dataclasses.fields(decision):
        if field.default is dataclasses.MISSING:
            assert f"`{field.name}`" in fields
        else:
            value = list(field.default) if isinstance(field.default, tuple) else field.default
            assert f"`{field.name} = {value}`" in fields


def test_every_op_is_there_and_where_decisions_stand() -> None:
    for op in IMC.operations:
        assert f"`{op.name}" in PAGE
        short = op.name.removeprefix("imc.")
        for name in op.get_irdl_definition().properties:
            if f"`{name}`" in ROWS and name != "source":
                assert short in ROWS[f"`{name}`"][1].split(", "), (name, short)


def test_every_operator_whose_inputs_become_attributes_is_there() -> None:
    operators = {name for name in ATTRIBUTE_INPUTS if not name.startswith("Reduce")}
    assert [name for name in operators if f"`{name}`" not in PAGE] == []
