"""A space with everything that it names, loaded: what an evaluation works on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.compiler.arrays import Arrays, read_arrays
from imccompiler.compiler.sources import network_of
from imccompiler.errors import UserInputError
from imccompiler.frontend import Network
from imccompiler.hardware.load import content_hash, load, vary
from imccompiler.hardware.schema import Machine
from imccompiler.search.genes import Genome
from imccompiler.search.reading import SpaceFile, locate
from imccompiler.search.space import Data, Space

DIGITS = "digits"
_NETWORKS = 8  # kept in memory by each process


@dataclass(frozen=True, slots=True)
class Payload:
    """A space in text, to be sent to workers; its paths must mean the same there.

    `digest` is over all that the space names, as the driver found it.
    """

    space: str
    folder: str
    digest: str

    @staticmethod
    def of(source: SpaceFile) -> Payload:
        """The payload of a space, its files as they are now."""
        digest = _load(source.space, source.folder).space_hash()
        return Payload(source.space.model_dump_json(), str(source.folder), digest)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Labelled inputs: arrays by port name, classes of shape (samples,)."""

    inputs: Arrays
    labels: NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class Problem:
    """A space with what it names.

    Attributes:
        space: The space.
        folder: Where its paths start.
        genome: Its coding.
        machine: The base machine, with what is set on it.
        samples: What accuracy is measured on.
        calibration: Inputs by port name, for quantisation.
        contents: SHA-256 of each thing that was loaded, by what it is.
    """

    space: Space
    folder: Path
    genome: Genome
    machine: Machine
    samples: Samples | None
    calibration: Arrays | None
    contents: Mapping[str, str]

    def network(self, name: str) -> Network:
        """A network of the space, imported once a process."""
        return _network(locate(name, self.folder), self.contents[f"network {name}"])

    def identity(self) -> dict[str, Any]:
        """All that results depend on, as plain data."""
        return {"space": self.space.model_dump(mode="json"), "contents": dict(self.contents)}

    def space_hash(self) -> str:
        """SHA-256 of `identity`."""
        text = json.dumps(self.identity(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()


@lru_cache(maxsize=4)
def problem_of(payload: Payload) -> Problem:
    """The problem of a payload, loaded once a process.

    Raises:
        ImcError: A file has vanished, has changed or cannot be used.
    """
    problem = _load(Space.model_validate_json(payload.space), Path(payload.folder))
    if problem.space_hash() != payload.digest:
        raise UserInputError("files of the space have changed", where=payload.folder)
    return problem


def _load(space: Space, folder: Path) -> Problem:
    machine = vary(load(locate(space.hardware.base, folder)), space.hardware.set)
    samples = None if space.data is None else _samples(space.data, folder)
    calibration = None if space.calibration is None else _calibration(space.calibration, folder)
    contents = {f"network {name}": _digest(name, folder) for name in space.networks}
    contents["machine"] = content_hash(machine)
    if samples is not None:
        contents["data"] = arrays_hash({**samples.inputs, "labels": samples.labels})
    if calibration is not None:
        contents["calibration"] = arrays_hash(calibration)
    genome = Genome.of(space)
    return Problem(space, folder, genome, machine, samples, calibration, contents)


def arrays_hash(arrays: Mapping[str, NDArray[Any]]) -> str:
    """SHA-256 over names, types, shapes and bytes."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


@lru_cache(maxsize=_NETWORKS)
def _network(source: str, digest: str) -> Network:
    del digest  # a changed file is another network
    return network_of(source, {}, shapes_only=False)[0]


def _digest(name: str, folder: Path) -> str:
    from imccompiler import models  # noqa: PLC0415

    file = folder / name
    if file.is_file():
        content = file.read_bytes()
    else:
        content = models.build(name).SerializeToString(deterministic=True)
    return hashlib.sha256(content).hexdigest()


def _samples(data: Data, folder: Path) -> Samples:
    if data.inputs == DIGITS:
        from imccompiler.models import digits  # noqa: PLC0415

        images, labels = digits.heldout()
        arrays: Arrays = {"image": images}
    else:
        arrays = read_arrays(folder / data.inputs)
        if data.labels not in arrays:
            raise UserInputError(f"has no array {data.labels!r}", where=str(folder / data.inputs))
        labels = arrays.pop(data.labels)
    count = data.samples or len(labels)
    if count > len(labels):
        raise UserInputError(f"has {len(labels)} samples, not {count}", where=data.inputs)
    return Samples({name: array[:count] for name, array in arrays.items()}, labels[:count])


def _calibration(given: str, folder: Path) -> Arrays:
    if given == DIGITS:
        from imccompiler.models import digits  # noqa: PLC0415

        return {"image": digits.calibration()}
    return read_arrays(folder / given)
