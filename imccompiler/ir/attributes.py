"""Attributes of digital operators: Python values to builtin MLIR attributes and back.

An int is `3 : i64`, a float `0.5 : f64`, a string a string; a list of ints is `array<i64: ...>`,
of floats `array<f64: ...>`, of strings an array of strings. There is no other kind.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xdsl.dialects.builtin import (
    ArrayAttr,
    DenseArrayBase,
    DictionaryAttr,
    FloatAttr,
    IntegerAttr,
    StringAttr,
    f64,
    i64,
)
from xdsl.ir import Attribute

from imccompiler.errors import IRError

Value = int | float | str | tuple[int, ...] | tuple[float, ...] | tuple[str, ...]


def to_attribute(value: Value | Sequence[Any]) -> Attribute:
    """One Python value as a builtin attribute; an empty list is one of ints.

    Raises:
        IRError: The value is of another kind, or a list mixes strings and numbers.
    """
    if isinstance(value, str):
        return StringAttr(value)
    if isinstance(value, int):
        return IntegerAttr(int(value), i64)
    if isinstance(value, float):
        return FloatAttr(value, f64)
    if isinstance(value, (list, tuple)):
        if all(isinstance(item, int) for item in value):
            return DenseArrayBase.from_list(i64, [int(item) for item in value])
        if all(isinstance(item, (int, float)) for item in value):
            return DenseArrayBase.from_list(f64, [float(item) for item in value])
        if all(isinstance(item, str) for item in value):
            return ArrayAttr([StringAttr(str(item)) for item in value])
    raise IRError(
        f"a value of type {type(value).__name__} cannot be an attribute",
        hint="use numbers, strings, or lists of one",
    )


def from_attribute(attribute: Attribute) -> Value:
    """The Python value of a builtin attribute; lists become tuples.

    Raises:
        IRError: The attribute is of another kind than `to_attribute` makes.
    """
    if isinstance(attribute, StringAttr):
        return attribute.data
    if isinstance(attribute, (IntegerAttr, FloatAttr)):
        return attribute.value.data
    if isinstance(attribute, DenseArrayBase):
        return tuple(attribute.get_values())
    if isinstance(attribute, ArrayAttr):
        items = tuple(item.data for item in attribute.data if isinstance(item, StringAttr))
        if len(items) == len(attribute.data):
            return items
    raise IRError(
        f"{attribute} is not an attribute of a digital operator",
        hint="use an i64, an f64, a string, array<i64: ...>, array<f64: ...> or strings in []",
    )


def to_attributes(values: Mapping[str, Value | Sequence[Any]]) -> DictionaryAttr:
    """Attributes by name, sorted."""
    return DictionaryAttr({name: to_attribute(values[name]) for name in sorted(values)})


def to_python(dictionary: DictionaryAttr) -> dict[str, Any]:
    """Attributes by name, each a `Value`; typed as any, for the caller knows the operator."""
    return {name: from_attribute(value) for name, value in dictionary.data.items()}
