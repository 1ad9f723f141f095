"""Runs the `// RUN:` lines of the `.mlir` files here and checks their output with filecheck.

A line reads `// RUN: imcc opt %s --passes "fold,canonicalize"`, and is run in this process.
Sections between lines of `// -----` are modules of their own. A weight has seeded values, unless
a line `// VALUES: name = 0.5` fills it with a number.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import pytest
from filecheck.finput import FInput
from filecheck.matcher import Matcher
from filecheck.options import Options
from filecheck.parser import Parser

from imccompiler.frontend.constants import seeded
from imccompiler.hardware.load import load
from imccompiler.ir.dialect import WeightOp
from imccompiler.ir.store import WeightStore
from imccompiler.ir.text import parse_module, print_module
from imccompiler.ir.types import dtype_of, shape_of
from imccompiler.ir.verify import verify
from imccompiler.passes.base import CompileContext, XdslContext
from imccompiler.passes.registry import parse

FOLDER = Path(__file__).parent
RUN = re.compile(r'^// RUN: imcc opt %s --passes "([^"]*)"$', re.MULTILINE)
VALUES = re.compile(r"^// VALUES: (\S+) = (\S+)$", re.MULTILINE)
SECTION = re.compile(r"^// -----$", re.MULTILINE)


def run(text: str, pipeline: str) -> str:
    """What `imcc opt --passes PIPELINE` prints for a module."""
    module = parse_module(text)
    numbers = {name: float(number) for name, number in VALUES.findall(text)}
    store = WeightStore()
    for op in module.body.block.ops:
        if isinstance(op, WeightOp):
            key, shape, dtype = op.key.data, shape_of(op.result), dtype_of(op.result)
            known = np.full(shape, numbers[key], dtype) if key in numbers else None
            store.add(key, seeded(key, shape, dtype) if known is None else known)
    context = XdslContext(CompileContext(load("isaac"), store))
    for each in parse(pipeline):
        each.apply(context, module)
    verify(module)
    return print_module(module)


def mismatch(path: Path, output: str) -> str:
    """What filecheck says to `output` by the checks in a file; nothing if it agrees."""
    options = Options(match_filename=str(path))
    matcher = Matcher(options, FInput("output", output), Parser.from_opts(options))
    matcher.stderr = io.StringIO()
    return matcher.stderr.getvalue() if matcher.run() else ""


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.mlir")), ids=lambda path: path.stem)
def test_filecheck(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    pipelines = RUN.findall(text)
    assert pipelines, "no RUN line"
    for pipeline in pipelines:
        output = "".join(run(section, pipeline) for section in SECTION.split(text))
        wrong = mismatch(path, output)
        assert not wrong, f"{wrong}\n{output}"


def test_a_mismatch_is_found(tmp_path: Path) -> None:
    path = tmp_path / "wrong.mlir"
    path.write_text("// CHECK: imc.matmul\n// CHECK-NOT: Relu\n")
    assert not mismatch(path, "%0 = imc.matmul\n")
    assert mismatch(path, "%0 = imc.digital\n")
    assert mismatch(path, "%0 = imc.matmul\n%1 = Relu\n")
