from __future__ import annotations

import resource
import subprocess
import sys
from pathlib import Path

import pytest
import typer.main

from imccompiler.cli import app

DOCUMENT = Path(__file__).parents[2] / "docs" / "cli.md"
HEAVY = ("numpy", "xdsl", "onnx", "onnxruntime", "ortools", "torch", "numba", "pydantic")


def commands() -> dict[str, list[str]]:
    """Options by command, as typer has them."""
    found: dict[str, list[str]] = {}
    for name, command in typer.main.get_command(app).commands.items():  # type: ignore[attr-defined]
        for sub, leaf in getattr(command, "commands", {"": command}).items():
            options = [o for p in leaf.params if p.param_type_name == "option" for o in p.opts]
            found[f"{name} {sub}".strip()] = options
    return found


def _children_cpu_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from imccompiler.cli import main\n"
        "try:\n    main(['--help'])\n"
        f"finally:\n    print([m for m in {HEAVY} if m in sys.modules], file=sys.stderr)\n"
    )
    best = 9.0
    for _ in range(3):
        began = _children_cpu_s()  # not wall time, which other processes prolong
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        best = min(best, _children_cpu_s() - began)
        assert done.stderr.strip() == "[]"
        assert "compile" in done.stdout
    assert best < 0.4


def test_every_command_and_option_is_documented() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    for name, options in commands().items():
        assert name.split()[-1] in text, name
        for option in options:
            if option not in ("--help", "-h"):
                assert f"`{option}" in text or f" {option} " in text, f"{name} {option}"


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_command_has_help(imcc, name: str) -> None:
    result = imcc(*name.split(), "--help")
    assert result.code == 0
    assert "Usage" in result.out


def test_version(imcc) -> None:
    result = imcc("--version")
    assert result.code == 0
    assert result.out.startswith("imcc ")
