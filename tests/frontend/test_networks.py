"""Whole networks: equal to ONNX Runtime, covered, and imported fast."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from imccompiler import models
from imccompiler.frontend import load_onnx
from imccompiler.frontend.coverage import coverage_of
from imccompiler.ir.text import parse_module, print_module

NETWORKS = ("lenet", "resnet18", "squeezenet", "bert-tiny", "digits-cnn", "digits-mlp")


def inputs_of(name: str) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        i.name: rng.integers(0, 30522, i.shape)
        if i.dtype == "int64"
        else rng.standard_normal(i.shape, np.float32)
        for i in models.describe(name).inputs
    }


@pytest.mark.parametrize("name", NETWORKS)
def test_equals_onnx_runtime(name: str, difference, run_reference) -> None:
    model = models.build(name)
    inputs = inputs_of(name)
    network = load_onnx(model)
    assert difference(network, inputs, run_reference(model, inputs)) < 1e-4
    assert network.name == model.graph.name
    assert network.opset == 17
    assert not network.notes


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("generic", [False, True])
def test_prints_and_parses_back(name: str, generic: bool) -> None:
    module = load_onnx(models.build(name)).module
    text = print_module(module, generic=generic)
    again = parse_module(text)
    assert again.is_structurally_equivalent(module)
    assert print_module(again, generic=generic) == text


@pytest.mark.parametrize(
    ("name", "crossbar", "dynamic"),
    [
        ("resnet18", 1_814_073_344, 0),  # torchvision: 1.814 GMACs
        ("squeezenet", 349_151_936, 0),  # torchvision: 0.349 GMACs
        # 2 layers: q, k, v, o (128 x 128) and 128 x 512 x 2, 128 tokens; pooler, classifier
        ("bert-tiny", 2 * 128 * (4 * 128**2 + 2 * 128 * 512) + 128**2 + 256, 4 * 128 * 128 * 128),
    ],
)
def test_coverage(name: str, crossbar: int, dynamic: int) -> None:
    coverage = load_onnx(models.build(name)).coverage
    assert (coverage.crossbar_macs, coverage.dynamic_macs) == (crossbar, dynamic)
    assert coverage.crossbar_share == crossbar / (crossbar + dynamic)
    assert coverage.macs("digital") == 0
    assert all(o.reason for o in coverage.operators)
    units = {(o.op_type, o.unit) for o in coverage.operators}
    assert len(units) == len(coverage.operators)


def test_coverage_of_a_module_without_products() -> None:
    module = parse_module(
        'builtin.module { %0 = imc.input "x" : tensor<2xf32>\n'
        '%1 = imc.digital "Relu"(%0) {} : (tensor<2xf32>) -> tensor<2xf32>\n'
        'imc.output "y" %1 : tensor<2xf32> }'
    )
    coverage = coverage_of(module)
    assert coverage.crossbar_share == 0.0
    assert coverage.digital_elements == 2


def test_a_static_network_pays_for_no_folding(tmp_path: Path) -> None:
    """Neither onnxscript nor onnx_ir nor ONNX Runtime are imported, and the weights are views."""
    models.export("resnet18", tmp_path / "net.onnx")
    code = f"""
import sys
from pathlib import Path
from imccompiler.frontend import load_onnx
network = load_onnx({str(tmp_path / "net.onnx")!r})
heavy = {{"onnxscript", "onnx_ir", "onnxruntime", "scipy"}} & sys.modules.keys()
assert not heavy, heavy
status = Path("/proc/self/status")
if status.exists():  # Linux; the file of 47 MB, its message and the arrays, over 60 MB of code
    peak = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    assert int(peak.split()[1]) < 260 * 1024, peak
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)


def test_importing_the_frontend_imports_no_onnx() -> None:
    code = "import sys, imccompiler.frontend; sys.exit('onnx' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
