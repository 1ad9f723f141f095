"""The driver: a network and a machine through the passes to a program and its report."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass, PassPipeline

from imccompiler.compiler.folder import check_output
from imccompiler.compiler.instruments import Instruments, Progress, silent
from imccompiler.compiler.pins import find_pinned, read_pins, verify_pins
from imccompiler.compiler.prefix import Prefix
from imccompiler.compiler.sources import machine_of, network_of
from imccompiler.errors import ImcError, InternalError, PassError, UserInputError
from imccompiler.hardware.schema import Machine
from imccompiler.hardware.unmodelled import unmodelled
from imccompiler.ir.store import WeightStore
from imccompiler.passes import registry
from imccompiler.passes.base import CompileContext, Objective, XdslContext
from imccompiler.program.artifact import Program
from imccompiler.report.build import build_report
from imccompiler.report.schema import Report

if TYPE_CHECKING:
    from onnx import ModelProto

    from imccompiler.compiler.torch_export import Module
    from imccompiler.frontend import Network

Backend = Literal["pimsim"]
Counting = Literal["physical", "logical"]


@dataclass(frozen=True, slots=True)
class Compilation:
    """What `compile` hands back.

    Attributes:
        network: The network as imported.
        machine: The machine compiled for, all overrides applied.
        module: The mapped module.
        context: What the passes shared: weight store, analyses, solver records.
        report: The content of report.json.
        model: The float network: its ONNX file, or the bytes of one; None if not at hand.
        folder: Where it was written, if it was.
    """

    network: Network
    machine: Machine
    module: ModuleOp
    context: CompileContext
    report: Report
    model: Path | bytes | None = None
    folder: Path | None = None

    @property
    def program(self) -> Program | None:
        """The emitted program; None if the pipeline has no `emit`."""
        return self.context.program

    @property
    def store(self) -> WeightStore:
        """Weights, those that passes made among them."""
        return self.context.store


def compile(  # noqa: A001
    model: Network | ModelProto | Module | bytes | Path | str,
    hardware: Machine | Path | str,
    *,
    set: Sequence[str] = (),  # noqa: A002
    bind: Mapping[str, int | float] | None = None,
    example_inputs: tuple[Any, ...] | None = None,
    objective: Objective = "latency",
    passes: str | None = None,
    pin: Path | str | None = None,
    effort: int = 1,
    seed: int = 0,
    calibration: Mapping[str, NDArray[np.float32]] | None = None,
    check: bool = False,
    shapes_only: bool = False,
    backend: Backend | None = None,
    crossbars: Counting = "physical",
    output: Path | str | None = None,
    print_ir_after: Collection[str] = (),
    printer: Callable[[str], None] = print,
    progress: Progress | None = None,
) -> Compilation:
    """Compile a network for a machine.

    Args:
        model: An ONNX file, the bytes of one, a model in memory, a `torch.nn.Module`, a name of
            `imccompiler.models`, or a network that was imported before (it is not changed, and
            importing is saved).
        hardware: A preset's name, a YAML file or a machine.
        set: `key=value` overrides of the machine.
        bind: Sizes of the network's dynamic dimensions, and values of scalar inputs.
        example_inputs: What the `forward` of a `torch.nn.Module` takes: a tuple of tensors.
        objective: What the mapping is chosen for.
        passes: A pipeline in text in place of the default one.
        pin: A YAML file of decisions that the passes must keep.
        effort: 0 heuristics only, 1 exact where it is cheap, 2 and 3 longer solver budgets.
        seed: Of every random choice.
        calibration: Inputs by port name, first axis the samples.
        check: Execute the program and compare it with the reference and ONNX Runtime.
        shapes_only: Import without weights; such a program can be timed but not executed.
        backend: Also write the program in this format into the output folder.
        crossbars: Count crossbars of cells, or of whole weights as PIMCOMP does.
        output: Folder to write; an earlier one of ours is replaced when all is done.
        print_ir_after: Passes after which `printer` gets the module's text (`input`: before all).
        printer: Takes these texts.
        progress: Told each step as (name, steps done, steps in all).

    Raises:
        ImcError: See its children; `DoesNotFitError` if the network does not fit the machine.
    """
    target = check_output(Path(output)) if output is not None else None
    _check_options(
        effort=effort, check=check, shapes_only=shapes_only, backend=backend, output=target
    )
    pipeline = _parsed(passes or registry.DEFAULT_PIPELINE)
    _check_names(pipeline, print_ir_after)
    pins = read_pins(Path(pin)) if pin is not None else ()
    machine = machine_of(hardware, set, logical=crossbars == "logical")
    network, source = network_of(
        model, bind or {}, shapes_only=shapes_only, example_inputs=example_inputs
    )

    pinned = find_pinned(pins, network.module)
    context = CompileContext(
        machine,
        network.store.copy(),
        objective=objective,
        effort=effort,
        seed=seed,
        calibration=calibration,
    )
    context.notes.extend(unmodelled(machine))
    prefix = Prefix(network, pinned, pipeline, context)
    instruments = Instruments(
        total=len(pipeline),
        keep=target is not None,
        verify_each=target is not None,
        print_after=print_ir_after,
        printer=printer if print_ir_after else None,
        progress=progress,
    )
    if instruments.watched:
        module = prefix.first_module()
    else:
        done, module = prefix.resume()
        instruments.seconds.extend([0.0] * done)
        instruments.remember = prefix.remember
    run_passes(pipeline, context, module, instruments)
    context.notes.extend(verify_pins(pinned, module))
    tell = progress or silent
    checked = None
    if check:
        tell("check", len(pipeline), len(pipeline) + 1)
        from imccompiler.compiler.check import check_program  # noqa: PLC0415

        checked = check_program(module, context, source, network.bindings)
    report = build_report(
        network,
        module,
        context,
        tuple(zip(pipeline, instruments.seconds, strict=True)),
        checked,
    )
    compilation = Compilation(network, machine, module, context, report, source)
    if target is None:
        return compilation
    from imccompiler.compiler.write import write_folder  # noqa: PLC0415

    tell("write", len(pipeline), len(pipeline) + 1)
    return write_folder(compilation, target, instruments.kept, backend=backend)


_parsed = cache(registry.parse)  # passes are immutable, and looking for plug-ins takes 10 ms


def _check_options(
    *, effort: int, check: bool, shapes_only: bool, backend: str | None, output: Path | None
) -> None:
    if effort not in range(4):
        raise UserInputError(f"effort is {effort}, and must be from 0 to 3")
    if check and shapes_only:
        raise UserInputError("a program without weights cannot be checked", where="--check")
    if backend not in (None, *get_args(Backend)):
        raise UserInputError(
            f"there is no backend {backend!r}", hint=f"there is {', '.join(get_args(Backend))}"
        )
    if backend is not None and output is None:
        raise UserInputError("a backend needs an output folder", where=f"backend {backend!r}")


def _check_names(pipeline: tuple[ModulePass, ...], names: Collection[str]) -> None:
    known = ("input", *(item.name for item in pipeline))
    if unknown := [name for name in names if name not in known]:
        raise PassError(
            f"no pass of the pipeline is named {unknown[0]!r}",
            where="print_ir_after",
            hint=f"there are {', '.join(known)}",
        )


def run_passes(
    pipeline: tuple[ModulePass, ...],
    context: CompileContext,
    module: ModuleOp,
    instruments: Instruments,
) -> None:
    """Run passes on a module in place, the instruments between them.

    Passes for which the instruments have a time already are left out.

    Raises:
        InternalError: A pass failed in another way than with an error meant for the user.
    """
    try:
        left = pipeline[len(instruments.seconds) :]
        PassPipeline(left, instruments).apply(XdslContext(context), module)
    except ImcError:
        raise
    except Exception as error:
        name = pipeline[len(instruments.seconds)].name
        message = f"the pass failed with {type(error).__name__}: {error}"
        raise InternalError(message, where=f"pass {name!r}") from error
