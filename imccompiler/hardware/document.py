"""The tables of `docs/hardware.md`, from the schema.

`python -m imccompiler.hardware.document docs/hardware.md` writes them below the file's marker.
"""

from __future__ import annotations

import sys
import types
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from annotated_types import Ge, Gt, Le
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from imccompiler.errors import UserInputError
from imccompiler.hardware.keys import section_of
from imccompiler.hardware.schema import Machine

MARKER = "<!-- Generated below this line: `python -m imccompiler.hardware.document FILE` -->"

_NAMES = {int: "integer", float: "number", str: "text", bool: "true or false"}
_UNITS = {
    "ns": "ns",
    "pj": "pJ",
    "um2": "um2",
    "mw": "mW",
    "us": "uS",
    "nm": "nm",
    "v": "V",
    "k": "K",
    "kib": "KiB",
    "bytes": "B",
    "bits": "bit",
}


def with_tables(text: str) -> str:
    """The text with everything below `MARKER` replaced by the tables of the schema.

    Raises:
        UserInputError: The marker is missing.
    """
    introduction, marker, _ = text.partition(MARKER)
    if not marker:
        raise UserInputError(f"the line {MARKER!r} is missing")
    return introduction + MARKER + "\n\n" + "\n".join(_section_lines(Machine, None, "", {}))


def _section_lines(
    section: type[BaseModel],
    field: FieldInfo | None,
    path: str,
    seen: dict[type[BaseModel], str],
) -> Iterator[str]:
    """Table of a section's plain keys, then the sections below it."""
    yield f"### {f'`{path}`' if path else 'Top level'}"
    yield ""
    if section in seen:
        yield f"The keys of `{seen[section]}`."
        yield ""
        return
    seen[section] = path
    about = f" {_sentence(field.description)}" if field and field.description else ""
    yield (section.__doc__ or "").strip() + about
    yield ""
    yield "| key | type | unit | default | meaning |"
    yield "|---|---|---|---|---|"
    below: list[tuple[type[BaseModel], FieldInfo, str]] = []
    for key, item in section.model_fields.items():
        model = section_of(item.annotation)
        if model is None:
            yield _row(key, item)
        else:
            below.append((model, item, f"{path}.{key}".removeprefix(".") + _suffix(item)))
    yield ""
    for model, item, below_path in below:
        yield from _section_lines(model, item, below_path, seen)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + "."


def _suffix(field: FieldInfo) -> str:
    origin = typing.get_origin(field.annotation)
    return ".N" if origin is tuple else ".NAME" if origin is dict else ""


def _row(key: str, field: FieldInfo) -> str:
    unit = next((_UNITS[part] for part in reversed(key.split("_")) if part in _UNITS), "")
    default = "required" if field.is_required() else _value_text(field.get_default())
    if default == "0" and "if not given" in (field.description or ""):
        default = "derived"
    kind = _type_text(field.annotation, field.metadata)
    return f"| `{key}` | {kind} | {unit} | {default} | {field.description} |"


def _value_text(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    if value in ((), ""):
        return "empty"
    return f"{value:g}" if isinstance(value, float) else f"{value}"


def _type_text(annotation: Any, metadata: typing.Sequence[Any]) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type_text(arguments[0], [m for a in arguments[1:] for m in a.metadata])
    if origin is typing.Literal:
        return ", ".join(f"`{a}`" for a in arguments)
    if origin is tuple:
        items = [_type_text(a, ()) for a in arguments if a is not Ellipsis]
        return f"list of {items[0]}" + ("" if Ellipsis in arguments else f" ({len(items)})")
    if origin in (typing.Union, types.UnionType):
        return " or ".join(
            "none" if a is type(None) else _type_text(a, metadata) for a in arguments
        )
    return " ".join([_NAMES[annotation], *filter(None, map(_limit_text, metadata))])


def _limit_text(limit: Any) -> str:
    match limit:
        case Gt(gt=low):
            return f"above {low}"
        case Ge(ge=low):
            return f"from {low}"
        case Le(le=high):
            return f"to {high}"
        case _:
            return ""


def main() -> None:
    """Rewrite the file named on the command line."""
    path = Path(sys.argv[1])
    path.write_text(with_tables(path.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
