from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
from xdsl.dialects.builtin import ModuleOp

import imccompiler
from imccompiler.compiler import Compilation, driver, machine_of, network_of, parse_bindings
from imccompiler.compiler.instruments import Instruments
from imccompiler.errors import (
    HardwareError,
    InternalError,
    IRError,
    ModelError,
    PassError,
    UserInputError,
)
from imccompiler.frontend import Network
from imccompiler.hardware.schema import Machine
from imccompiler.ir.decisions import Placement, Replication, Tiling
from imccompiler.ir.dialect import MatmulOp
from imccompiler.ir.text import print_module
from imccompiler.passes.base import CompileContext, ImcPass
from imccompiler.program.artifact import GROUP_COLUMNS
from imccompiler.program.isa import IMM, LAYER, OP, Op

GROUP = [GROUP_COLUMNS.index(name) for name in ("core", "group", "crossbars")]


@dataclass(frozen=True)
class Failing(ImcPass):
    name: ClassVar[str] = "failing"

    def run(self, context: CompileContext, module: ModuleOp) -> None:  # noqa: ARG002
        raise KeyError("lost")


@dataclass(frozen=True)
class Breaking(ImcPass):
    name: ClassVar[str] = "breaking"

    def run(self, context: CompileContext, module: ModuleOp) -> None:  # noqa: ARG002
        op = next(op for op in module.body.block.ops if isinstance(op, MatmulOp))
        op.tiling = Tiling(rows=1, columns=1, slices=4)
        op.replication = Replication(copies=2)
        op.placement = Placement(cores=(0,))


