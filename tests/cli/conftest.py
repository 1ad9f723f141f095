from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from imccompiler.cli import main


class Result(NamedTuple):
    code: int
    out: str
    err: str


Imcc = Callable[..., Result]


@pytest.fixture
def imcc(capsys: pytest.CaptureFixture[str]) -> Imcc:
    """Run the command line in this process."""

    def run(*arguments: str | Path) -> Result:
        with pytest.raises(SystemExit) as caught:
            main([str(a) for a in arguments])
        code = caught.value.code
        return Result(
            code if isinstance(code, int) else int(code is not None), *capsys.readouterr()
        )

    return run


@pytest.fixture(scope="session")
def compiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of `imcc compile`; do not change it."""
    folder = tmp_path_factory.mktemp("cli") / "out"
    with pytest.raises(SystemExit) as caught:
        main(["compile", "digits-mlp", "-H", "isaac", "-o", str(folder)])
    assert caught.value.code == 0
    return folder
