"""`imcc opt`: passes on an IR file, from any point of the pipeline."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from imccompiler.compiler.driver import run_passes
from imccompiler.compiler.dumps import linked_text, read_dump
from imccompiler.compiler.instruments import Instruments
from imccompiler.compiler.sources import machine_of
from imccompiler.errors import UserInputError
from imccompiler.hardware.load import content_hash, dump
from imccompiler.hardware.schema import Machine
from imccompiler.ir.store import WeightStore
from imccompiler.ir.text import print_module
from imccompiler.passes import registry
from imccompiler.passes.base import CompileContext, Objective


def opt(
    file: Path,
    passes: str,
    *,
    hardware: str | Path | None = None,
    set: Sequence[str] = (),  # noqa: A002
    output: Path | None = None,
    objective: Objective = "latency",
    effort: int = 1,
    seed: int = 0,
    calibration: Mapping[str, NDArray[np.float32]] | None = None,
) -> str:
    """Run passes on a module in a file and return its text.

    Args:
        file: A module that `imcc compile` or `imcc opt` wrote.
        passes: A pipeline in text.
        hardware: Another machine than the one that the file names.
        set: `key=value` overrides of the machine.
        output: Where to write the module; its weights and its machine go beside it, under the
            same name with `.safetensors` and `.yaml`, and `opt` can go on from there.
        objective: What the mapping is chosen for.
        effort: As for `compile`.
        seed: Of every random choice.
        calibration: Inputs by port name, first axis the samples.

    Raises:
        ImcError: A file, the pipeline or the module is not valid.
    """
    pipeline = registry.parse(passes)
    start = read_dump(file, machine_of(hardware, set) if hardware is not None else None)
    machine = machine_of(start.machine, set) if hardware is None else start.machine
    context = CompileContext(
        machine,
        start.store,
        objective=objective,
        effort=effort,
        seed=seed,
        calibration=calibration,
    )
    run_passes(pipeline, context, start.module, Instruments(total=len(pipeline)))
    if output is None:
        return print_module(start.module)
    text = linked_text(
        start.module,
        weights=(output.with_suffix(".safetensors").name, context.store.content_hash()),
        machine=(output.with_suffix(".yaml").name, content_hash(machine)),
    )
    _write(output, text, context.store, machine)
    return text


def _write(output: Path, text: str, store: WeightStore, machine: Machine) -> None:
    if not os.access(output.parent, os.W_OK):
        raise UserInputError("cannot be written to", where=str(output.parent.absolute()))
    store.save(output.with_suffix(".safetensors"))
    output.with_suffix(".yaml").write_text(dump(machine), encoding="utf-8")
    output.write_text(text, encoding="utf-8")
