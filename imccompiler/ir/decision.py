"""Decisions: frozen dataclasses that stand on an op as one typed attribute each.

A subclass lists its fields; printing, parsing and reading from plain data (a pin file) follow
from the field types. Fields hold int, float, bool, str, None and tuples of these.
"""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Self

from xdsl.ir import Attribute, ParametrizedAttribute
from xdsl.irdl import ParamAttrDef
from xdsl.parser import AttrParser
from xdsl.printer import Printer

from imccompiler.errors import IRError


class Decision(ParametrizedAttribute):
    """Base of all decisions; a subclass is a frozen dataclass with a class variable `name`."""

    @classmethod
    def get_irdl_definition(cls) -> ParamAttrDef:
        """No attribute parameters: the fields are plain Python values."""
        return ParamAttrDef(cls.name, [])

    @classmethod
    def new(cls, params: Sequence[Attribute]) -> Self:
        """What `parse_parameters` returned is built already."""
        return typing.cast("Self", params)

    @classmethod
    def from_mapping(cls, values: Mapping[str, Any]) -> Self:
        """Build from plain data, as found in text or in a pin file.

        Raises:
            IRError: A field is unknown, missing or of the wrong type.
        """
        fields = {f.name: f for f in dataclasses.fields(typing.cast("Any", cls))}
        hints = _type_hints(cls)
        unknown = sorted(set(values) - set(fields))
        if unknown:
            raise IRError(
                f"unknown field {unknown[0]!r}",
                where=f"#{cls.name}",
                hint=f"its fields are {', '.join(fields)}",
            )
        missing = [
            n for n, f in fields.items() if n not in values and f.default is dataclasses.MISSING
        ]
        if missing:
            raise IRError(f"field {missing[0]!r} is missing", where=f"#{cls.name}")
        converted = {n: _convert(v, hints[n], f"#{cls.name}.{n}") for n, v in values.items()}
        return cls(**converted)

    @classmethod
    def parse_parameters(cls, parser: AttrParser) -> Sequence[Attribute]:
        """Parse `<field = value, ...>`; what is wrong with it is told with its place."""
        start, values = parser.pos, dict[str, Any]()
        parser.parse_characters("<")
        if parser.parse_optional_characters(">") is None:
            while True:
                key = parser.parse_identifier()
                if key in values:
                    parser.raise_error(f"field {key!r} is given twice")
                parser.parse_punctuation("=")
                values[key] = _parse_value(parser)
                if parser.parse_optional_punctuation(",") is None:
                    break
            parser.parse_characters(">")
        try:
            return typing.cast("Sequence[Attribute]", cls.from_mapping(values))
        except IRError as error:
            parser.raise_error(str(error), start, parser.pos)

    def require_positive(self, *names: str) -> None:
        """Check that integer fields, or all entries of lists of integers, are at least 1.

        Raises:
            IRError: One is not.
        """
        for name in names:
            value = getattr(self, name)
            if any(v < 1 for v in (value if isinstance(value, tuple) else (value,))):
                raise IRError(f"{name} must be at least 1, not {value}", where=f"#{self.name}")

    def print_parameters(self, printer: Printer) -> None:
        """Print `<field = value, ...>`, leaving out fields that have their default."""
        parts = [
            f"{f.name} = {_text(value)}"
            for f in dataclasses.fields(typing.cast("Any", self))
            if (value := getattr(self, f.name)) != f.default
        ]
        printer.print_string(f"<{', '.join(parts)}>")


@cache
def _type_hints(cls: type[Decision]) -> dict[str, Any]:
    return typing.get_type_hints(cls)


def _text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return _float_text(value)
    if isinstance(value, str):
        return f'"{"".join(_escaped(letter) for letter in value)}"'
    return f"[{', '.join(_text(v) for v in value)}]"


def _escaped(letter: str) -> str:
    """A letter in a string literal; control characters and line ends as their bytes."""
    if letter in '"\\':
        return "\\" + letter
    if letter.isprintable():
        return letter
    return "".join(f"\\{byte:02X}" for byte in letter.encode("utf-8"))


def _float_text(value: float) -> str:
    text = repr(value)  # the shortest text that reads back to the same number
    mantissa, e, exponent = text.partition("e")
    if "." not in mantissa:
        mantissa += ".0"
    return mantissa + e + exponent


def _parse_value(parser: AttrParser) -> Any:
    if parser.parse_optional_punctuation("[") is not None:
        return _parse_list(parser)
    if (text := parser.parse_optional_str_literal()) is not None:
        return text
    if (data := parser.parse_optional_bytes_literal()) is not None:  # letters beyond ASCII
        return data.decode("utf-8", errors="replace")
    if (flag := parser.parse_optional_boolean()) is not None:
        return flag
    return None if parser.parse_optional_keyword("none") is not None else parser.parse_number()


def _parse_list(parser: AttrParser) -> tuple[Any, ...]:
    """The rest of a list after its opening bracket."""
    values: list[Any] = []
    if parser.parse_optional_punctuation("]") is not None:
        return ()
    while True:
        values.append(_parse_value(parser))
        if parser.parse_optional_punctuation(",") is None:
            break
    parser.parse_punctuation("]")
    return tuple(values)


def _convert(value: Any, hint: Any, where: str) -> Any:
    """Check `value` against a field's type; lists become tuples, ints may stand for floats."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if origin is tuple and isinstance(value, (list, tuple)):
        items = typing.cast("Sequence[Any]", value)
        return tuple(_convert(v, arguments[0], f"{where}[{i}]") for i, v in enumerate(items))
    if origin is typing.Literal and value in arguments:
        return value
    if origin is types.UnionType:
        for option in arguments:
            try:
                return _convert(value, option, where)
            except IRError:
                continue
    if hint is float and type(value) in (int, float):
        return float(value)
    if type(value) is hint:  # None has the type that `int | None` lists
        return value
    wanted = hint.__name__ if isinstance(hint, type) else hint
    raise IRError(f"{value!r} is not of type {wanted}", where=where)
