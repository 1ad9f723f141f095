from __future__ import annotations

from pathlib import Path

import pytest

import imccompiler
from imccompiler.compiler import Compilation, machine_of, network_of
from imccompiler.frontend import Network
from imccompiler.hardware.schema import Machine
from imccompiler.models import digits


@pytest.fixture(scope="session")
def network() -> Network:
    return network_of("digits-mlp", {}, shapes_only=False)[0]


@pytest.fixture(scope="session")
def machine() -> Machine:
    return machine_of("isaac")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Compilation:
    """The digits perceptron for `isaac`, checked and written to a folder; do not change it."""
    return imccompiler.compile(
        "digits-mlp",
        "isaac",
        calibration={"image": digits.calibration()},
        check=True,
        output=tmp_path_factory.mktemp("compiled") / "out",
    )


@pytest.fixture
def folder(compiled: Compilation) -> Path:
    assert compiled.folder is not None
    return compiled.folder
