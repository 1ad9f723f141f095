from __future__ import annotations

import hashlib
from pathlib import Path

import onnx
import pytest

import imccompiler
from imccompiler import models
from imccompiler.compiler import Compilation
from imccompiler.compiler.folder import MODEL
from imccompiler.errors import IRError, UserInputError
from imccompiler.frontend import Network
from imccompiler.hardware.schema import Machine
from imccompiler.ir.store import WeightStore


def test_hashes_are_of_what_is_in_the_folder(compiled: Compilation, folder: Path) -> None:
    hashes = compiled.report.hashes
    assert hashes is not None
    assert hashes.model == hashlib.sha256((folder / MODEL).read_bytes()).hexdigest()
    program = compiled.program
    assert program is not None
    tables = (program.code, program.core_start, program.groups, program.tiles)
    content = b"".join(table.tobytes() for table in tables)
    assert hashes.program == hashlib.sha256(content).hexdigest()


def test_same_compilation_leaves_the_same_hashes(
    network: Network, machine: Machine, tmp_path: Path
) -> None:
    first, second = (
        imccompiler.compile(network, machine, effort=0, output=tmp_path / name).report.hashes
        for name in "ab"
    )
    assert first == second
    other = imccompiler.compile("digits-mlp", "pimcomp", effort=0, output=tmp_path / "c")
    assert other.report.hashes is not None
    assert first is not None
    assert other.report.hashes.network == first.network
    assert other.report.hashes.program != first.program


@pytest.mark.parametrize(
    ("error", "told"),
    [(IRError("no room", where="weights"), IRError), (OSError(28, "no room"), UserInputError)],
)
def test_failure_of_a_thread_is_told_and_leaves_nothing(
    network: Network,
    machine: Machine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    told: type[Exception],
) -> None:
    def refuse(_store: WeightStore, _path: Path) -> None:
        raise error

    monkeypatch.setattr(WeightStore, "save", refuse)
    with pytest.raises(told, match="no room"):
        imccompiler.compile(network, machine, effort=0, output=tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("external", [False, True])
def test_model_is_copied_unless_its_weights_lie_elsewhere(tmp_path: Path, external: bool) -> None:
    path = tmp_path / "net.onnx"
    onnx.save_model(
        models.build("lenet"), path, save_as_external_data=external, location="w", size_threshold=0
    )
    report = imccompiler.compile(path, "isaac", effort=0, output=tmp_path / "out").report
    assert report.model_file == (str(path) if external else MODEL)
    assert (tmp_path / "out" / MODEL).exists() is not external
