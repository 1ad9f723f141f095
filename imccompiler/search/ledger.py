"""`ledger.jsonl`: all trials of a study, appended and never changed.

A header line (what the study is), then one line a trial in the order in which they ended, each
on the disk before the next step. A line that a crash cut short is dropped at the next opening.
One driver at a time holds the file's lock, which the system releases when that driver ends.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO, Self

from imccompiler.errors import UserInputError
from imccompiler.search.trial import Trial, from_json, to_json

LEDGER = "ledger.jsonl"
FORMAT_VERSION = 1


class Ledger:
    """An open ledger; a context manager, so that its lock ends with the block.

    Args:
        folder: The study's folder; made if it is not there.
        space_hash: Of the study, see `Problem.space_hash`.
        identity: What the hash is over, to say what differs.
        versions: Of the software; a line notes where they change.

    Raises:
        UserInputError: The folder holds another study or a damaged ledger, another driver has
            it, or it cannot be written.
    """

    def __init__(
        self,
        folder: Path,
        space_hash: str,
        identity: Mapping[str, Any],
        versions: Mapping[str, str],
    ) -> None:
        self.path = folder / LEDGER
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("a+b")
        except OSError as error:
            raise UserInputError(f"cannot be written: {error}", where=str(folder)) from error
        try:
            _lock(self._file, self.path)
            header = {"format": FORMAT_VERSION, "space_hash": space_hash, **identity}
            self.trials = self._open(header, dict(versions))
        except BaseException:
            self._file.close()
            raise

    def append(self, trial: Trial) -> None:
        """Add a trial; it is on the disk when this returns.

        Raises:
            UserInputError: The disk is full or gone.
        """
        self._write(to_json(trial))
        self.trials[trial.number] = trial

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def _open(self, header: dict[str, Any], versions: dict[str, str]) -> dict[int, Trial]:
        """Trials by number; writes a header if there is none."""
        lines = self._whole_lines()
        if not lines:
            self._write({**header, "versions": versions})
            _sync_folder(self.path.parent)
            return {}
        held = lines[0]
        _check_header(held, header, self.path)
        trials: dict[int, Trial] = {}
        for number, line in enumerate(lines[1:], start=2):
            if "versions" in line:
                held = line
                continue
            try:
                trial = from_json(line)
            except UserInputError as error:
                raise UserInputError(error.message, where=f"{self.path}:{number}") from error
            trials[trial.number] = trial
        if held["versions"] != versions:
            self._write({"versions": versions})
        return trials

    def _whole_lines(self) -> list[dict[str, Any]]:
        """All lines; the file is cut behind the last one that is whole."""
        self._file.seek(0)
        content = self._file.read()
        whole, newline, torn = content.rpartition(b"\n")
        if torn:
            self._file.truncate(len(whole) + len(newline))
            os.fsync(self._file.fileno())
        lines: list[dict[str, Any]] = []
        for number, text in enumerate(whole.splitlines(), start=1):
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            if not isinstance(line, dict):
                raise UserInputError("is damaged", where=f"{self.path}:{number}")
            lines.append(line)
        return lines

    def _write(self, data: Mapping[str, Any]) -> None:
        line = json.dumps(data, allow_nan=False, separators=(",", ":")) + "\n"
        try:
            self._file.write(line.encode())
            self._file.flush()
            os.fsync(self._file.fileno())
        except OSError as error:
            raise UserInputError(f"cannot be written: {error}", where=str(self.path)) from error


def _lock(file: BinaryIO, path: Path) -> None:
    import fcntl  # noqa: PLC0415

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise UserInputError(
            "another search is at work on this study",
            where=str(path),
            hint="wait for it, or name another folder",
        ) from error


def _check_header(held: Mapping[str, Any], header: Mapping[str, Any], path: Path) -> None:
    if held.get("format") != FORMAT_VERSION or "versions" not in held:
        raise UserInputError(
            f"has no header of format {FORMAT_VERSION}", where=f"{path}:1", hint="is it a ledger?"
        )
    if held["space_hash"] == header["space_hash"]:
        return
    differing = [
        f"{section}.{key}" if section == "space" else key
        for section in ("space", "contents")
        for key in {**held.get(section, {}), **header[section]}
        if held.get(section, {}).get(key) != header[section].get(key)
    ]
    raise UserInputError(
        f"holds a study of another space: {', '.join(differing)} differ",
        where=str(path.parent),
        hint="name another folder, or give the space as it was",
    )


def _sync_folder(folder: Path) -> None:
    """Make a new file's entry durable."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
