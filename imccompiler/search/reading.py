"""Reading SPACE.yaml: every fault with its file and line, before anything is evaluated."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import TypeAdapter, ValidationError

from imccompiler.errors import HardwareError, ImcError, PassError, UserInputError
from imccompiler.hardware.keys import expand, section_at
from imccompiler.hardware.load import load, vary
from imccompiler.hardware.reading import Path_, read_file
from imccompiler.hardware.schema import Machine
from imccompiler.search.genes import NETWORK, OBJECTIVE, Genome
from imccompiler.search.pipelines import parsed_options, pipeline_of
from imccompiler.search.space import Space


@dataclass(frozen=True, slots=True)
class SpaceFile:
    """A space, and the folder that its paths start from."""

    space: Space
    folder: Path


def read_space(path: Path | str, *, seed: int | None = None) -> SpaceFile:
    """Read and check a space file.

    Args:
        path: The file; paths in it are relative to its folder.
        seed: In place of the file's.

    Raises:
        UserInputError: Anything is wrong, with file and line; all faults of the schema at once.
    """
    path = Path(path)
    try:
        document = read_file(path)
    except HardwareError as error:
        message = error.message.replace("a machine is", "a space is")
        raise UserInputError(message, where=error.where, hint=error.hint) from error
    data = dict(document.data) | ({} if seed is None else {"seed": seed})
    try:
        space = Space.model_validate(data)
    except ValidationError as error:
        raise _schema_error(error, document.where, str(path)) from error
    found = SpaceFile(space, path.absolute().parent)
    _Checker(found, document.where, str(path)).check()
    return found


def locate(name: str, folder: Path) -> str:
    """A name as it is, or a file's path from the space's folder."""
    file = folder / name
    return str(file) if file.is_file() else name


@dataclass(frozen=True, slots=True)
class _Checker:
    """Checks what the schema cannot know: names, keys, values, files."""

    source: SpaceFile
    where: Mapping[Path_, str]
    file: str

    def check(self) -> None:
        space, folder = self.source.space, self.source.folder
        for i, name in enumerate(space.networks):
            self._network(name, ("networks", i))
        for given, path in (
            (space.data.inputs if space.data else None, ("data", "inputs")),
            (space.calibration, ("calibration",)),
        ):
            if given not in (None, "digits") and not (folder / given).is_file():
                raise UserInputError(f"there is no file {given!r}", where=self._at(path))
        self._hardware()
        self._passes()
        if not Genome.of(space).genes:
            raise UserInputError("nothing varies", where=self.file)

    def _network(self, name: str, path: Path_) -> None:
        from imccompiler import models  # noqa: PLC0415

        if not (self.source.folder / name).is_file() and name not in models.names():
            raise UserInputError(
                f"there is no network or file {name!r}",
                where=self._at(path),
                hint=f"networks are {', '.join(models.names())}",
            )

    def _hardware(self) -> None:
        space = self.source.space.hardware
        try:
            base = load(locate(space.base, self.source.folder))
        except HardwareError as error:
            raise self._moved(error, ("hardware", "base")) from error
        try:
            vary(base, space.set)
        except HardwareError as error:
            raise self._moved(error, ("hardware", "set")) from error
        taken: dict[Path_, str] = {}
        for key, values in space.fields.items():
            self._key(base, key, values, ("hardware", "fields", key), key, taken)
        for name, choices in space.variants.items():
            if name in {*space.fields, *self.source.space.mapping.passes, NETWORK, OBJECTIVE}:
                raise UserInputError(
                    f"the name {name!r} stands for something else",
                    where=self._at(("hardware", "variants", name)),
                )
            for label, overrides in choices.items():
                for key, value in overrides.items():
                    path = ("hardware", "variants", name, label, key)
                    self._key(base, key, (value,), path, name, taken)

    def _key(
        self,
        base: Machine,
        key: str,
        values: tuple[Any, ...],
        path: Path_,
        gene: str,
        taken: dict[Path_, str],
    ) -> None:
        """Check that a key exists, can have the values, and is varied by one gene only."""
        try:
            paths = expand(key, tuple(base.core_kinds))
        except HardwareError as error:
            raise self._moved(error, path) from error
        for full in paths:
            if taken.setdefault(full, gene) != gene:
                raise UserInputError(
                    f"{key!r} is also set by {taken[full]!r}", where=self._at(path)
                )
        for i, value in enumerate(values):
            for full in paths:
                if fault := _value_fault(full, value):
                    raise UserInputError(
                        f"{key!r} cannot be {value!r}: {fault}", where=self._at((*path, i))
                    )

    def _passes(self) -> None:
        mapping = self.source.space.mapping
        try:
            pipeline = pipeline_of(mapping.pipeline)
        except PassError as error:
            raise self._moved(error, ("mapping", "pipeline")) from error
        for key, values in mapping.passes.items():
            for i, value in enumerate(values):
                try:
                    parsed_options(pipeline, {key: value})
                except PassError as error:
                    raise self._moved(error, ("mapping", "passes", key, i)) from error

    def _moved(self, error: ImcError, path: Path_) -> UserInputError:
        text = f"{error.where}: {error.message}" if error.where else error.message
        return UserInputError(text, where=self._at(path), hint=error.hint)

    def _at(self, path: Path_) -> str:
        return _place(path, self.where, self.file)


def _value_fault(path: Path_, value: Any) -> str | None:
    """Why a key of the machine cannot have a value, looked at by itself."""
    field = None
    for depth, part in enumerate(path):
        section = section_at(path[:depth])
        if isinstance(part, str) and section is not None and part in section.model_fields:
            field = section.model_fields[part]
    if field is None or isinstance(path[-1], int):
        return None  # a whole section or a list entry: checked with the machine it makes
    annotation: Any = field.annotation
    for item in field.metadata:
        annotation = Annotated[annotation, item]
    try:
        TypeAdapter(annotation).validate_python(value)
    except ValidationError as error:
        message = str(error.errors(include_url=False)[0]["msg"])
        return message[0].lower() + message[1:]
    return None


def _schema_error(error: ValidationError, where: Mapping[Path_, str], file: str) -> UserInputError:
    faults = sorted({_fault(details, where, file) for details in error.errors(include_url=False)})
    if len(faults) == 1:
        return UserInputError(faults[0][1], where=faults[0][0])
    lines = "\n  ".join(f"{place}: {text}" for place, text in faults)
    return UserInputError(f"{len(faults)} errors\n  {lines}", where=file)


def _fault(details: Any, where: Mapping[Path_, str], file: str) -> tuple[str, str]:
    path: Path_ = tuple(details["loc"])
    key = ".".join(map(str, path)) or "the space"
    message = str(details["msg"]).removeprefix("Value error, ")
    if details["type"] == "extra_forbidden":
        return _place(path, where, file), f"unknown key `{key}`"
    if details["type"] == "missing":
        return _place(path, where, file), f"key `{key}` is missing"
    return _place(path, where, file), f"`{key}`: {message[0].lower()}{message[1:]}"


def _place(path: Path_, where: Mapping[Path_, str], file: str) -> str:
    """File and line of a key, or of the nearest section around it."""
    return next((where[path[:n]] for n in range(len(path), -1, -1) if path[:n] in where), file)