def test_public_names_are_there() -> None:
    for name in imccompiler.__all__:
        assert getattr(imccompiler, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'compyle'"):
        imccompiler.compyle  # noqa: B018


def test_network_given_is_not_changed(network: Network, machine: Machine) -> None:
    before = print_module(network.module), set(network.store)
    imccompiler.compile(network, machine, effort=0)
    assert (print_module(network.module), set(network.store)) == before


def test_same_inputs_give_the_same_module_and_program(network: Network, machine: Machine) -> None:
    first, second = (imccompiler.compile(network, machine, effort=1) for _ in range(2))
    assert print_module(first.module) == print_module(second.module)
    assert first.program is not None
    assert second.program is not None
    assert first.program.code.tobytes() == second.program.code.tobytes()


def test_figures_of_the_report(compiled: Compilation) -> None:
    report = compiled.report
    assert report.latency_ns is not None
    assert report.interval_ns is not None
    assert report.lower_bound is not None
    assert report.simulated is not None
    assert report.energy_pj is not None
    assert report.crossbars is not None
    assert 0 < report.lower_bound.latency_ns <= report.latency_ns * (1 + 1e-9)
    assert 0 < report.lower_bound.interval_ns <= report.interval_ns * (1 + 1e-9)
    assert 0 < report.lower_bound.energy_pj <= report.energy_pj.total * (1 + 1e-9)
    assert report.simulated.latency_ns == pytest.approx(report.latency_ns, rel=0.01)
    assert report.energy_pj.total == pytest.approx(sum(report.energy_pj.by_component.values()))
    assert 0 < report.crossbars.used <= report.crossbars.available
    assert [layer.name for layer in report.layers if layer.kind == "crossbar"] == [
        "fc1",
        "fc2",
        "fc3",
    ]
    assert sum(layer.macs for layer in report.layers) == 64 * 64 + 64 * 32 + 32 * 10
    assert all(layer.crossbars for layer in report.layers if layer.kind == "crossbar")


def test_crossbars_of_a_layer_are_those_that_its_products_drive(compiled: Compilation) -> None:
    program = compiled.program
    assert program is not None
    crossbars = {(core, group): n for core, group, n in program.groups[:, GROUP].tolist()}
    driven: dict[str, set[tuple[int, int]]] = {}
    for core in range(program.core_count):
        code = program.code[program.core_start[core] : program.core_start[core + 1]]
        for layer, group in code[code[:, OP] == Op.MVMUL][:, [LAYER, IMM]].tolist():
            driven.setdefault(program.layers[layer], set()).add((core, group))
    expected = {name: sum(crossbars[each] for each in held) for name, held in driven.items()}
    assert {x.name: x.crossbars for x in compiled.report.layers if x.crossbars} == expected


def test_ir_is_printed_and_progress_told(network: Network, machine: Machine) -> None:
    texts: list[str] = []
    steps: list[str] = []
    imccompiler.compile(
        network,
        machine,
        passes="fold,canonicalize",
        print_ir_after=["input", "canonicalize"],
        printer=texts.append,
        progress=lambda step, _done, _total: steps.append(step),
    )
    assert [text.splitlines()[0] for text in texts] == ["// after input", "// after canonicalize"]
    assert steps == ["fold", "canonicalize"]


def test_pass_that_fails_is_named(network: Network, machine: Machine) -> None:
    context = CompileContext(machine, network.store.copy())
    with pytest.raises(InternalError, match=r"pass 'failing'.*KeyError") as caught:
        driver.run_passes((Failing(),), context, network.module.clone(), Instruments(total=1))
    assert isinstance(caught.value.__cause__, KeyError)


def test_pass_that_breaks_the_module_is_named(network: Network, machine: Machine) -> None:
    context = CompileContext(machine, network.store.copy())
    module = network.module.clone()
    with pytest.raises(InternalError, match=r"pass 'breaking'.*invalid module"):
        driver.run_passes((Breaking(),), context, module, Instruments(total=1))
    with pytest.raises(IRError, match="the module: is not valid"):
        driver.run_passes((), context, module, Instruments(total=0))


def test_pipeline_without_emit_has_no_program(network: Network, machine: Machine) -> None:
    compilation = imccompiler.compile(network, machine, passes="fold,canonicalize")
    assert compilation.program is None
    assert compilation.report.latency_ns is None
    with pytest.raises(PassError, match="no program to check"):
        imccompiler.compile(network, machine, passes="fold", check=True)
    with pytest.raises(UserInputError, match="has no program"):
        imccompiler.execute(compilation, {})


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"effort": 4}, UserInputError, "from 0 to 3"),
        ({"passes": "foldd"}, PassError, "no pass is named 'foldd'"),
        ({"passes": "fold{"}, PassError, "cannot read the pipeline"),
        ({"set": ["crossbar.rowz=1"]}, HardwareError, "rowz"),
        ({"set": ["crossbar.rows"]}, HardwareError, "key=value"),
        ({"backend": "nvidia", "output": "out"}, UserInputError, "no backend 'nvidia'"),
        ({"backend": "pimsim"}, UserInputError, "needs an output folder"),
        ({"pin": "absent.yaml"}, PassError, "No such file"),
        ({"print_ir_after": ["foldd"]}, PassError, "no pass of the pipeline is named 'foldd'"),
    ],
)
def test_options_that_are_not_valid(
    options: dict[str, object], error: type[Exception], message: str, tmp_path: Path
) -> None:
    if "output" in options:
        options = {**options, "output": tmp_path / "out"}
    with pytest.raises(error, match=message):
        imccompiler.compile("digits-mlp", "isaac", **options)  # type: ignore[arg-type]


def test_models_and_machines_by_name() -> None:
    with pytest.raises(ModelError, match="no such file"):
        network_of("digits-cmn", {}, shapes_only=False)
    assert machine_of("isaac", ["chip.grid=[20, 20]"]).chip.grid == (20, 20)
    changed = machine_of(machine_of("isaac"), ["cell.bits=1"])
    assert changed.main_kind.cell.bits == 1
    assert machine_of("isaac", logical=True).crossbar_count == "logical"


def test_bindings_in_text() -> None:
    assert parse_bindings(["batch=2", "n=7"]) == {"batch": 2, "n": 7}
    for text in ("batch", "batch=two", "=3"):
        with pytest.raises(UserInputError, match="name=number"):
            parse_bindings([text])
