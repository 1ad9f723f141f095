"""The code of docs/writing-a-pass.md runs as it stands there, from a package of its own."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import Options
from filecheck.parser import Parser
from xdsl.dialects.builtin import ModuleOp

from imccompiler import models
from imccompiler.errors import PassError
from imccompiler.frontend import load_onnx
from imccompiler.hardware.load import load
from imccompiler.ir.decisions import Grain
from imccompiler.ir.dialect import MatmulOp
from imccompiler.ir.store import WeightStore
from imccompiler.ir.text import parse_module, print_module
from imccompiler.passes import registry
from imccompiler.passes.base import CompileContext, XdslContext

PAGE = Path(__file__).parents[2] / "docs" / "writing-a-pass.md"
TEXT = PAGE.read_text(encoding="utf-8")
FIXED_GRAIN = 'fixed-grain = "your_package.fixed_grain:FixedGrainPass"'

pytestmark = pytest.mark.usefixtures("your_package")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)


@pytest.fixture
def your_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package with the passes of the page, and the entry point that it shows."""
    bound_relu, fixed_grain = blocks("python")
    (table,) = blocks("toml")
    group, entry = table.splitlines()
    package, metadata = tmp_path / "your_package", tmp_path / "your_package-1.0.dist-info"
    package.mkdir()
    metadata.mkdir()
    (package / "__init__.py").touch()
    (package / "bound_relu.py").write_text(bound_relu)
    (package / "fixed_grain.py").write_text(fixed_grain)
    (metadata / "METADATA").write_text("Name: your_package\nVersion: 1.0\n")
    name = group.removeprefix("[project.entry-points.").strip('"]')
    entries = "\n".join(line.replace('"', "") for line in (entry, FIXED_GRAIN))
    (metadata / "entry_points.txt").write_text(f"[{name}]\n{entries}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    for module in [m for m in sys.modules if m.split(".")[0] == "your_package"]:
        monkeypatch.delitem(sys.modules, module)


def run(module: ModuleOp, pipeline: str) -> None:
    context = XdslContext(CompileContext(load("isaac"), WeightStore()))
    for each in registry.parse(pipeline):
        each.apply(context, module)


def test_the_filecheck_test_of_the_page(tmp_path: Path) -> None:
    (text,) = blocks("mlir")
    (pipeline,) = re.findall(r'--passes "(.*)"$', text.splitlines()[0])
    module = parse_module(text)
    run(module, pipeline)
    checks = tmp_path / "bound-relu.mlir"
    checks.write_text(text)
    options = Options(match_filename=str(checks))
    matcher = Matcher(options, FInput("out", print_module(module)), Parser.from_opts(options))
    assert matcher.run() == 0


def test_the_passes_of_the_page(op_types, run_passes) -> None:
    network = load_onnx(models.build("lenet"))
    first = next(op for op in network.module.body.block.ops if isinstance(op, MatmulOp))
    first.grain = Grain(pieces=2)
    run_passes(network, "bound-relu,canonicalize,fixed-grain{pieces=8}")
    assert op_types(network).count("Clip") == 4
    grains = [op.grain for op in network.module.body.block.ops if isinstance(op, MatmulOp)]
    assert [grain.pieces for grain in grains if grain is not None] == [2, 8, 8, 8, 8]


def test_options_and_errors_of_the_page() -> None:
    parsed = registry.parse("bound-relu{limit=4.0},fixed-grain")
    assert registry.render(parsed) == "bound-relu{limit=4.0},fixed-grain"
    with pytest.raises(PassError, match="limit must be above 0"):
        run(load_onnx(models.build("lenet")).module, "bound-relu{limit=-1.0}")
    with pytest.raises(PassError, match="limt"):
        registry.parse("bound-relu{limt=4.0}")


def test_pipelines_of_the_page_can_be_read() -> None:
    pipelines = re.findall(r'--passes "(.*?)"', TEXT)
    assert len(pipelines) == 3
    assert all(registry.parse(pipeline) for pipeline in pipelines)
