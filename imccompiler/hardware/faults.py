"""Validation errors of pydantic as one HardwareError that names line, key and remedy of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from imccompiler.errors import HardwareError
from imccompiler.hardware.keys import section_at, suggestion
from imccompiler.hardware.reading import Path_


def hardware_error(error: ValidationError, where: Mapping[Path_, str], name: str) -> HardwareError:
    """All of `error`, each fault with the file and line (or override) that its key comes from.

    Args:
        error: What pydantic found.
        where: Where each path was given.
        name: What to name if a path was given nowhere (a missing key).
    """
    faults = sorted(
        {_fault(details, where, name) for details in error.errors(include_url=False)},
        key=lambda fault: (fault[0], fault[1]),
    )
    if len(faults) == 1:
        place, text, hint = faults[0]
        return HardwareError(text, where=place, hint=hint)
    lines = [f"{place}: {text}" + (f" ({hint})" if hint else "") for place, text, hint in faults]
    return HardwareError(f"{len(faults)} errors\n  " + "\n  ".join(lines), where=name)


def _fault(details: Any, where: Mapping[Path_, str], name: str) -> tuple[str, str, str | None]:
    """Place, text and hint of one fault."""
    path: Path_ = tuple(details["loc"])
    place = _place(path, where, name)
    key = ".".join(map(str, path)) or "machine"
    kind = details["type"]
    if kind == "extra_forbidden":
        section = section_at(path[:-1])
        known = section.model_fields if section else ()
        return place, f"unknown key `{key}`", suggestion(str(path[-1]), known)
    if kind == "missing":
        return place, f"key `{key}` is missing", None
    message = str(details["msg"]).removeprefix("Value error, ")
    message = message[0].lower() + message[1:]
    if kind == "value_error":  # a rule between keys: the input is a whole section
        return _culprit(path, message, where) or place, f"`{key}`: {message}", None
    return place, f"`{key}`: {message}, not {details['input']!r}", None


def _place(path: Path_, where: Mapping[Path_, str], name: str) -> str:
    """Where the key or the nearest section around it was given."""
    return next((where[path[:n]] for n in range(len(path), -1, -1) if path[:n] in where), name)


def _culprit(section: Path_, message: str, where: Mapping[Path_, str]) -> str | None:
    """Where the last given of the section's keys that a rule's message names was given."""
    keys = [
        path
        for path in where
        if path[: len(section)] == section and path[-1:] and str(path[-1]) in message
    ]
    return where[keys[-1]] if keys else None
