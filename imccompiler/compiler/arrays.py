"""Arrays in and out: npz files with one array a port, and seeded inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import UserInputError
from imccompiler.program.artifact import Port

Arrays = dict[str, NDArray[Any]]


def read_arrays(path: Path) -> Arrays:
    """All arrays of an npz file.

    Raises:
        UserInputError: The file cannot be read, or is not an npz file of plain arrays.
    """
    try:
        loaded = np.load(path, allow_pickle=False)
        if not isinstance(loaded, np.ndarray):
            with loaded as arrays:
                return dict(arrays)
    except (OSError, ValueError, BadZipFile, EOFError) as error:
        raise UserInputError(f"cannot be read as npz: {error}", where=str(path)) from error
    raise UserInputError(
        "holds one array without a name",
        where=str(path),
        hint="write it with np.savez(file, port=array)",
    )


def write_arrays(path: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write arrays to an npz file, whole or not at all.

    Raises:
        UserInputError: The file cannot be written.
    """
    new = path.with_name(f".{path.name}.new")
    try:
        with new.open("wb") as file:
            np.savez(file, allow_pickle=False, **arrays)
        new.replace(path)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise UserInputError(f"cannot be written: {error}", where=str(path)) from error


def batched(arrays: Mapping[str, NDArray[Any]], ports: Sequence[Port]) -> Arrays:
    """Inputs of shape (samples, *port without its batch axis) or of one sample, as samples first.

    Args:
        arrays: By port name; each of the port's own shape (one sample) or with further samples
            along a first axis, in place of a batch axis of size 1 or before it.
        ports: The program's inputs.

    Raises:
        UserInputError: A port has no array, an array no port, or a shape does not fit.
    """
    names = {port.name for port in ports}
    if unknown := sorted(set(arrays) - names):
        raise UserInputError(
            f"the network has no input {unknown[0]!r}", hint=f"it has {', '.join(sorted(names))}"
        )
    if missing := sorted(names - set(arrays)):
        raise UserInputError(f"there is no array for the network's input {missing[0]!r}")
    result = {port.name: _samples(arrays[port.name], port) for port in ports}
    if len({len(a) for a in result.values()}) > 1:
        sizes = ", ".join(f"{name} {len(a)}" for name, a in result.items())
        raise UserInputError(f"inputs have different numbers of samples: {sizes}")
    return result


def _samples(array: NDArray[Any], port: Port) -> NDArray[Any]:
    shape = port.shape
    if not np.issubdtype(array.dtype, np.number) and array.dtype != np.bool_:
        raise UserInputError(f"input {port.name!r} has type {array.dtype}, not a number")
    if array.shape == shape:
        return array[None]
    if array.ndim == len(shape) and shape[:1] == (1,) and array.shape[1:] == shape[1:]:
        return array[:, None]
    if array.ndim == len(shape) + 1 and array.shape[1:] == shape:
        return array
    raise UserInputError(
        f"input {port.name!r} has shape {array.shape}, which does not fit {shape}",
        hint="give one sample, or samples along a first axis",
    )
