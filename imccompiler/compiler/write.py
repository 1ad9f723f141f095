"""Writes everything that a compilation leaves into its folder."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from xdsl.dialects.builtin import ModuleOp

from imccompiler.compiler.driver import Compilation
from imccompiler.compiler.dumps import WEIGHTS, write_dumps
from imccompiler.compiler.folder import (
    HARDWARE,
    IR,
    MODEL,
    PAGE,
    PROGRAM,
    output_folder,
    write_report,
)
from imccompiler.compiler.simulation import simulate_into
from imccompiler.errors import InternalError, ProgramError
from imccompiler.hardware.load import content_hash, dump
from imccompiler.ir.text import print_module
from imccompiler.program.artifact import Program
from imccompiler.report.html import render
from imccompiler.report.schema import Hashes, Report

LARGEST_COPY_BYTES = 64 * 2**20
"""An ONNX file up to this size is copied into the folder, so that the folder can be moved."""


def write_folder(
    compilation: Compilation,
    target: Path,
    modules: Iterable[tuple[str, ModuleOp]],
    *,
    backend: str | None = None,
) -> Compilation:
    """Write a compilation to a folder; above effort 0 its program is simulated for it.

    Args:
        compilation: What to write.
        target: The folder; an earlier one of ours is replaced when all is written.
        modules: The module before the first pass and after each, with their names.
        backend: Also write the program in this format.

    Returns:
        The compilation with the report as written and its folder.

    Raises:
        UserInputError: The folder cannot be written.
        InternalError: The emitted program breaks a rule of the instruction set.
    """
    with output_folder(target) as folder:
        model_file = _write_model(compilation, folder)
        hashes = _hashes(compilation)
        report = compilation.report.model_copy(update={"model_file": model_file, "hashes": hashes})
        (folder / HARDWARE).write_text(dump(compilation.machine), encoding="utf-8")
        _write_ir(compilation, folder / IR, modules, hashes.hardware)
        program = compilation.program
        if program is not None:
            from imccompiler.program.files import save  # noqa: PLC0415

            save(program, folder / PROGRAM)
        if program is not None and compilation.context.effort > 0:
            report = _simulate(compilation, program, folder, report)
        else:
            (folder / PAGE).write_text(render(report), encoding="utf-8")
        if backend == "pimsim" and program is not None:
            from imccompiler.backends import pimsim  # noqa: PLC0415

            pimsim.write(program, compilation.machine, folder / backend)
        write_report(folder, report)
    return replace(compilation, report=report, folder=target)


def _simulate(compilation: Compilation, program: Program, folder: Path, report: Report) -> Report:
    try:
        return simulate_into(folder, report, program, compilation.machine)
    except ProgramError as error:
        message = f"the emitted program breaks a rule: {error.message}"
        raise InternalError(message, where=error.where) from error


def _write_model(compilation: Compilation, folder: Path) -> str | None:
    """Copy the ONNX file if it is small; returns where it is."""
    model = compilation.model
    if isinstance(model, bytes):
        (folder / MODEL).write_bytes(model)
        return MODEL
    if model is None:
        return None
    if model.stat().st_size <= LARGEST_COPY_BYTES and not _has_external_data(model):
        shutil.copyfile(model, folder / MODEL)
        return MODEL
    return str(model.absolute())


def _has_external_data(model: Path) -> bool:
    """Whether weights lie in other files: a copy of the ONNX file alone would not be enough."""
    import onnx  # noqa: PLC0415

    proto = onnx.load_model(model, load_external_data=False)
    return any(t.data_location == onnx.TensorProto.EXTERNAL for t in proto.graph.initializer)


def _hashes(compilation: Compilation) -> Hashes:
    model = compilation.model
    content = model.read_bytes() if isinstance(model, Path) else model
    network = hashlib.sha256(print_module(compilation.network.module).encode())
    network.update(compilation.network.store.content_hash().encode())
    return Hashes(
        model=None if content is None else hashlib.sha256(content).hexdigest(),
        network=network.hexdigest(),
        hardware=content_hash(compilation.machine),
        program=None if compilation.program is None else _program_hash(compilation.program),
    )


def _program_hash(program: Program) -> str:
    """Over the tables that decide what runs where; the weights follow from network and tiles."""
    digest = hashlib.sha256()
    for table in (program.code, program.core_start, program.groups, program.tiles):
        digest.update(table.tobytes())
    return digest.hexdigest()


def _write_ir(
    compilation: Compilation,
    folder: Path,
    modules: Iterable[tuple[str, ModuleOp]],
    machine_hash: str,
) -> None:
    folder.mkdir()
    compilation.store.save(folder / WEIGHTS)
    write_dumps(
        folder,
        modules,
        weights=(WEIGHTS, compilation.store.content_hash()),
        machine=(f"../{HARDWARE}", machine_hash),
    )
