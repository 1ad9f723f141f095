"""Pinned decisions: a YAML file whose decisions are set on the ops before the first pass.

    layers:
      conv1: {replication: {copies: 2}}
      "layer4.*": {tiling: {rows: 4, columns: 2, slices: 4}, quant: {scale: 0.02, zero_point: 0}}

A key of `layers` is the name of an ONNX node or input port, or a glob over these names. Where
several keys name one layer, the later one wins.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from imccompiler.errors import InternalError, IRError, PassError
from imccompiler.ir import decisions as d
from imccompiler.ir.decision import Decision
from imccompiler.ir.dialect import DigitalOp, DynamicMatmulOp, InputOp, MatmulOp

DECISIONS: dict[str, type[Decision]] = {
    "quant": d.Quant,
    "kind": d.Kind,
    "tiling": d.Tiling,
    "replication": d.Replication,
    "placement": d.Placement,
    "grain": d.Grain,
}

_FIELDS: dict[type[Operation], tuple[str, ...]] = {
    InputOp: ("quant",),
    MatmulOp: tuple(DECISIONS),
    DynamicMatmulOp: ("quant", "placement"),
    DigitalOp: ("quant", "placement"),
}


@dataclass(frozen=True, slots=True)
class Pin:
    """One pinned decision: where it is written, which layers it is for, and what it says."""

    where: str
    layers: str
    field: str
    decision: Decision


def layer_name(op: Operation) -> str | None:
    """The name by which users know an op: its ONNX node, or the port of an input."""
    if isinstance(op, InputOp):
        return op.port.data
    source = getattr(op, "source", None)
    return source.node if isinstance(source, d.Source) else None


def read_pins(path: Path) -> tuple[Pin, ...]:
    """Read a pin file.

    Raises:
        PassError: The file cannot be read, or a key or value in it is not valid.
    """
    return tuple(_pins(_load_yaml(path), str(path)))


Pinned = tuple[tuple[str, str, Decision], ...]
"""Layer, field and decision of everything that is pinned."""


def apply_pins(pins: tuple[Pin, ...], module: ModuleOp) -> Pinned:
    """Set pinned decisions on a module in place; returns what was set.

    Raises:
        PassError: As `find_pinned`.
    """
    pinned = find_pinned(pins, module)
    set_pinned(pinned, module)
    return pinned


def find_pinned(pins: tuple[Pin, ...], module: ModuleOp) -> Pinned:
    """What pins set on which layers of a module.

    Raises:
        PassError: A pin names no layer of the module, or a layer that cannot take it.
    """
    named = {name: op for op in module.body.block.ops if (name := layer_name(op)) is not None}
    pinned: dict[tuple[str, str], Decision] = {}
    for pin in pins:
        matches = [n for n in named if n == pin.layers] or [
            n for n in named if fnmatchcase(n, pin.layers)
        ]
        if not matches:
            raise PassError(
                f"no layer is named {pin.layers!r}",
                where=pin.where,
                hint=_similar(pin.layers, tuple(named)),
            )
        takers = [n for n in matches if pin.field in _FIELDS.get(type(named[n]), ())]
        if not takers:
            raise PassError(
                f"layer {matches[0]!r} ({named[matches[0]].name}) takes no {pin.field}",
                where=pin.where,
            )
        for name in takers:
            pinned[name, pin.field] = pin.decision
    return tuple((name, field, decision) for (name, field), decision in pinned.items())


def set_pinned(pinned: Pinned, module: ModuleOp) -> None:
    """Set pinned decisions on a module in place."""
    named = {layer_name(op): op for op in module.body.block.ops}
    for name, field, decision in pinned:
        named[name].properties[field] = decision


def verify_pins(pinned: Pinned, module: ModuleOp) -> list[str]:
    """Notes on pinned layers that are gone from the module.

    Raises:
        InternalError: A pass changed a pinned decision.
    """
    named = {layer_name(op): op for op in module.body.block.ops}
    notes: list[str] = []
    for name, field, decision in pinned:
        op = named.get(name)
        if op is None:
            notes.append(f"the pinned {field} of {name!r} has no effect: the layer was folded away")
        elif op.properties.get(field) != decision:
            raise InternalError(f"a pass changed the pinned {field}", where=name)
    return notes


def _load_yaml(path: Path) -> Any:
    from ruamel.yaml import YAML  # noqa: PLC0415
    from ruamel.yaml.error import YAMLError  # noqa: PLC0415

    try:
        return YAML().load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise PassError(f"cannot be read: {error.strerror}", where=str(path)) from error
    except (UnicodeDecodeError, YAMLError) as error:
        raise PassError(f"is not YAML: {error}", where=str(path)) from error


def _pins(tree: Any, file: str) -> Iterator[Pin]:
    for section in _mapping(tree, file, "the file"):
        if section != "layers":
            raise PassError(
                f"unknown key {section!r}",
                where=_where(file, tree, section),
                hint="a pin file has one key, `layers`",
            )
    layers = _mapping(tree, file, "the file").get("layers", {})
    for layer, decisions in _mapping(layers, file, "`layers`").items():
        for field, values in _mapping(decisions, _where(file, layers, layer), repr(layer)).items():
            where = _where(file, decisions, field)
            if field not in DECISIONS:
                hint = f"the decisions are {', '.join(DECISIONS)}"
                raise PassError(f"unknown decision {field!r}", where=where, hint=hint)
            plain = {k: _plain(v) for k, v in _mapping(values, where, repr(field)).items()}
            try:
                decision = DECISIONS[field].from_mapping(plain)
            except IRError as error:
                raise PassError(
                    f"{error.where}: {error.message}",
                    where=where,
                    hint=error.hint,
                ) from error
            yield Pin(where, str(layer), field, decision)


def _mapping(value: Any, where: str, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise PassError(f"{what} must be a mapping", where=where)
    return value


def _plain(value: Any) -> Any:
    """The value without the line numbers and spellings that ruamel.yaml keeps in subclasses."""
    if isinstance(value, list):
        return [_plain(item) for item in value]
    plain = next((t for t in (bool, int, float, str) if isinstance(value, t)), None)
    return value if plain is None else plain(value)


def _where(file: str, parent: Any, key: Any) -> str:
    return f"{file}:{parent.lc.key(key)[0] + 1}"


def _similar(name: str, known: tuple[str, ...]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415

    close = get_close_matches(name, known, n=3) or list(known[:5])
    return f"there are {', '.join(close)}" + (", ..." if len(close) < len(known) else "")
