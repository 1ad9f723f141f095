"""Builds the report of a compilation from what the passes left."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from math import isfinite
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from imccompiler.passes import registry
from imccompiler.passes.base import CompileContext, SolverRecord
from imccompiler.report.layers import crossbar_use, layers
from imccompiler.report.schema import (
    Binds,
    Check,
    Coverage,
    Energy,
    LowerBound,
    OperatorCoverage,
    Pass,
    Report,
    Solver,
)

if TYPE_CHECKING:
    from imccompiler.frontend import Network
    from imccompiler.passes.estimate import Estimate

_VERSIONED = ("imccompiler", "xdsl", "numpy", "onnx", "onnxruntime", "ortools")


def build_report(
    network: Network,
    module: ModuleOp,
    context: CompileContext,
    ran: Sequence[tuple[ModulePass, float]],
    check: Check | None,
) -> Report:
    """The report of a module that a pipeline has mapped.

    Args:
        network: As imported.
        module: As the passes left it.
        context: As the passes left it; figures are null where no pass found them out.
        ran: The passes, and the seconds that each took.
        check: What the check found, if it was asked for.
    """
    plan, program = _plan(context), context.program
    by_layer = {} if plan is None else plan.energy_pj_by_layer
    return Report(
        model=network.name,
        model_file=None,
        bindings=dict(network.bindings),
        opset=network.opset,
        hardware=context.machine.name,
        objective=context.objective,
        effort=context.effort,
        seed=context.seed,
        pipeline=registry.render(tuple(item for item, _ in ran)),
        latency_ns=plan and plan.latency_ns,
        interval_ns=plan and plan.interval_ns,
        energy_pj=energy_section(plan.energy_pj, by_layer) if plan else None,
        area_mm2=plan and plan.area_mm2,
        power_mw=plan and plan.power_mw,
        lower_bound=_lower_bound(plan) if plan else None,
        simulated=None,
        crossbars=crossbar_use(module, program, context.machine) if program else None,
        coverage=_coverage(network),
        check=check,
        passes=_passes(ran, context.solver_records),
        layers=layers(module, program, by_layer),
        versions=dict(versions()),
        hashes=None,
        notes=(*network.notes, *context.notes),
    )


def _plan(context: CompileContext) -> Estimate | None:
    held = context.analyses.get("estimate")
    return held[1] if held else None


def energy_section(by_component: Mapping[str, float], by_layer: Mapping[str, float]) -> Energy:
    """Energies, with their total."""
    return Energy(
        total=sum(by_component.values()),
        by_component=dict(by_component),
        by_layer=dict(by_layer),
    )


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


def _lower_bound(plan: Estimate) -> LowerBound:
    return LowerBound(
        latency_ns=plan.latency_bound_ns,
        interval_ns=plan.interval_bound_ns,
        energy_pj=plan.energy_bound_pj,
        binds=Binds(
            latency=plan.latency_binds, interval=plan.interval_binds, energy=plan.energy_binds
        ),
    )


def _coverage(network: Network) -> Coverage:
    found = network.coverage
    return Coverage(
        operators=tuple(OperatorCoverage(**asdict(o)) for o in found.operators),
        crossbar_macs=found.crossbar_macs,
        dynamic_macs=found.dynamic_macs,
        host_macs=found.macs("host"),
        digital_elements=found.digital_elements,
        host_elements=found.elements("host"),
        crossbar_share=found.crossbar_share,
        dynamic_share=found.share("dynamic"),
        host_share=found.share("host"),
    )


def _passes(
    ran: Sequence[tuple[ModulePass, float]], records: Sequence[SolverRecord]
) -> tuple[Pass, ...]:
    return tuple(
        Pass(
            name=item.name,
            options=str(item.spec(include_default=True)),
            seconds=taken,
            solvers=tuple(_solver(r) for r in records if r.pass_name == item.name),
        )
        for item, taken in ran
    )


def _solver(record: SolverRecord) -> Solver:
    return Solver(
        solver=record.solver,
        status=record.status,
        value=record.value if isfinite(record.value) else None,
        bound=record.bound if isfinite(record.bound) else None,
        seconds=record.seconds,
    )
