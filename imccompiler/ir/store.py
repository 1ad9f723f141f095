"""The weight store: named arrays beside a module, kept in a safetensors file."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import IRError
from imccompiler.ir.absent import is_absent, with_absent, without_absent

Array = NDArray[Any]

# Element types of the safetensors format that numpy has as well, little endian.
_DTYPES = {
    "BOOL": "?",
    **{f"{kind}{8 * size}": f"<{kind.lower()}{size}" for kind in "IU" for size in (1, 2, 4, 8)},
    **{f"F{8 * size}": f"<f{size}" for size in (2, 4, 8)},
}


class WeightStore:
    """Named arrays; entries are added, never changed."""

    def __init__(self, entries: Mapping[str, Array] | None = None) -> None:
        self._entries: dict[str, Array] = dict(entries or {})

    def __getitem__(self, key: str) -> Array:
        try:
            return self._entries[key]
        except KeyError:
            raise IRError(
                f"no weight named {key!r}", hint="is the safetensors file the module's own?"
            ) from None

    def __contains__(self, key: str) -> bool:
        return key in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def add(self, key: str, value: Array) -> str:
        """Add an entry and return its key.

        Raises:
            IRError: Another array already has that key.
        """
        held = self._entries.get(key)
        if held is not None and not (held.dtype == value.dtype and np.array_equal(held, value)):
            raise IRError(f"weight {key!r} is already there with other values")
        # Contiguous, so that sums come out the same to the last bit after saving and loading; but
        # a view that repeats a few values stays one.
        self._entries[key] = value if 0 in value.strides else np.asarray(value, order="C")
        return key

    def holds(self, other: WeightStore) -> bool:
        """Whether all entries of another store are entries here, the same arrays."""
        return all(self._entries.get(key) is value for key, value in other._entries.items())

    def copy(self) -> WeightStore:
        """A store with the same arrays, to which entries can be added independently."""
        return WeightStore(self._entries)

    @property
    def entries(self) -> Mapping[str, Array]:
        """A read-only view."""
        return MappingProxyType(self._entries)

    def content_hash(self) -> str:
        """SHA-256 over names, types, shapes and bytes."""
        digest = hashlib.sha256()
        for key in sorted(self._entries):
            value = self._entries[key]
            digest.update(f"{key}\0{value.dtype.str}\0{value.shape}\0".encode())
            if is_absent(value):
                digest.update(b"absent")
            elif value.size:
                digest.update(np.asarray(value, order="C").data)
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write all entries to a safetensors file, which is replaced as a whole or not at all.

        Raises:
            IRError: The file cannot be written.
        """
        from safetensors import SafetensorError  # noqa: PLC0415
        from safetensors.numpy import save_file  # noqa: PLC0415

        unfinished = path.with_name(path.name + ".unfinished")
        try:
            arrays, metadata = without_absent(self._entries)
            save_file(arrays, unfinished, metadata=metadata or None)
            unfinished.replace(path)
        except (OSError, SafetensorError) as error:
            raise IRError(f"cannot be written: {error}", where=str(path)) from error

    @staticmethod
    def load(path: Path) -> WeightStore:
        """Open a safetensors file; its arrays are read from it when they are used.

        Raises:
            IRError: The file is missing or damaged, or an array is of a type unknown to numpy.
        """
        from safetensors import SafetensorError, safe_open  # noqa: PLC0415

        try:
            with safe_open(path, framework="numpy"):  # checks the header against the file
                pass
            return WeightStore(_mapped(path))
        except (OSError, SafetensorError) as error:
            raise IRError(f"cannot be read: {error}", where=str(path)) from error


def _mapped(path: Path) -> dict[str, Array]:
    """Views of a checked safetensors file: 8 bytes of header length, the header, the arrays."""
    data = np.asarray(np.memmap(path, np.uint8, "r"))
    start = 8 + int(data[:8].view("<u8")[0])
    header = json.loads(data[8:start].tobytes())
    metadata = header.pop("__metadata__", None)
    arrays: dict[str, Array] = {}
    for name, entry in header.items():
        if entry["dtype"] not in _DTYPES:
            raise IRError(f"holds elements of type {entry['dtype']}", where=f"{path}: {name!r}")
        begin, end = (start + offset for offset in entry["data_offsets"])
        arrays[name] = data[begin:end].view(_DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return with_absent(arrays, metadata)
