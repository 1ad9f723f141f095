"""Runs a program in time for its folder: the report's section, the trace and the page."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from imccompiler.compiler.folder import HARDWARE, PAGE, PROGRAM, TRACE, read_report, write_report
from imccompiler.errors import UserInputError
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.report.build import energy_section
from imccompiler.report.html import render
from imccompiler.report.schema import Report, Simulated
from imccompiler.report.trace import write_trace

if TYPE_CHECKING:
    from imccompiler.simulator.timing import Timing

COMPUTE_UNITS = 2  # matrix and vector unit, the first of `simulator.timing.UNITS`


def simulate_into(
    folder: Path, report: Report, program: Program, machine: Machine, images: int = 1
) -> Report:
    """Simulate a program and write trace and page into a folder; returns the fuller report.

    Args:
        folder: Where `trace.json` and `report.html` go.
        report: What is known so far.
        program: What to run.
        machine: What it runs on.
        images: Images of the stream.
    """
    from imccompiler.simulator.timing import simulate  # noqa: PLC0415

    timing = simulate(program, machine, images=images, events=True)
    section = simulated_section(timing, program, images, report.latency_ns)
    report = report.model_copy(update={"simulated": section})
    if timing.events is not None:
        write_trace(folder / TRACE, timing.events, program.layers)
    page = render(report, timing.events, program.layers)
    (folder / PAGE).write_text(page, encoding="utf-8")
    return report


def simulate_folder(folder: Path, images: int = 1) -> Report:
    """Simulate the program of a folder and bring its report, trace and page up to date.

    Raises:
        UserInputError: The folder is not one of ours, has no program or cannot be written to.
    """
    from imccompiler.hardware.load import load as load_machine  # noqa: PLC0415
    from imccompiler.program.files import load as load_program  # noqa: PLC0415

    report = read_report(folder)
    if not (folder / PROGRAM).is_dir():
        raise UserInputError("has no program", where=str(folder), hint="run the pass `emit`")
    program, machine = load_program(folder / PROGRAM), load_machine(folder / HARDWARE)
    report = simulate_into(folder, report, program, machine, images)
    write_report(folder, report)
    return report


def simulated_section(
    timing: Timing, program: Program, images: int, planned_ns: float | None
) -> Simulated:
    """The report's section on a simulation.

    Args:
        timing: What the simulator found.
        program: What ran.
        images: Images of the stream.
        planned_ns: Latency of one image as the compiler planned it.
    """
    by_layer = timing.energy_pj_by_layer.sum(axis=1).tolist()
    whole_ns = max(float(timing.image_end_ns[-1]), 1e-12)
    busiest = timing.busy_ns[:, :COMPUTE_UNITS].max(axis=1) / whole_ns
    return Simulated(
        images=images,
        latency_ns=timing.latency_ns,
        interval_ns=timing.interval_ns,
        energy_pj=energy_section(
            timing.energy_pj, dict(zip(program.layers, by_layer, strict=True))
        ),
        latency_deviation=(timing.latency_ns - planned_ns) / planned_ns if planned_ns else None,
        core_utilisation=tuple(busiest.clip(0.0, 1.0).tolist()),
    )
