"""Writes everything that a compilation leaves into its folder.

Threads hash and write the arrays, for which they do not need the interpreter, while the texts are
made beside them.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
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
    program, machine = compilation.program, compilation.machine
    # As many threads as there are processors: the hashes, which the texts name, are done first.
    with output_folder(target) as folder, ThreadPoolExecutor(os.cpu_count()) as threads:
        weights_hash = threads.submit(compilation.store.content_hash)
        hashes = threads.submit(_hashes, compilation)
        written = _write_arrays(compilation, folder, threads)
        (folder / HARDWARE).write_text(dump(machine), encoding="utf-8")
        write_dumps(
            folder / IR,
            modules,
            weights=(WEIGHTS, weights_hash.result()),
            machine=(f"../{HARDWARE}", content_hash(machine)),
        )
        report = compilation.report.model_copy(
            update={"model_file": _model_file(compilation), "hashes": hashes.result()}
        )
        if program is not None and compilation.context.effort > 0:
            report = _simulate(compilation, program, folder, report)
        else:
            (folder / PAGE).write_text(render(report), encoding="utf-8")
        if backend == "pimsim" and program is not None:
            from imccompiler.backends import pimsim  # noqa: PLC0415

            pimsim.write(program, machine, folder / backend)
        write_report(folder, report)
        for file in written:
            file.result()
    return replace(compilation, report=report, folder=target)


def _simulate(compilation: Compilation, program: Program, folder: Path, report: Report) -> Report:
    try:
        return simulate_into(folder, report, program, compilation.machine)
    except ProgramError as error:
        message = f"the emitted program breaks a rule: {error.message}"
        raise InternalError(message, where=error.where) from error


def _write_arrays(compilation: Compilation, folder: Path, threads: Executor) -> list[Future[Any]]:
    """Start to write the model, the weights and the program."""
    model, program = compilation.model, compilation.program
    written: list[Future[Any]] = []
    (folder / IR).mkdir()
    written.append(threads.submit(compilation.store.save, folder / IR / WEIGHTS))
    if program is not None:
        from imccompiler.program.files import save  # noqa: PLC0415

        written.append(threads.submit(save, program, folder / PROGRAM))
    if isinstance(model, bytes):
        written.append(threads.submit((folder / MODEL).write_bytes, model))
    elif model is not None and _model_file(compilation) == MODEL:
        written.append(threads.submit(shutil.copyfile, model, folder / MODEL))
    return written


def _model_file(compilation: Compilation) -> str | None:
    """Where the float network is: a copy in the folder if it is small, and one file."""
    model = compilation.model
    if model is None:
        return None
    if isinstance(model, bytes):
        return MODEL
    small = model.stat().st_size <= LARGEST_COPY_BYTES
    return MODEL if small and not compilation.network.external else str(model.absolute())


def _hashes(compilation: Compilation) -> Hashes:
    network = hashlib.sha256(print_module(compilation.network.module).encode())
    network.update(compilation.network.store.content_hash().encode())
    return Hashes(
        model=None if compilation.model is None else _model_hash(compilation.model),
        network=network.hexdigest(),
        hardware=content_hash(compilation.machine),
        program=None if compilation.program is None else _program_hash(compilation.program),
    )


def _model_hash(model: Path | bytes) -> str:
    content = model if isinstance(model, bytes) else model.read_bytes()
    return hashlib.sha256(content).hexdigest()


def _program_hash(program: Program) -> str:
    """Over the tables that decide what runs where; the weights follow from network and tiles."""
    digest = hashlib.sha256()
    for table in (program.code, program.core_start, program.groups, program.tiles):
        digest.update(np.ascontiguousarray(table).data)
    return digest.hexdigest()
