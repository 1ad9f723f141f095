"""What `imcc inspect` shows of a compiled folder."""

from __future__ import annotations

from difflib import get_close_matches, unified_diff
from fnmatch import fnmatchcase
from pathlib import Path

from rich.console import Group, RenderableType

from imccompiler.errors import UserInputError
from imccompiler.report import table
from imccompiler.report.schema import Layer, Report

passes = table.passes
coverage = table.coverage


def summary(report: Report) -> RenderableType:
    """Figures, layers and passes."""
    return Group(table.summary(report), table.layers(report), table.passes(report))


def layers(report: Report, name: str | None) -> tuple[Layer, ...]:
    """The layers of a name or glob; all without.

    Raises:
        UserInputError: No layer has that name.
    """
    if name is None:
        return report.layers
    exact = tuple(layer for layer in report.layers if layer.name == name)
    found = exact or tuple(layer for layer in report.layers if fnmatchcase(layer.name, name))
    if not found:
        known = [layer.name for layer in report.layers]
        raise UserInputError(
            f"no layer is named {name!r}",
            hint=f"there are {', '.join(get_close_matches(name, known) or known[:8])}",
        )
    return found


def layer_tables(report: Report, found: tuple[Layer, ...], *, whole: bool) -> RenderableType:
    """All about each of the layers, or one row each."""
    if whole:
        return Group(*(table.layer(layer) for layer in found))
    return table.layers(report)


def ir_text(folder: Path, name: str) -> str:
    """The IR after a pass (`input`: before all).

    Raises:
        UserInputError: No IR of that pass was kept.
    """
    return _dump(folder, name)[0].read_text(encoding="utf-8")


def ir_diff(folder: Path, name: str) -> str:
    """What a pass changed in the IR, as a unified diff.

    Raises:
        UserInputError: No IR of that pass, or of the one before it, was kept.
    """
    path, before = _dump(folder, name)
    if before is None:
        raise UserInputError("is the first IR, with nothing to compare", where=path.name)
    old, new = (p.read_text(encoding="utf-8").splitlines(keepends=True) for p in (before, path))
    return "".join(unified_diff(old, new, before.name, path.name, n=1))


def _dump(folder: Path, name: str) -> tuple[Path, Path | None]:
    """The file of a pass, by name or number, and the one before it."""
    files = sorted((folder / "ir").glob("*.mlir"))
    for before, path in zip([None, *files], files, strict=False):
        number, _, pass_name = path.stem.partition("-")
        if name in (pass_name, number, path.stem):
            return path, before
    known = ", ".join(path.stem.partition("-")[2] for path in files)
    raise UserInputError(
        f"no IR after a pass named {name!r}", where=str(folder), hint=f"there is {known}"
    )
