from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from imccompiler.models import digits


def test_run_prints_accuracy_and_writes_outputs(imcc, compiled: Path, tmp_path: Path) -> None:
    images, labels = digits.heldout()
    np.savez(tmp_path / "x.npz", image=images[:50], label=labels[:50])
    shutil.copytree(compiled, tmp_path / "out")
    result = imcc(
        "run", tmp_path / "out", "--input", tmp_path / "x.npz", "--compare", "--output",
        tmp_path / "y.npz",
    )  # fmt: skip
    assert result.code == 0
    assert "accuracy" in result.out
    assert "ONNX Runtime" in result.out
    with np.load(tmp_path / "y.npz") as outputs:
        assert outputs["logits"].shape == (50, 10)
    assert json.loads((tmp_path / "out" / "report.json").read_text())["run"]["samples"] == 50

    result = imcc("run", tmp_path / "out", "--input", tmp_path / "x.npz", "--ideal", "--json")
    assert json.loads(result.out)["ideal"]


def test_simulate(imcc, compiled: Path, tmp_path: Path) -> None:
    shutil.copytree(compiled, tmp_path / "out")
    result = imcc("simulate", tmp_path / "out", "--images", "3", "--json")
    assert result.code == 0
    assert json.loads(result.out)["images"] == 3
    assert "interval" in imcc("simulate", tmp_path / "out").out


def test_inspect_views(imcc, compiled: Path) -> None:
    assert "digits-mlp on isaac" in imcc("inspect", compiled).out
    assert "fc2" in imcc("inspect", compiled, "layer").out
    layer = imcc("inspect", compiled, "layer", "fc2").out
    assert "replication" in layer
    assert "64x32" in layer
    (found,) = json.loads(imcc("inspect", compiled, "layer", "fc2", "--json").out)
    assert found["decisions"]["tiling"]["rows"] == 1
    assert "quantize" in imcc("inspect", compiled, "pass").out
    assert "imc.integer_matmul" in imcc("inspect", compiled, "pass", "quantize").out
    diff = imcc("inspect", compiled, "pass", "quantize", "--diff").out
    assert diff.startswith("--- 02-canonicalize.mlir")
    assert "\n+" in diff


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["layer", "fc9"], "no layer is named 'fc9'"),
        (["pass", "magic"], "no IR after a pass named 'magic'"),
        (["pass", "input", "--diff"], "first IR"),
        (["everything"], "everything"),
    ],
)
def test_inspect_of_what_is_not_there(
    imcc, compiled: Path, arguments: list[str], message: str
) -> None:
    result = imcc("inspect", compiled, *arguments)
    assert result.code == 2
    assert message in result.err


def test_folder_that_is_not_ours(imcc, tmp_path: Path) -> None:
    for command in (["inspect"], ["simulate"], ["run", "--input", tmp_path / "x.npz"]):
        np.savez(tmp_path / "x.npz", image=np.zeros((1, 1, 8, 8)))
        result = imcc(command[0], tmp_path, *command[1:])
        assert result.code == 2
        assert "has no report.json" in result.err


def test_opt_prints_or_writes_a_module(imcc, compiled: Path, tmp_path: Path) -> None:
    (quantized,) = compiled.glob("ir/*-quantize.mlir")
    result = imcc("opt", quantized, "--passes", "partition")
    assert result.code == 0
    assert "imc.tiling" in result.out
    written = tmp_path / "mine.mlir"
    assert imcc("opt", quantized, "--passes", "partition", "-o", written).code == 0
    assert imcc("opt", written, "--passes", "replicate", "--set", "cell.bits=2").code == 0
    assert imcc("opt", tmp_path / "absent.mlir", "--passes", "fold").code == 2


def test_machines(imcc, tmp_path: Path) -> None:
    assert {"isaac", "pimcomp"} <= set(json.loads(imcc("hardware", "list", "--json").out))
    shown = imcc("hardware", "show", "isaac", "--set", "cell.bits=1")
    (tmp_path / "mine.yaml").write_text(shown.out)
    assert imcc("hardware", "check", tmp_path / "mine.yaml").code == 0
    (tmp_path / "mine.yaml").write_text(shown.out.replace("weight_bits", "weight_bitz"))
    result = imcc("hardware", "check", tmp_path / "mine.yaml")
    assert result.code == 2
    assert "weight_bitz" in result.err


def test_networks(imcc, tmp_path: Path) -> None:
    assert "resnet18" in imcc("models", "list").out
    assert imcc("models", "export", "lenet", "-o", tmp_path / "lenet.onnx").code == 0
    assert onnx.load(tmp_path / "lenet.onnx").graph.node
    assert imcc("models", "export", "lenot", "-o", tmp_path / "x.onnx").code == 2
