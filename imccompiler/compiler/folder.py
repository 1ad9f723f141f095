"""The output folder: written beside its place, and put there only when it is complete."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from imccompiler.errors import UserInputError
from imccompiler.report.schema import FORMAT_VERSION, Report

REPORT = "report.json"
PROGRAM = "program"
HARDWARE = "hardware.yaml"
MODEL = "model.onnx"
IR = "ir"
TRACE = "trace.json"
PAGE = "report.html"


def check_output(path: Path) -> Path:
    """The absolute output path, if a folder may be written there.

    Raises:
        UserInputError: The parent is not a folder, or something that is not ours is in the way.
    """
    path = path.absolute()
    if not path.parent.is_dir():
        raise UserInputError(
            "there is no such folder", where=str(path.parent), hint=f"mkdir -p {path.parent}"
        )
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise UserInputError("is in the way and is not a folder", where=str(path))
    if path.exists() and any(path.iterdir()) and not (path / REPORT).is_file():
        raise UserInputError(
            f"holds other things: a folder is replaced only if it has a {REPORT} of an earlier run",
            where=str(path),
            hint="name another output folder, or remove this one",
        )
    return path


@contextmanager
def output_folder(path: Path) -> Generator[Path]:
    """An empty folder to write to, which takes the place of `path` on leaving without an error.

    Raises:
        UserInputError: As `check_output`, or the parent cannot be written to.
    """
    path = check_output(path)
    try:
        room = Path(tempfile.mkdtemp(prefix=f".{path.name}.", dir=path.parent))
    except OSError as error:
        raise UserInputError(f"cannot be written to: {error}", where=str(path.parent)) from error
    try:
        new, old = room / "new", room / "old"
        new.mkdir()
        yield new
        if path.exists():
            path.rename(old)
        try:
            new.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    except OSError as error:
        raise UserInputError(f"cannot be written: {error}", where=str(path)) from error
    finally:
        shutil.rmtree(room, ignore_errors=True)


def write_report(folder: Path, report: Report) -> None:
    """Write report.json, whole or not at all.

    Raises:
        UserInputError: The folder cannot be written to.
    """
    new = folder / f".{REPORT}.new"
    try:
        new.write_text(report.model_dump_json(indent=2) + "\n", encoding="utf-8")
        new.replace(folder / REPORT)
    except OSError as error:
        with suppress(OSError):
            new.unlink(missing_ok=True)
        raise UserInputError(f"cannot be written to: {error}", where=str(folder)) from error


def read_report(folder: Path) -> Report:
    """The report of a compiled folder.

    Raises:
        UserInputError: There is none, or it is damaged or of another version.
    """
    path = folder / REPORT
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        hint = "give a folder that `imcc compile -o` wrote"
        raise UserInputError(f"has no {REPORT}", where=str(folder), hint=hint) from error
    except (OSError, ValueError) as error:
        raise UserInputError(f"cannot be read: {error}", where=str(path)) from error
    found = data.get("format_version") if isinstance(data, dict) else None
    if found != FORMAT_VERSION:
        raise UserInputError(
            f"has format version {found}, this is imcc for {FORMAT_VERSION}",
            where=str(path),
            hint="compile again",
        )
    try:
        return Report.model_validate_json(json.dumps(data))
    except ValidationError as error:
        raise UserInputError(f"is damaged: {error}", where=str(path)) from error


def update_report(folder: Path, **sections: Any) -> Report:
    """Put sections into a folder's report; returns the report.

    Raises:
        UserInputError: The folder has no valid report or cannot be written to.
    """
    report = read_report(folder).model_copy(update=sections)
    write_report(folder, report)
    return report
