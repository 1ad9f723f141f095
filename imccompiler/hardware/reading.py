"""Reading YAML: plain data together with the line of every key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, cast

from ruamel.yaml import YAML
from ruamel.yaml.constructor import ConstructorError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from imccompiler.errors import HardwareError

Path_ = tuple[str | int, ...]
"""Keys and list positions from the root to a value."""

_SCALARS = YAML(typ="safe", pure=True)  # reads scalars only, which leaves no state behind


@dataclass(frozen=True, slots=True)
class Document:
    """A YAML mapping; `where` has `file:line` for the path of every key in it."""

    data: Mapping[str, Any]
    where: Mapping[Path_, str]


def parse_value(text: str, where: str) -> Any:
    """One YAML value, as it stands behind `key=` in an override.

    Raises:
        HardwareError: The text is not YAML.
    """
    return _construct(_compose_value(text, where), (), where, {})


def read_file(path: Path) -> Document:
    """Read a YAML file whose root is a mapping.

    Raises:
        HardwareError: It cannot be read, is not YAML or has no mapping at its root.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise HardwareError(f"cannot be read: {error}", where=str(path)) from error
    return read_text(text, str(path))


def read_text(text: str, name: str) -> Document:
    """Read YAML text whose root is a mapping; `name` stands for the file in messages.

    Raises:
        HardwareError: It is not YAML or has no mapping at its root.
    """
    where: dict[Path_, str] = {}
    data = _construct(_compose(text, name), (), name, where)
    if not isinstance(data, dict):
        raise HardwareError("a machine is a mapping of keys to values", where=name)
    return Document(cast("dict[str, Any]", data), where)


def _compose(text: str, name: str) -> Node | None:
    try:
        return YAML(typ="safe", pure=True).compose(text)
    except RecursionError as error:
        raise HardwareError("nested too deeply", where=name) from error
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise HardwareError(f"not YAML: {error.problem}", where=f"{name}:{line}") from error
    except YAMLError as error:
        raise HardwareError(f"not YAML: {error}", where=name) from error


_compose_value = lru_cache(maxsize=1 << 10)(_compose)  # a search writes few values again and again


def _construct(node: Node | None, path: Path_, name: str, where: dict[Path_, str]) -> Any:
    """Plain data of a node; fills `where`."""
    if node is None:
        return None
    line = f"{name}:{node.start_mark.line + 1}"
    where.setdefault(path, line)
    if node.anchor is not None:  # aliases could make a small file grow without bounds
        raise HardwareError("anchors are not supported", where=line, hint="use `extends`")
    if isinstance(node, MappingNode):
        return _construct_mapping(node, path, name, where)
    if isinstance(node, SequenceNode):
        items = cast("list[Node]", node.value)
        return [_construct(item, (*path, i), name, where) for i, item in enumerate(items)]
    return _construct_scalar(cast("ScalarNode", node), line)


def _construct_mapping(
    node: MappingNode, path: Path_, name: str, where: dict[Path_, str]
) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key_node, value_node in cast("list[tuple[Node, Node]]", node.value):
        line = f"{name}:{key_node.start_mark.line + 1}"
        if not isinstance(key_node, ScalarNode):
            raise HardwareError("keys must be plain text", where=line)
        key = str(key_node.value)
        if key in result:
            raise HardwareError(f"key {key!r} stands twice", where=line)
        where[(*path, key)] = line
        result[key] = _construct(value_node, (*path, key), name, where)
    return result


def _construct_scalar(node: ScalarNode, line: str) -> Any:
    try:
        return _SCALARS.constructor.construct_object(node, deep=True)
    except (ConstructorError, ValueError) as error:
        raise HardwareError(f"{node.value!r} cannot be read: {error}", where=line) from error
