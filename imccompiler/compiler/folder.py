"""The output folder: written beside its place, and put there only when it is complete."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from imccompiler.errors import UserInputError

REPORT = "report.json"


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
def output_folder(path: Path) -> Iterator[Path]:
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
    finally:
        shutil.rmtree(room, ignore_errors=True)
