"""Simulate, execute and judge a compiled program, in memory or in a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.compiler.arrays import Arrays, batched
from imccompiler.compiler.driver import Compilation
from imccompiler.compiler.folder import HARDWARE, PROGRAM, read_report
from imccompiler.compiler.instruments import Progress, silent
from imccompiler.errors import UserInputError
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.report.schema import Run

if TYPE_CHECKING:
    from imccompiler.simulator.timing import Timing

MEMORY_BYTES = 256 * 2**20
"""Local memories of the images that are executed at once."""


@dataclass(frozen=True, slots=True)
class Target:
    """A program, what it runs on, and the float network that it came from."""

    program: Program
    machine: Machine
    model: Path | bytes | None
    bindings: Mapping[str, int | float]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What `evaluate` hands back: outputs by port name, samples first, and the figures."""

    outputs: Arrays
    run: Run


def open_target(source: Compilation | Path | str) -> Target:
    """The program of a compilation or of a folder.

    Raises:
        UserInputError: The folder is not one of ours, or there is no program.
    """
    if isinstance(source, Compilation):
        if source.program is None:
            raise UserInputError("has no program", where="compilation", hint="run the pass `emit`")
        return Target(source.program, source.machine, source.model, source.network.bindings)
    from imccompiler.hardware.load import load as load_machine  # noqa: PLC0415
    from imccompiler.program.files import load as load_program  # noqa: PLC0415

    folder = Path(source)
    report = read_report(folder)
    if not (folder / PROGRAM).is_dir():
        raise UserInputError("has no program", where=str(folder), hint="run the pass `emit`")
    return Target(
        load_program(folder / PROGRAM),
        load_machine(folder / HARDWARE),
        folder / report.model_file if report.model_file else None,
        report.bindings,
    )


def simulate(source: Compilation | Path | str, images: int = 1, *, events: bool = False) -> Timing:
    """Run a program in time.

    Args:
        source: A compilation, or a folder that one was written to.
        images: Images of the stream.
        events: Whether to record every operation.

    Raises:
        UserInputError: The folder is not one of ours, or there is no program.
    """
    from imccompiler.simulator import timing  # noqa: PLC0415

    target = open_target(source)
    return timing.simulate(target.program, target.machine, images=images, events=events)


def execute(
    source: Compilation | Path | str,
    inputs: Mapping[str, NDArray[Any]],
    *,
    ideal: bool = False,
    progress: Progress | None = None,
) -> Arrays:
    """Run a program in numbers.

    Args:
        source: A compilation, or a folder that one was written to.
        inputs: Real values by port name: one sample, or samples along a first axis.
        ideal: With converters that lose nothing, in place of the machine's own ADC.
        progress: Told (step, samples done, samples).

    Returns:
        Real values by port name, of shape (samples, *shape without a batch axis of 1).

    Raises:
        UserInputError: An input is missing or does not fit.
    """
    target = open_target(source)
    samples = batched(inputs, target.program.inputs)
    return _unbatched(_execute(target, samples, ideal=ideal, progress=progress or silent), target)


def evaluate(
    source: Compilation | Path | str,
    inputs: Mapping[str, NDArray[Any]],
    labels: NDArray[Any] | None = None,
    *,
    ideal: bool = False,
    compare: bool = False,
    progress: Progress | None = None,
) -> Evaluation:
    """Run a program in numbers and judge its outputs.

    Args:
        source: A compilation, or a folder that one was written to.
        inputs: Real values by port name: one sample, or samples along a first axis.
        labels: Classes, shape (samples,); the class of the largest output is compared.
        ideal: With converters that lose nothing, in place of the machine's own ADC.
        compare: Run the float network in ONNX Runtime as well.
        progress: Told (step, samples done, samples).

    Raises:
        UserInputError: An input does not fit, or the float network is not at hand.
    """
    tell = progress or silent
    target = open_target(source)
    samples = batched(inputs, target.program.inputs)
    outputs = _execute(target, samples, ideal=ideal, progress=tell)
    exact = _float_outputs(target, samples, tell) if compare else None
    count = len(next(iter(outputs.values())))
    run = Run(
        samples=count,
        ideal=ideal,
        accuracy=None if labels is None else accuracy(outputs, labels),
        onnxruntime_accuracy=None if labels is None or exact is None else accuracy(exact, labels),
        **_distance(outputs, exact),
    )
    return Evaluation(_unbatched(outputs, target), run)


def accuracy(outputs: Mapping[str, NDArray[Any]], labels: NDArray[Any]) -> float:
    """Share of samples whose largest output is at the label; looks at the first output.

    Raises:
        UserInputError: There is not one label a sample.
    """
    scores = next(iter(outputs.values()))
    scores = scores.reshape(len(scores), -1)
    if labels.shape != (len(scores),):
        raise UserInputError(f"{len(scores)} samples need labels of shape ({len(scores)},)")
    return float(np.mean(scores.argmax(axis=1) == labels))


def _execute(target: Target, samples: Arrays, *, ideal: bool, progress: Progress) -> Arrays:
    """Outputs of shape (samples, *port.shape)."""
    from imccompiler.simulator.execute import Executor  # noqa: PLC0415
    from imccompiler.simulator.integer import dequantize, quantize  # noqa: PLC0415

    program = target.program
    executor = Executor(program, target.machine, mode="exact" if ideal else "adc")
    ports = {port.name: port for port in program.inputs}
    count = len(next(iter(samples.values())))
    at_once = max(1, MEMORY_BYTES // max(1, int(program.local_bytes.sum())))
    parts: list[dict[str, NDArray[np.int64]]] = []
    for begin in range(0, count, at_once):
        progress("execute", begin, count)
        codes = {
            name: quantize(values[begin : begin + at_once], ports[name].quantization)
            for name, values in samples.items()
        }
        parts.append(executor.run(codes))
    return {
        port.name: dequantize(np.concatenate([p[port.name] for p in parts]), port.quantization)
        for port in program.outputs
    }


def _float_outputs(target: Target, samples: Arrays, progress: Progress) -> Arrays:
    from imccompiler.compiler.runtime import run_onnx  # noqa: PLC0415

    if target.model is None:
        raise UserInputError("the float network is not at hand, so nothing can be compared")
    count = len(next(iter(samples.values())))
    outputs = run_onnx(
        target.model,
        samples,
        target.bindings,
        lambda done: progress("ONNX Runtime", done, count),
    )
    return {port.name: outputs[port.name] for port in target.program.outputs}


def _distance(outputs: Arrays, exact: Arrays | None) -> dict[str, float | None]:
    from imccompiler.compiler.runtime import difference, sqnr_db  # noqa: PLC0415

    return {
        "onnxruntime_max_abs_diff": None if exact is None else difference(outputs, exact),
        "onnxruntime_sqnr_db": None if exact is None else sqnr_db(outputs, exact),
    }


def _unbatched(outputs: Arrays, target: Target) -> Arrays:
    ports = {port.name: port for port in target.program.outputs}
    return {
        name: values[:, 0] if ports[name].shape[:1] == (1,) else values
        for name, values in outputs.items()
    }
