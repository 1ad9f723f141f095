from __future__ import annotations

from pathlib import Path

import pytest

import imccompiler
from imccompiler.compiler.pins import apply_pins, read_pins, verify_pins
from imccompiler.errors import InternalError, PassError
from imccompiler.frontend import Network
from imccompiler.hardware.schema import Machine
from imccompiler.ir.decisions import Quant, Tiling
from imccompiler.ir.dialect import MatmulOp


def pin_file(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "pins.yaml"
    path.write_text(text)
    return path


def test_pinned_quantisation_reaches_the_mapped_module(
    network: Network, machine: Machine, tmp_path: Path
) -> None:
    path = pin_file(tmp_path, "layers:\n  fc3: {quant: {scale: 0.25, zero_point: 3}}\n")
    compilation = imccompiler.compile(network, machine, pin=path, effort=0)
    layer = next(x for x in compilation.report.layers if x.name == "fc3")
    assert layer.decisions["quant"] == {"scale": 0.25, "zero_point": 3, "bits": 8}


def test_copies_alone_can_be_pinned(network: Network, machine: Machine, tmp_path: Path) -> None:
    path = pin_file(tmp_path, "layers:\n  fc2: {replication: {copies: 1, row_split: 1}}\n")
    compilation = imccompiler.compile(network, machine, pin=path, effort=0)
    layer = next(x for x in compilation.report.layers if x.name == "fc2")
    assert layer.copies == 1


def test_glob_takes_the_layers_that_can_and_the_later_key_wins(
    network: Network, tmp_path: Path
) -> None:
    path = pin_file(
        tmp_path,
        "layers:\n"
        '  "*": {tiling: {rows: 1, columns: 1, slices: 4}}\n'
        "  fc2: {tiling: {rows: 2, columns: 1, slices: 4}}\n",
    )
    module = network.module.clone()
    pinned = apply_pins(read_pins(path), module)
    assert {name for name, _, _ in pinned} == {"fc1", "fc2", "fc3"}
    rows = {
        op.source.node: op.tiling.rows
        for op in module.body.block.ops
        if isinstance(op, MatmulOp) and op.source and op.tiling
    }
    assert rows == {"fc1": 1, "fc2": 2, "fc3": 1}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layer: {}\n", "pins.yaml:1: unknown key 'layer'"),
        ("layers:\n  fc1:\n    tilling: {}\n", "pins.yaml:3: unknown decision 'tilling'"),
        ("layers:\n  fc1:\n    tiling: {row: 1}\n", "pins.yaml:3: .*unknown field 'row'"),
        ("layers:\n  fc1:\n    grain: {pieces: many}\n", "pins.yaml:3: .*'many' is not of type"),
        ("layers:\n  fc1: 3\n", "pins.yaml:2: 'fc1' must be a mapping"),
        ("layers: [\n", "is not YAML"),
    ],
)
def test_fault_in_the_file_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(PassError, match=message):
        read_pins(pin_file(tmp_path, text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("layers:\n  fc9: {grain: {pieces: 1}}\n", "pins.yaml:2: no layer is named 'fc9'.*\n.*fc"),
        ("layers:\n  relu1: {grain: {pieces: 1}}\n", "pins.yaml:2: layer 'relu1'.* no grain"),
    ],
)
def test_pin_that_no_layer_takes(network: Network, tmp_path: Path, text: str, message: str) -> None:
    pins = read_pins(pin_file(tmp_path, text))
    with pytest.raises(PassError, match=message):
        apply_pins(pins, network.module.clone())


def test_changed_pin_is_a_defect_and_a_folded_layer_a_note(network: Network) -> None:
    module = network.module.clone()
    op = next(op for op in module.body.block.ops if isinstance(op, MatmulOp))
    op.tiling = Tiling(rows=1, columns=1, slices=4)
    with pytest.raises(InternalError, match="changed the pinned tiling"):
        verify_pins((("fc1", "tiling", Tiling(rows=2, columns=1, slices=4)),), module)
    notes = verify_pins((("gone", "quant", Quant(scale=1.0, zero_point=0)),), module)
    assert "folded away" in notes[0]
