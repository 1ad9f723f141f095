"""The program on disk: arrays and JSON in one folder, as `docs/program.md` lists them."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import ProgramError
from imccompiler.ir.absent import is_absent, with_absent, without_absent
from imccompiler.program.artifact import (
    FORMAT_VERSION,
    GROUP_COLUMNS,
    TILE_COLUMNS,
    Program,
)
from imccompiler.program.description import describe, function_from, port_from
from imccompiler.program.isa import COLUMNS

DESCRIPTION = "program.json"
WEIGHTS = "weights.safetensors"

_ARRAYS: dict[str, tuple[type, int | None]] = {  # type, columns (None: one axis)
    "code": (np.int32, len(COLUMNS)),
    "core_start": (np.int64, None),
    "groups": (np.int32, len(GROUP_COLUMNS)),
    "tiles": (np.int32, len(TILE_COLUMNS)),
    "images": (np.uint8, None),
    "image_index": (np.int64, 4),
    "local_bytes": (np.int64, None),
}


def save(program: Program, folder: Path) -> None:
    """Write a program to a folder; one that stands there is replaced as a whole.

    The files are written beside the folder and renamed, so that no reader meets half a program.

    Raises:
        ProgramError: The folder holds something else than a program, or cannot be written.
    """
    if folder.exists() and not _may_replace(folder):
        raise ProgramError(
            "holds something else than a program", where=str(folder), hint="name another folder"
        )
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        try:
            _write(program, scratch / "new")
            if folder.exists():
                folder.rename(scratch / "old")
            (scratch / "new").rename(folder)
        finally:
            shutil.rmtree(scratch)
    except OSError as error:
        raise ProgramError(f"cannot be written: {error}", where=str(folder)) from error


def load(folder: Path) -> Program:
    """Read a program; its arrays are memory-mapped.

    Raises:
        ProgramError: A file is missing or damaged, or of another version.
    """
    description = _read_description(folder / DESCRIPTION)
    arrays = {name: _read_array(folder / f"{name}.npy", name) for name in _ARRAYS}
    weights = _read_weights(folder / WEIGHTS)
    try:
        return Program(
            code=arrays["code"],
            core_start=arrays["core_start"],
            groups=arrays["groups"],
            tiles=arrays["tiles"],
            matrices={n: weights[f"matrix/{i}"] for i, n in enumerate(description["matrices"])},
            images=_images(arrays["images"], arrays["image_index"]),
            functions=tuple(
                function_from(f, _constants(weights, i))
                for i, f in enumerate(description["functions"])
            ),
            inputs=tuple(port_from(p) for p in description["inputs"]),
            outputs=tuple(port_from(p) for p in description["outputs"]),
            layers=tuple(description["layers"]),
            weight_bits=int(description["weight_bits"]),
            input_bits=int(description["input_bits"]),
            local_bytes=arrays["local_bytes"],
            global_bytes=int(description["global_bytes"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise ProgramError(
            f"is damaged: {type(error).__name__} {error}", where=str(folder)
        ) from error


def content_hash(program: Program) -> str:
    """SHA-256 over everything in a program, whatever it was made by or read from."""
    digest = hashlib.sha256(json.dumps(describe(program), sort_keys=True).encode())
    for name, array in sorted({**_tables(program), **_weights(program)}.items()):
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        if is_absent(array):
            digest.update(b"absent")
        elif array.size:
            digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _write(program: Program, folder: Path) -> None:
    from safetensors.numpy import save_file  # noqa: PLC0415

    folder.mkdir()
    for name, array in _tables(program).items():
        np.save(folder / f"{name}.npy", array, allow_pickle=False)
    weights, metadata = without_absent(_weights(program))
    save_file(weights, folder / WEIGHTS, metadata=metadata or None)
    text = json.dumps({"format_version": FORMAT_VERSION, **describe(program)}, indent=1)
    (folder / DESCRIPTION).write_text(text + "\n", encoding="utf-8")


def _may_replace(folder: Path) -> bool:
    return folder.is_dir() and ((folder / DESCRIPTION).is_file() or not any(folder.iterdir()))


def _tables(program: Program) -> dict[str, NDArray[Any]]:
    sizes = [len(values) for _, _, values in program.images]
    ends = np.cumsum([0, *sizes])
    index = [
        (core, address, begin, end)
        for (core, address, _), begin, end in zip(
            program.images, ends[:-1].tolist(), ends[1:].tolist(), strict=True
        )
    ]
    arrays = {
        "code": program.code,
        "core_start": program.core_start,
        "groups": program.groups,
        "tiles": program.tiles,
        "images": np.concatenate([v for _, _, v in program.images]) if sizes else np.zeros(0),
        "image_index": np.array(index).reshape(-1, 4),
        "local_bytes": program.local_bytes,
    }
    return {name: np.asarray(arrays[name], kind) for name, (kind, _) in _ARRAYS.items()}


def _weights(program: Program) -> dict[str, NDArray[Any]]:
    weights: dict[str, NDArray[Any]] = {
        f"matrix/{i}": m if is_absent(m) else np.ascontiguousarray(m, np.int16)
        for i, m in enumerate(program.matrices.values())
    }
    for i, function in enumerate(program.functions):
        for position, constant in function.constants.items():
            weights[f"function/{i}/{position}"] = np.asarray(constant)
    return weights


def _read_description(path: Path) -> Mapping[str, Any]:
    try:
        description = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProgramError(
            "there is no program here", where=str(path.parent), hint="compile with `-o DIR`"
        ) from None
    except (OSError, ValueError) as error:
        raise ProgramError(f"cannot be read: {error}", where=str(path)) from error
    version = description.get("format_version") if isinstance(description, dict) else None
    if version != FORMAT_VERSION:
        raise ProgramError(
            f"has format version {version}, this release reads {FORMAT_VERSION}",
            where=str(path),
            hint="compile the network again",
        )
    return description


def _read_array(path: Path, name: str) -> NDArray[Any]:
    kind, columns = _ARRAYS[name]
    try:
        # an empty array cannot be mapped
        mapped = np.load(path, allow_pickle=False, mmap_mode="r")
    except (OSError, ValueError, EOFError) as error:
        raise ProgramError(f"cannot be read: {error}", where=str(path)) from error
    shape_fits = mapped.ndim == 1 if columns is None else mapped.shape[1:] == (columns,)
    if mapped.dtype != kind or not shape_fits:
        raise ProgramError(
            f"holds {mapped.dtype} of shape {mapped.shape}, which is not the `{name}` table",
            where=str(path),
        )
    return mapped


def _read_weights(path: Path) -> Mapping[str, NDArray[Any]]:
    from safetensors import SafetensorError, safe_open  # noqa: PLC0415

    try:
        with safe_open(path, framework="numpy") as file:
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return with_absent(arrays, file.metadata())
    except (OSError, SafetensorError) as error:
        raise ProgramError(f"cannot be read: {error}", where=str(path)) from error


def _constants(weights: Mapping[str, NDArray[Any]], function: int) -> dict[int, NDArray[Any]]:
    prefix = f"function/{function}/"
    return {int(k.removeprefix(prefix)): v for k, v in weights.items() if k.startswith(prefix)}


def _images(
    values: NDArray[np.uint8], index: NDArray[np.int64]
) -> tuple[tuple[int, int, NDArray[np.uint8]], ...]:
    if len(index) and (index[:, 2].min() < 0 or index[:, 3].max() > len(values)):
        raise ValueError("image_index points outside images")
    return tuple((core, address, values[begin:end]) for core, address, begin, end in index.tolist())
