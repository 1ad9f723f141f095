"""Builds the report of a compilation from what the passes left."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import isfinite

from imccompiler.passes.base import SolverRecord
from imccompiler.report.schema import Pass, Solver

_VERSIONED = ("imccompiler", "xdsl", "numpy", "onnx", "onnxruntime", "ortools")


@cache
def versions() -> Mapping[str, str]:
    """Versions of Python, imccompiler and what it stands on."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def pass_sections(
    names: Sequence[tuple[str, str]], seconds: Sequence[float], records: Sequence[SolverRecord]
) -> tuple[Pass, ...]:
    """Sections of passes given as (name, text with all options), with what solvers did in each."""
    return tuple(
        Pass(
            name=name,
            options=options,
            seconds=taken,
            solvers=tuple(_solver(r) for r in records if r.pass_name == name),
        )
        for (name, options), taken in zip(names, seconds, strict=True)
    )


def _solver(record: SolverRecord) -> Solver:
    return Solver(
        solver=record.solver,
        status=record.status,
        value=record.value if isfinite(record.value) else None,
        bound=record.bound if isfinite(record.bound) else None,
        seconds=record.seconds,
    )
