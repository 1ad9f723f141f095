from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from imccompiler.compiler import Compilation
from imccompiler.compiler.folder import (
    REPORT,
    output_folder,
    read_report,
    update_report,
    write_report,
)
from imccompiler.errors import UserInputError


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


def test_folder_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    with output_folder(tmp_path / "out") as new:
        (new / REPORT).write_text("{}")
        assert not (tmp_path / "out").exists()
    assert names(tmp_path) == ["out"]
    assert names(tmp_path / "out") == [REPORT]


def test_error_leaves_the_earlier_folder_and_nothing_else(tmp_path: Path) -> None:
    with output_folder(tmp_path / "out") as new:
        (new / REPORT).write_text("old")

    def interrupted() -> None:
        with output_folder(tmp_path / "out") as new:
            (new / REPORT).write_text("new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert names(tmp_path) == ["out"]
    assert (tmp_path / "out" / REPORT).read_text() == "old"


def test_disk_that_is_full_is_not_our_defect(tmp_path: Path) -> None:
    def write() -> None:
        with output_folder(tmp_path / "out"):
            raise OSError(28, "No space left on device")

    with pytest.raises(UserInputError, match="No space left"):
        write()
    assert names(tmp_path) == []


def test_own_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    with output_folder(tmp_path / "out") as new:
        (new / REPORT).write_text("old")
        (new / "left-over").write_text("")
    with output_folder(tmp_path / "out") as new:
        (new / REPORT).write_text("new")
    assert names(tmp_path / "out") == [REPORT]
    assert (tmp_path / "out" / REPORT).read_text() == "new"


def test_foreign_folder_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(UserInputError, match="holds other things"), output_folder(tmp_path):
        pytest.fail("must not be entered")
    assert names(tmp_path) == ["thesis.tex"]


def test_file_in_the_way_and_absent_parent_are_errors(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserInputError, match="not a folder"), output_folder(tmp_path / "file"):
        pass
    with pytest.raises(UserInputError, match="no such folder"), output_folder(tmp_path / "a/b"):
        pass


def test_parent_that_cannot_be_written_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_options: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "mkdtemp", refuse)
    with pytest.raises(UserInputError, match="cannot be written"), output_folder(tmp_path / "o"):
        pass


def test_report_reads_back_equal(compiled: Compilation, folder: Path) -> None:
    assert read_report(folder) == compiled.report


def test_update_puts_a_section_in(compiled: Compilation, tmp_path: Path) -> None:
    write_report(tmp_path, compiled.report)
    update_report(tmp_path, notes=("something",))
    assert read_report(tmp_path).notes == ("something",)
    assert names(tmp_path) == [REPORT]


@pytest.mark.parametrize(
    ("content", "message"),
    [(None, "has no report"), ("{", "cannot be read"), ('{"format_version": 99}', "version 99")],
)
def test_folder_without_a_valid_report(tmp_path: Path, content: str | None, message: str) -> None:
    if content is not None:
        (tmp_path / REPORT).write_text(content)
    with pytest.raises(UserInputError, match=message):
        read_report(tmp_path)


def test_report_with_an_unknown_key_is_damaged(folder: Path, tmp_path: Path) -> None:
    text = (folder / REPORT).read_text().replace('"seed"', '"sead"', 1)
    (tmp_path / REPORT).write_text(text)
    with pytest.raises(UserInputError, match="damaged"):
        read_report(tmp_path)
