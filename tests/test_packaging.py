"""The package as it is installed: its list of packages, its guards, its wheel."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import version
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
LINKED = {"imccompiler.passes": "passes", "imccompiler.models": "models"}
SOURCES = ("imccompiler", "passes", "models")
NO_CACHES = shutil.ignore_patterns("__pycache__")


def run_python(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run code in an interpreter of its own that finds modules of `folder` first."""
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def normal_name(name: str) -> str:
    """A distribution's name in its normal form (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_path(file: Path) -> PurePosixPath:
    """Where a source file stands once it is installed."""
    parts = file.relative_to(ROOT).parts
    return PurePosixPath(*parts if parts[0] == "imccompiler" else ("imccompiler", *parts))


def source_files(pattern: str) -> set[PurePosixPath]:
    """Installed paths of all files of that pattern; each once, whatever leads to it."""
    files = {file.resolve() for folder in SOURCES for file in (ROOT / folder).rglob(pattern)}
    return {installed_path(file) for file in files}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheel, built from a copy so that nothing is left in the source tree."""
    copy = tmp_path_factory.mktemp("source")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    for name in SOURCES:
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=NO_CACHES)
    built = run_python("from setuptools.build_meta import build_wheel; build_wheel('dist')", copy)
    assert built.returncode == 0, built.stderr
    (found,) = (copy / "dist").glob("*.whl")
    return found


def test_every_package_is_listed() -> None:
    on_disk = {".".join(path.parent.parts) for path in source_files("__init__.py")}
    assert set(SETUPTOOLS["packages"]) == on_disk
    assert len(SETUPTOOLS["packages"]) == len(on_disk)


def test_a_folder_with_code_is_a_package() -> None:
    folders = {path.parent for path in source_files("*.py")}
    assert folders == {path.parent for path in source_files("__init__.py")}


@pytest.mark.parametrize(("package", "folder"), LINKED.items())
def test_links_lead_where_the_mapping_does(package: str, folder: str) -> None:
    assert SETUPTOOLS["package-dir"][package] == folder
    link = ROOT.joinpath(*package.split("."))
    assert link.is_symlink()
    assert not link.readlink().is_absolute()
    assert link.resolve() == (ROOT / folder).resolve()


@pytest.mark.parametrize(("package", "folder"), LINKED.items())
def test_import_by_the_folders_name_is_refused(package: str, folder: str) -> None:
    refused = run_python(f"import {folder}", ROOT)
    assert refused.returncode != 0
    assert re.search(rf"^ImportError: .*\b{package}\b", refused.stderr, re.MULTILINE)
    assert run_python(f"import {package}", ROOT).returncode == 0


def test_one_version_everywhere() -> None:
    expected = PYPROJECT["project"]["version"]
    assert version("imccompiler") == expected
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^version: (.+)$", citation, re.MULTILINE) == [expected]
    changes = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.findall(r"^## \[?([0-9.]+)", changes, re.MULTILINE)[0] == expected


def test_constraints_pin_exactly_and_name_no_place() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", pin) for pin in pins)
    names = [normal_name(pin.split("==")[0]) for pin in pins]
    assert len(names) == len(set(names))
    assert "torch==2.13.0" in pins
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"]
    wanted = project["dependencies"] + extras["search"] + extras["accuracy"] + extras["dev"]
    required = {normal_name(re.split(r"[^A-Za-z0-9_.-]", text)[0]) for text in wanted}
    assert required - {"imccompiler"} <= set(names)


def test_wheel_holds_all_code_and_data(wheel: Path) -> None:
    data = ("*.py", "*.yaml", "*.onnx", "*.npz", "*.csv", "*.json", "*.html", "*.css", "*.js")
    expected = {path for pattern in (*data, "py.typed") for path in source_files(pattern)}
    with zipfile.ZipFile(wheel) as archive:
        names = {PurePosixPath(name) for name in archive.namelist()}
    inside = {name for name in names if name.parts[0] == "imccompiler"}
    assert inside == expected
    assert {path.suffix for path in inside} >= {".yaml", ".onnx", ".npz", ".typed", ".html"}
    assert {name.parts[0] for name in names - inside} == {
        wheel.name.split("-py3")[0] + ".dist-info"
    }


def test_wheel_works_without_the_sources(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path)
    walk = (
        "import imccompiler, imccompiler.passes, imccompiler.models as models\n"
        "from imccompiler.hardware.load import load, presets\n"
        "from imccompiler.passes.registry import DEFAULT_PIPELINE, parse\n"
        "parse(DEFAULT_PIPELINE)\n"
        "machines = [load(name).name for name in presets()]\n"
        "print(imccompiler.__file__, len(models.build('digits-cnn').graph.node), machines)\n"
    )
    done = run_python(walk, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"{tmp_path}")
    assert "isaac" in done.stdout
