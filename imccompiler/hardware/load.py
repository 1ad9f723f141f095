"""Machines from presets, files and overrides, and back to text."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, cast

from pydantic import ValidationError
from ruamel.yaml import YAML

from imccompiler.errors import HardwareError
from imccompiler.hardware.faults import hardware_error
from imccompiler.hardware.keys import expand, suggestion
from imccompiler.hardware.reading import Document, Path_, parse_value, read_file, read_text
from imccompiler.hardware.schema import Machine

_PRESETS = "imccompiler.hardware.presets"


@cache
def presets() -> tuple[str, ...]:
    """Names of the machines that come with imccompiler."""
    files = (entry.name for entry in resources.files(_PRESETS).iterdir())
    return tuple(sorted(name.removesuffix(".yaml") for name in files if name.endswith(".yaml")))


def load(name_or_path: str | Path, overrides: Sequence[str] = ()) -> Machine:
    """Load a preset by name or a machine from a YAML file.

    A file can name another machine in `extends` (a preset, or a path relative to the file):
    its mappings are merged key by key, its lists replace the other's.

    Args:
        name_or_path: A preset's name or a file.
        overrides: `key=value` texts, the value in YAML; keys as in `keys.expand`.

    Raises:
        HardwareError: Anything is wrong; it names file, line and key, all faults at once.
    """
    document = _resolve(name_or_path, Path(), ())
    data, changes = document.data, list[tuple[Path_, str]]()
    for text in overrides:
        key, value = _split_override(text)
        for path in expand(key, _kinds(data)):
            data = _placed(data, path, value, key)
            changes.append((path, f"override `{text}`"))
    return _validated(data, document.where, changes, str(name_or_path))


def vary(machine: Machine, overrides: Mapping[str, Any]) -> Machine:
    """A machine that differs in some keys, validated as a loaded one (0.05 ms).

    Args:
        machine: Where to start from; it stays as it is.
        overrides: Values by dotted key, keys as in `keys.expand`.

    Raises:
        HardwareError: A key is unknown or the values do not make a machine.
    """
    data: Mapping[str, Any] = {
        **machine.model_dump(exclude_unset=True, exclude={"sources"}),
        "sources": machine.sources,
    }
    changes: list[tuple[Path_, str]] = []
    for key, value in overrides.items():
        for path in expand(key, _kinds(data)):
            data = _placed(data, path, value, key)
            changes.append((path, f"override `{key}={value}`"))
    return _validated(data, {}, changes, machine.name)


def dump(machine: Machine) -> str:
    """The machine as YAML with every key, so that `load` gives an equal machine.

    Values that follow from others (`rows_active`, `count`) are left to follow.
    """
    data = machine.model_dump(mode="json")
    for name, kind in machine.core_kinds.items():
        if "rows_active" not in kind.crossbar.model_fields_set:
            del data["core_kinds"][name]["crossbar"]["rows_active"]
    for cores, entry in zip(machine.chip.cores, data["chip"]["cores"], strict=True):
        if "count" not in cores.model_fields_set:
            del entry["count"]
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = False
    yaml.sort_base_mapping_type_on_output = False  # pyright: ignore[reportAttributeAccessIssue]
    yaml.width = 100
    stream = io.StringIO()
    yaml.dump(data, stream)
    return stream.getvalue()


def content_hash(machine: Machine) -> str:
    """SHA-256 over everything that can change a result (not name, description or sources)."""
    data = machine.model_dump(mode="json", exclude={"name", "description", "sources"})
    text = json.dumps(data, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _validated(
    data: Mapping[str, Any],
    where: Mapping[Path_, str],
    changes: Sequence[tuple[Path_, str]],
    name: str,
) -> Machine:
    """The machine; `where` keys were given first, and which paths were overridden where."""
    try:
        return Machine.model_validate(data)
    except ValidationError as error:
        given = dict(where)
        for path, place in changes:
            given = {p: w for p, w in given.items() if p[: len(path)] != path} | {path: place}
        raise hardware_error(error, given, name) from error


def _kinds(data: Mapping[str, Any]) -> tuple[str, ...]:
    kinds = data.get("core_kinds")
    return tuple(cast("dict[str, Any]", kinds)) if isinstance(kinds, dict) else ()


def _resolve(name_or_path: str | Path, folder: Path, seen: tuple[str, ...]) -> Document:
    """The document with everything that it extends."""
    document, identity, home = _open(name_or_path, folder)
    if identity in seen:
        chain = " extends ".join([*seen[seen.index(identity) :], identity])
        raise HardwareError(f"`extends` goes in a circle: {chain}", where=identity)
    parent = document.data.get("extends")
    if parent is None:
        return document
    if not isinstance(parent, str):
        raise HardwareError(
            "`extends` takes a preset's name or a file", where=document.where[("extends",)]
        )
    base = _resolve(parent, home, (*seen, identity))
    own = {key: value for key, value in document.data.items() if key != "extends"}
    where = {path: line for path, line in document.where.items() if path != ("extends",)}
    return Document(_merged(base.data, own), {**base.where, **where})


def _open(name_or_path: str | Path, folder: Path) -> tuple[Document, str, Path]:
    """The document itself, what identifies it, and the folder that its paths start from."""
    name = str(name_or_path)
    if name in presets():
        return _preset(name), name, Path()
    path = folder / name_or_path
    if path.is_file():
        return read_file(path), str(path.resolve()), path.parent
    if path.suffix in {".yaml", ".yml"} or len(path.parts) > 1:
        raise HardwareError("no such file", where=str(path))
    raise HardwareError(f"no machine named {name!r}", hint=suggestion(name, presets()))


@cache
def _preset(name: str) -> Document:
    text = resources.files(_PRESETS).joinpath(f"{name}.yaml").read_text(encoding="utf-8")
    return read_text(text, f"{name}.yaml")


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    result = dict(base)
    for key, value in own.items():
        held = result.get(key)
        if isinstance(held, dict) and isinstance(value, dict):
            result[key] = _merged(cast("dict[str, Any]", held), cast("dict[str, Any]", value))
        else:
            result[key] = value
    return result


def _split_override(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.strip():
        raise HardwareError("an override is written `key=value`", where=text)
    return key.strip(), parse_value(value, f"override `{text}`")


def _placed(data: Any, path: Path_, value: Any, key: str) -> Any:
    """A copy of `data` with `value` at `path`; mappings on the way are made.

    Raises:
        HardwareError: A list on the way is too short.
    """
    if not path:
        return value
    part, rest = path[0], path[1:]
    if isinstance(part, int):
        items = list(cast("list[Any]", data)) if isinstance(data, list | tuple) else []
        if part >= len(items):
            raise HardwareError(f"there is no entry {part}", where=key)
        items[part] = _placed(items[part], rest, value, key)
        return items
    section = dict(cast("dict[str, Any]", data)) if isinstance(data, dict) else {}
    section[part] = _placed(section.get(part), rest, value, key)
    return section
