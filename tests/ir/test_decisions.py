"""Decisions print, parse back to the same, and refuse what makes no sense."""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from xdsl.parser import Parser

from imccompiler.errors import IRError
from imccompiler.ir import decisions as d
from imccompiler.ir.decision import Decision
from imccompiler.ir.text import new_context, parse_module, print_module

POSITIVE = {
    ("Window", "kernel"),
    ("Window", "strides"),
    ("Window", "dilations"),
    ("Window", "groups"),
    *((kind, "bits") for kind in ("Quant", "WeightCodes")),
    *(("Tiling", name) for name in ("rows", "columns", "slices", "pack")),
    *(("Replication", name) for name in ("copies", "row_split", "column_split", "grid")),
    ("Grain", "pieces"),
    ("Segment", "cores"),
}


def values_of(hint: Any, *, positive: bool) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple:
        return st.lists(values_of(arguments[0], positive=positive), max_size=4).map(tuple)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is types.UnionType:
        return st.one_of(*(values_of(a, positive=positive) for a in arguments))
    return {
        int: st.integers(1 if positive else -(2**40), 2**40),
        float: st.floats(min_value=1e-300, allow_infinity=False),
        bool: st.booleans(),
        str: st.text(st.characters(codec="utf-8"), max_size=8),
        type(None): st.none(),
    }[hint]


@st.composite
def decisions(draw: st.DrawFn) -> Decision:
    kind = draw(st.sampled_from(d.ALL))
    hints = typing.get_type_hints(kind)
    return kind(
        **{
            f.name: draw(values_of(hints[f.name], positive=(kind.__name__, f.name) in POSITIVE))
            for f in dataclasses.fields(kind)
        }
    )


@given(decisions())
def test_text_parses_back_to_the_same(decision: Decision) -> None:
    parser = Parser(new_context(), str(decision))
    again = parser.parse_attribute()
    assert again == decision
    assert dataclasses.asdict(again) == dataclasses.asdict(decision)


@given(decisions(), st.booleans())
def test_text_in_a_module_parses_back(decision: Decision, generic: bool) -> None:
    module = parse_module(
        'builtin.module { %0 = imc.input "x" : tensor<1xf32>\n imc.output "y" %0 : tensor<1xf32> }'
    )
    module.attributes["imc.any"] = decision
    text = print_module(module, generic=generic)
    again = parse_module(text)
    assert again.attributes["imc.any"] == decision
    assert print_module(again, generic=generic) == text


def test_defaults_are_not_printed() -> None:
    assert str(d.Tiling(rows=2, columns=3, slices=4)) == (
        "#imc.tiling<rows = 2, columns = 3, slices = 4>"
    )
    assert "pack = 2" in str(d.Tiling(rows=2, columns=3, slices=4, pack=2))


def test_from_mapping_takes_what_a_pin_file_holds() -> None:
    tiling = d.Tiling.from_mapping({"rows": 2, "columns": 3, "slices": 4})
    assert tiling == d.Tiling(rows=2, columns=3, slices=4)
    placement = d.Placement.from_mapping({"cores": [1, 2]})
    assert placement.cores == (1, 2)
    assert d.Quant.from_mapping({"scale": 1, "zero_point": 0}).scale == 1.0


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (d.Tiling, {"rows": 2}, r"#imc\.tiling: field 'columns' is missing"),
        (d.Tiling, {"rows": 2, "width": 3}, r"unknown field 'width'(.|\n)*rows, columns, slices"),
        (d.Tiling, {"rows": "2", "columns": 1, "slices": 1}, r"rows: '2' is not of type int"),
        (d.Tiling, {"rows": True, "columns": 1, "slices": 1}, "True is not of type int"),
        (d.Tiling, {"rows": 2.0, "columns": 1, "slices": 1}, r"2\.0 is not of type int"),
        (d.Tiling, {"rows": 0, "columns": 1, "slices": 1}, "rows must be at least 1"),
        (d.Replication, {"copies": 0}, "copies must be at least 1"),
        (d.Replication, {"copies": 1, "grid": [1, 0]}, r"grid must be at least 1, not \(1, 0\)"),
        (d.Placement, {"cores": [0, "a"]}, r"cores\[1\]: 'a' is not of type int"),
        (d.Placement, {"cores": 3}, "3 is not of type"),
        (d.Grain, {"pieces": 0}, "pieces must be at least 1"),
        (d.Order, {"rule": "fast", "patience_ns": 1.0}, "'fast' is not of type"),
        (d.Quant, {"scale": 0.0, "zero_point": 0}, "scale must be above 0"),
        (d.Quant, {"scale": math.nan, "zero_point": 0}, "scale must be above 0"),
        (d.Quant, {"scale": math.inf, "zero_point": 0}, "scale must be above 0"),
        (d.Quant, {"scale": 1.0, "zero_point": 0, "bits": 0}, "bits must be at least 1"),
    ],
)
def test_refused(kind: type[Decision], values: dict[str, Any], message: str) -> None:
    with pytest.raises(IRError, match=message):
        kind.from_mapping(values)


def test_window_refuses_steps_of_nothing() -> None:
    good = {"kernel": (3,), "strides": (1,), "pads": (0, 0), "dilations": (1,)}
    for name in ("kernel", "strides", "dilations"):
        with pytest.raises(IRError, match=f"{name} must be at least 1"):
            d.Window(**{**good, name: (0,)})
    with pytest.raises(IRError, match="groups must be at least 1"):
        d.Window(**good, groups=0)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("scale = 0.5, zero = 1", "unknown field 'zero'"),
        ("scale = 0.5, scale = 0.5, zero_point = 1", "'scale' is given twice"),
        ("scale = 0.5", "'zero_point' is missing"),
        ("scale 0.5", "Expected '='"),
        ("scale = 0.5, zero_point = 1", None),
    ],
)
def test_errors_in_text_have_a_place(fields: str, message: str | None) -> None:
    text = f"""builtin.module {{
  %0 = imc.input "x" {{quant = #imc.quant<{fields}>}} : tensor<1xf32>
  imc.output "y" %0 : tensor<1xf32>
}}"""
    if message is None:
        assert "scale = 0.5" in print_module(parse_module(text))
        return
    with pytest.raises(IRError, match=rf"net\.mlir:2:\d+(.|\n)*{message}"):
        parse_module(text, "net.mlir")
