"""README and CONTRIBUTING say what is so: code runs, commands exist, links lead somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer.main

from imccompiler.cli import app

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
README, CONTRIBUTING = (page.read_text(encoding="utf-8") for page in PAGES[:2])
LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def imcc_commands(text: str) -> list[str]:
    lines = [line for block in blocks(text, "sh") for line in block.splitlines()]
    return [line for line in lines if line.startswith("imcc ")]


def test_the_readme_shows_commands() -> None:
    assert len(imcc_commands(README)) >= 5


@pytest.mark.parametrize("command", imcc_commands(README))
def test_commands_of_the_readme_can_be_read(command: str) -> None:
    _, name, *arguments = shlex.split(command, comments=True)
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    commands[name].make_context(name, arguments)  # raises what the user would be told


def test_the_example_of_the_readme_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (example,) = blocks(README, "python")
    exec(compile(example, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102
    printed = capsys.readouterr().out
    assert "bit-exact: True" in printed
    (accuracy,) = re.findall(r"accuracy (\d\.\d+)", printed)
    assert float(accuracy) > 0.9


def test_the_pass_of_contributing_is_short_and_that_of_the_manual() -> None:
    (example,) = blocks(CONTRIBUTING, "python")
    page = ROOT / "docs" / "writing-a-pass.md"
    (manual,) = (b for b in blocks(page.read_text(encoding="utf-8"), "python") if "Grain" in b)
    bare = re.sub(r" +# .*", "", example)
    assert bare == manual
    assert len([line for line in example.splitlines() if line]) <= 20


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files(page: Path) -> None:
    for target in LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("text", [README, CONTRIBUTING], ids=["README", "CONTRIBUTING"])
def test_make_targets_and_paths_exist(text: str) -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = re.findall(r"(?:^|`)make ([a-z]+)", text, re.MULTILINE)
    assert targets
    for target in targets:
        assert re.search(rf"^{target}:", makefile, re.MULTILINE), target
    for path in re.findall(
        r"\b(?:tests|benchmarks|examples|passes|models|imccompiler)/[\w./*]+", text
    ):
        assert list(ROOT.glob(path.rstrip("./"))), path


def test_figures_of_the_readme_are_there() -> None:
    shown = re.findall(r"<!-- from: (.+?) -->\n(.*?)<!-- end -->", README, re.DOTALL)
    assert len(shown) == 4
    for command, output in shown:
        assert len(output.splitlines()) > 2, f"run make figures: {command}"
