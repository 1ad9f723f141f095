"""IR files that one can go on from: module text, with its weights and machine beside it.

A dumped module names both by relative path and hash in its attribute `imc.files`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from xdsl.dialects.builtin import DictionaryAttr, ModuleOp, StringAttr

from imccompiler.errors import IRError
from imccompiler.hardware.schema import Machine
from imccompiler.ir.decision import Decision
from imccompiler.ir.dialect import WeightOp
from imccompiler.ir.store import WeightStore
from imccompiler.ir.text import print_module, read_module

ATTRIBUTE = "imc.files"
WEIGHTS = "weights.safetensors"
_KEYS = ("weights", "weights_sha256", "machine", "machine_sha256")


@dataclass(frozen=True, slots=True)
class Dump:
    """A module read from a file, with what it names."""

    module: ModuleOp
    store: WeightStore
    machine: Machine


def write_dumps(
    folder: Path,
    modules: Iterable[tuple[str, ModuleOp]],
    *,
    weights: tuple[str, str],
    machine: tuple[str, str],
) -> None:
    """Write `NN-name.mlir` of each module; `weights` and `machine` are (relative path, hash)."""
    printed, text = None, ""
    for number, (name, module) in enumerate(modules):
        if module is not printed:
            printed, text = module, linked_text(module, weights=weights, machine=machine)
        (folder / f"{number:02}-{name}.mlir").write_text(text, encoding="utf-8")


def linked_text(module: ModuleOp, *, weights: tuple[str, str], machine: tuple[str, str]) -> str:
    """The module's text, naming its weights and its machine."""
    linked = module.clone()
    names = zip(_KEYS, (*weights, *machine), strict=True)
    linked.attributes[ATTRIBUTE] = DictionaryAttr({k: StringAttr(v) for k, v in names})
    return print_module(linked)


def read_dump(path: Path, machine: Machine | None = None) -> Dump:
    """Read a dumped module, its weights and its machine.

    Args:
        path: The `.mlir` file.
        machine: Used in place of the one that the file names.

    Raises:
        IRError: A file is missing or is not the one that the module was written with.
    """
    from imccompiler.hardware.load import content_hash, load  # noqa: PLC0415

    module = read_module(path)
    files = module.attributes.pop(ATTRIBUTE, None)
    if not isinstance(files, DictionaryAttr):
        raise IRError(
            f"has no attribute {ATTRIBUTE!r} that names its weights and machine",
            where=str(path),
            hint="`imcc compile -o DIR` writes such files into DIR/ir",
        )
    weights, weights_hash, machine_path, machine_hash = (_text(files, k, path) for k in _KEYS)
    store = WeightStore.load(path.parent / weights)
    if store.content_hash() != weights_hash:
        raise IRError("are not the weights that the module was written with", where=weights)
    if machine is None:
        machine = load(path.parent / machine_path)
        if content_hash(machine) != machine_hash:
            raise IRError(
                "is not the machine that the module was written with",
                where=str(path.parent / machine_path),
                hint="name the machine with --hardware to go on with it",
            )
    return Dump(module, WeightStore(_used(module, store)), machine)


def _text(files: DictionaryAttr, key: str, path: Path) -> str:
    value = files.data.get(key)
    if not isinstance(value, StringAttr):
        raise IRError(f"{ATTRIBUTE} has no {key!r}", where=str(path))
    return value.data


def _used(module: ModuleOp, store: WeightStore) -> dict[str, Any]:
    """The entries that the module names: later passes may make the others anew, differently."""
    names: list[str] = []
    for op in module.body.block.ops:
        if isinstance(op, WeightOp):
            names.append(op.key.data)
        for decision in op.properties.values():
            if isinstance(decision, Decision):
                values = [getattr(decision, f.name) for f in fields(cast("Any", decision))]
                names.extend(v for v in values if isinstance(v, str))
    return {name: store[name] for name in names if name in store}
