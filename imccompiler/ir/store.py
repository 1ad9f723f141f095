"""The weight store: named arrays beside a module, kept in a safetensors file."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import IRError

Array = NDArray[Any]


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
        self._entries[key] = value
        return key

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
            value = np.ascontiguousarray(self._entries[key])
            digest.update(f"{key}\0{value.dtype.str}\0{value.shape}\0".encode())
            digest.update(value.data if value.size else b"")
        return digest.hexdigest()

    def save(self, path: Path) -> None:
        """Write all entries to a safetensors file."""
        from safetensors.numpy import save_file  # noqa: PLC0415

        save_file({k: np.ascontiguousarray(v) for k, v in self._entries.items()}, path)

    @staticmethod
    def load(path: Path) -> WeightStore:
        """Read a safetensors file.

        Raises:
            IRError: The file is missing or damaged.
        """
        from safetensors import SafetensorError  # noqa: PLC0415
        from safetensors.numpy import load_file  # noqa: PLC0415

        try:
            return WeightStore(load_file(path))
        except (OSError, SafetensorError) as error:
            raise IRError(f"cannot be read: {error}", where=str(path)) from error
