from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from imccompiler import compiler
from imccompiler.models import digits


def test_folder_has_everything(compiled: Path) -> None:
    names = {p.name for p in compiled.iterdir()}
    assert names == {
        "report.json", "report.html", "trace.json", "hardware.yaml", "model.onnx", "ir", "program",
    }  # fmt: skip
    assert json.loads((compiled / "trace.json").read_text())["traceEvents"]
    assert list(compiled.parent.iterdir()) == [compiled]


def test_json_is_the_report_and_nothing_else(imcc, tmp_path: Path) -> None:
    np.savez(tmp_path / "c.npz", image=digits.calibration()[:8])
    result = imcc(
        "compile", "digits-mlp", "-H", "isaac", "--set", "activation_bits=8", "--check",
        "--calibration", tmp_path / "c.npz", "--json", "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 0
    report = json.loads(result.out)
    assert report["check"]["bit_exact"]
    assert report == json.loads((tmp_path / "out" / "report.json").read_text())


def test_ir_goes_to_stderr(imcc, tmp_path: Path) -> None:
    result = imcc(
        "compile", "digits-mlp", "-H", "isaac", "--passes", "fold,canonicalize",
        "--print-ir-after", "canonicalize", "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 0
    assert "// after canonicalize" in result.err
    assert "imc.matmul" in result.err
    assert "imc.matmul" not in result.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.onnx", "-H", "isaac"], "no such file"),
        (["digits-mlp", "-H", "isaak"], "no machine named 'isaak'"),
        (["digits-mlp", "-H", "isaac", "--set", "crossbar.adc.bits=99"], "adc.bits"),
        (["digits-mlp", "-H", "isaac", "--bind", "n"], "name=number"),
        (["digits-mlp", "-H", "isaac", "--passes", "fold{"], "cannot read the pipeline"),
        (["digits-mlp", "-H", "isaac", "--pin", "absent.yaml"], "absent.yaml"),
        (["digits-mlp", "-H", "isaac", "--calibration", "absent.npz"], "absent.npz"),
        (["digits-mlp", "-H", "isaac", "--effort", "9"], "--effort"),
        (["digits-mlp"], "--hardware"),
    ],
)
def test_input_that_is_not_valid_exits_with_2(
    imcc, tmp_path: Path, arguments: list[str], message: str
) -> None:
    result = imcc("compile", *arguments, "-o", tmp_path / "out")
    assert result.code == 2
    assert message in result.err
    assert "Traceback" not in result.err
    assert list(tmp_path.iterdir()) == []


def test_network_that_does_not_fit_exits_with_3(imcc, tmp_path: Path) -> None:
    result = imcc(
        "compile", "lenet", "-H", "isaac", "--set", "chip.grid=[1, 1]", "--set",
        "core.crossbars=1", "-o", tmp_path / "out",
    )  # fmt: skip
    assert result.code == 3
    assert "needed" in result.err
    assert "hint: " in result.err


def test_defect_exits_with_1_and_shows_a_traceback_only_on_demand(
    imcc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_arguments: object, **_options: object) -> None:
        raise ZeroDivisionError("by nothing")

    monkeypatch.setattr(compiler, "compile", fail)
    arguments = ("compile", "digits-mlp", "-H", "isaac", "-o", str(tmp_path / "out"))
    result = imcc(*arguments)
    assert result.code == 1
    assert "ZeroDivisionError: by nothing" in result.err
    assert "defect of imccompiler" in result.err
    assert "Traceback" not in result.err
    assert "Traceback" in imcc("--debug", *arguments).err


def test_interrupt_exits_with_130(imcc, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(compiler, "compile", interrupt)
    result = imcc("compile", "digits-mlp", "-H", "isaac", "-o", tmp_path / "out")
    assert result.code == 130
