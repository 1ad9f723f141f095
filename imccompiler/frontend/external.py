"""External data: the part of a file that holds a tensor, mapped into memory.

Only regular files inside the model's folder are read, links followed, so that a model from a
stranger cannot make its reader open other files.
"""

from __future__ import annotations

import math
import stat
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import ModelError

if TYPE_CHECKING:
    from onnx import TensorProto


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a tensor's values lie: `length` bytes of the file at `location` from `offset` on."""

    location: str
    offset: int
    length: int


def extent_of(tensor: TensorProto, size_bytes: int) -> Extent:
    """Where an external tensor says that its values lie.

    Args:
        tensor: Whose values lie in another file.
        size_bytes: Of the values, by shape and type.

    Raises:
        ModelError: The place is not possible, or its length is not that of the values.
    """
    where = f"tensor {tensor.name!r}"
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    if not location:
        raise ModelError("does not say in which file its values are", where=where)
    offset = _integer(entries.get("offset") or "0", "offset", where)
    length = _integer(entries.get("length") or str(size_bytes), "length", where)
    if length != size_bytes:
        raise ModelError(
            f"says that {length:,} bytes of {location!r} hold its values, which take "
            f"{size_bytes:,}",
            where=where,
            hint="export the model and its external data again",
        )
    return Extent(location, offset, length)


def find_file(location: str, folder: Path, where: str) -> Path:
    """The file of a location, which has to lie in the model's folder.

    Raises:
        ModelError: It lies elsewhere, is no regular file, or has a second name elsewhere.
        FileNotFoundError: There is no such file.
    """
    hint = "keep external data in the model's folder"
    parts = (PurePosixPath(location), PureWindowsPath(location))
    if "\0" in location or any(p.is_absolute() or ".." in p.parts for p in parts):
        raise ModelError(
            f"cannot be read: {location!r} is not a path inside the model's folder",
            where=where,
            hint=hint,
        )
    path = folder / location
    resolved = path.resolve(strict=True)
    if not resolved.is_relative_to(folder.resolve()):
        message = f"cannot be read: {location!r} is a link out of the model's folder"
        raise ModelError(message, where=where, hint=hint)
    status = resolved.stat()
    if not stat.S_ISREG(status.st_mode):
        raise ModelError(f"cannot be read: {location!r} is not a file", where=where, hint=hint)
    if status.st_nlink > 1:  # its other name may be anywhere
        message = f"cannot be read: {location!r} is a hard link"
        raise ModelError(message, where=where, hint="copy the file in place of linking it")
    return resolved


def map_values(
    extent: Extent, path: Path, dtype: np.dtype[Any], shape: tuple[int, ...], where: str
) -> NDArray[Any]:
    """The values as a read-only view of the file.

    Raises:
        ModelError: The file is too short.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    if extent.offset + extent.length > size:
        raise ModelError(
            f"its values end at byte {extent.offset + extent.length:,} of {extent.location!r}, "
            f"which has {size:,} bytes",
            where=where,
            hint="is the file cut off? fetch or export it again",
        )
    if not math.prod(shape):
        return np.empty(shape, dtype)
    # Values may begin at any byte, and most uses need them aligned: then they are copied.
    raw = np.memmap(path, np.uint8, "r", extent.offset, (extent.length,))
    values = raw.view(dtype.newbyteorder("<")).reshape(shape)
    return np.asarray(values if values.flags.aligned else np.require(values, None, "A"))


def check_disjoint(extents: Iterable[tuple[str, Extent]]) -> None:
    """Check that no two tensors share a part of their values; to share all of them is possible.

    Raises:
        ModelError: Two do.
    """
    files: dict[str, list[tuple[int, int, str]]] = defaultdict(list)
    for name, e in extents:
        if e.length:
            files[str(PurePosixPath(e.location))].append((e.offset, e.offset + e.length, name))
    for location, spans in files.items():
        spans.sort()
        for (begin, end, name), (next_begin, next_end, other) in pairwise(spans):
            if next_begin < end and (begin, end) != (next_begin, next_end):
                raise ModelError(
                    f"its values in {location!r} overlap with those of {name!r}",
                    where=f"tensor {other!r}",
                    hint="export the model and its external data again",
                )


def _integer(text: str, key: str, where: str) -> int:
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise ModelError(
            f"has the {key} {text!r} in its external data",
            where=where,
            hint=f"{key}s are counts of bytes from 0 on; export the model again",
        )
    return int(text)
