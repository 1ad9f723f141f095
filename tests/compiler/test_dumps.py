from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from imccompiler.compiler import Compilation
from imccompiler.compiler.dumps import WEIGHTS, read_dump
from imccompiler.compiler.folder import HARDWARE
from imccompiler.compiler.instruments import Instruments
from imccompiler.compiler.opt import opt
from imccompiler.errors import IRError, UserInputError
from imccompiler.frontend import Network
from imccompiler.hardware.load import load
from imccompiler.ir.decisions import Quant
from imccompiler.ir.store import WeightStore
from imccompiler.ir.text import print_module
from imccompiler.models import digits
from imccompiler.passes.canonicalize import CanonicalizePass


def dump_of(folder: Path, name: str) -> Path:
    (path,) = folder.glob(f"ir/*-{name}.mlir")
    return path


def test_every_pass_leaves_a_module_that_reads_back(compiled: Compilation, folder: Path) -> None:
    names = [path.stem.partition("-")[2] for path in sorted(folder.glob("ir/*.mlir"))]
    assert names == ["input", *(item.name for item in compiled.report.passes)]
    last = read_dump(dump_of(folder, names[-1]))
    assert print_module(last.module) == print_module(compiled.module)
    assert last.machine == compiled.machine


@pytest.mark.parametrize("start", ["input", "quantize", "partition"])
def test_going_on_gives_what_the_whole_pipeline_gave(
    compiled: Compilation, folder: Path, start: str
) -> None:
    names = ["input", *(item.name for item in compiled.report.passes)]
    rest = names[names.index(start) + 1 : names.index("place") + 1]
    calibration = {"image": digits.calibration()}
    text = opt(dump_of(folder, start), ",".join(rest), calibration=calibration)
    expected = read_dump(dump_of(folder, "place"))
    assert text == print_module(expected.module)


def test_going_on_differently_from_before_quantisation(folder: Path, tmp_path: Path) -> None:
    output = tmp_path / "mine.mlir"
    opt(dump_of(folder, "canonicalize"), "quantize{weight_bits=4}", output=output)
    again = read_dump(output)
    assert "weight_bits = 4" in print_module(again.module)
    opt(output, "partition,replicate", set=("crossbar.rows=64", "crossbar.rows_active=64"))


def test_other_weights_and_other_machine_are_errors(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ir").mkdir()
    source = dump_of(folder, "fold")
    copy = tmp_path / "ir" / "module.mlir"
    copy.write_text(source.read_text())
    WeightStore({"fc1.weight": np.zeros(3)}).save(tmp_path / "ir" / WEIGHTS)
    with pytest.raises(IRError, match="not the weights"):
        read_dump(copy)

    (tmp_path / "ir" / WEIGHTS).write_bytes((folder / "ir" / WEIGHTS).read_bytes())
    text = (folder / HARDWARE).read_text()
    (tmp_path / HARDWARE).write_text(text.replace("supply_v: 1", "supply_v: 2", 1))
    assert (tmp_path / HARDWARE).read_text() != text
    with pytest.raises(IRError, match="not the machine"):
        read_dump(copy)
    assert read_dump(copy, load("pimcomp")).machine.name == "pimcomp"


def test_module_that_names_nothing(compiled: Compilation, tmp_path: Path) -> None:
    path = tmp_path / "bare.mlir"
    path.write_text(print_module(compiled.module))
    with pytest.raises(IRError, match="names its weights"):
        read_dump(path)


def test_opt_to_an_absent_folder(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserInputError, match="cannot be written"):
        opt(dump_of(folder, "input"), "fold", output=tmp_path / "absent" / "x.mlir")


def test_pass_that_changes_nothing_leaves_the_copy_of_before(network: Network) -> None:
    each, module = CanonicalizePass(), network.module.clone()
    instruments = Instruments(total=2, keep=True)
    instruments(None, module, each)
    instruments(each, module, each)
    next(iter(module.body.block.ops)).properties["quant"] = Quant(scale=0.5, zero_point=0)
    instruments(each, module, None)
    (_, first), (_, second), (_, third) = instruments.kept
    assert first is second is not module
    assert print_module(first) != print_module(third) == print_module(module)
