"""Keys of the schema: what stands where, and the short forms of overrides."""

from __future__ import annotations

import difflib
import types
import typing
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from pydantic import BaseModel

from imccompiler.errors import HardwareError
from imccompiler.hardware.reading import Path_
from imccompiler.hardware.schema import Machine

_CORE_SECTIONS = ("crossbar", "cell", "local_memory", "vector", "matrix")
_CHIP_SECTIONS = ("noc", "global_memory")
_TOP_LEVEL = (*Machine.model_fields, *_CORE_SECTIONS, *_CHIP_SECTIONS, "core", "adc")


@cache
def section_of(annotation: Any) -> type[BaseModel] | None:
    """The model that a field holds, in a list, a dict, a union or alone; None for plain values."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    origin = typing.get_origin(annotation)
    if origin in (tuple, dict, typing.Union, types.UnionType):
        return next(filter(None, map(section_of, typing.get_args(annotation))), None)
    return None


def section_at(path: Path_) -> type[BaseModel] | None:
    """The model whose keys may stand below `path`; None for plain values and unknown keys."""
    section: type[BaseModel] | None = Machine
    rest = list(path)
    while rest and section is not None:
        part = rest.pop(0)
        if isinstance(part, int):
            continue
        field = section.model_fields.get(part)
        section = section_of(field.annotation) if field else None
        if part == "core_kinds" and rest:
            rest.pop(0)  # the kind's own name
    return section


def suggestion(key: str, known: Iterable[str]) -> str | None:
    """A hint that names close matches of `key`, or all that is known."""
    names = sorted(known)
    close = difflib.get_close_matches(key, names, n=3, cutoff=0.6)
    if close:
        return "did you mean " + " or ".join(f"`{c}`" for c in close) + "?"
    return f"known: {', '.join(names)}" if names else None


def expand(key: str, kinds: Sequence[str]) -> list[Path_]:
    """The full paths that a dotted key stands for; short forms reach every kind of core.

    Short forms: `crossbar.`, `adc.`, `cell.`, `local_memory.`, `vector.`, `matrix.` and
    `core.` (any key of a core kind), `noc.` and `global_memory.`. Numbers count list entries.

    Raises:
        HardwareError: No such key.
    """
    parts = key.strip().split(".")
    head, tail = parts[0], parts[1:]
    if head == "adc" and tail:
        head, tail = "crossbar", parts
    if head == "core" and tail:
        paths = [("core_kinds", kind, *tail) for kind in kinds]
    elif head in _CORE_SECTIONS:
        paths = [("core_kinds", kind, head, *tail) for kind in kinds]
    elif head in _CHIP_SECTIONS:
        paths = [("chip", head, *tail)]
    else:
        paths = [tuple(parts)]
    full = [tuple(int(p) if p.isdecimal() else p for p in path) for path in paths]
    for path in full:
        _check(key, path, kinds)
    return full


def _check(key: str, path: Path_, kinds: Sequence[str]) -> None:
    """Find the first part of `path` that is no key.

    Raises:
        HardwareError: There is one.
    """
    for depth, part in enumerate(path):
        above = path[:depth]
        section = section_at(above)
        if isinstance(part, int):
            continue
        if above == ("core_kinds",):
            known: Iterable[str] = kinds
        elif section is None:
            known = ()
        else:
            known = section.model_fields
        if part not in known:
            names = _TOP_LEVEL if depth == 0 else known
            raise HardwareError(f"no key {part!r}", where=key, hint=suggestion(part, names))
