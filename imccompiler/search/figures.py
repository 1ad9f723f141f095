"""Time, energy and area of a compiled program by metric, and the rung that each is from."""

from __future__ import annotations

from collections.abc import Collection

from imccompiler.compiler import Compilation, simulate
from imccompiler.errors import PassError
from imccompiler.report.schema import Report
from imccompiler.search.trial import Measured

STREAM_IMAGES = 4
"""Images that are simulated where the steady interval is asked for."""


def measured(compilation: Compilation, wanted: Collection[str]) -> dict[str, Measured]:
    """What the plan says; where that is not all that is wanted, what the simulator measures.

    Args:
        compilation: With a program.
        wanted: Metrics that must be there, accuracy aside.

    Raises:
        PassError: There is no program to measure.
    """
    plan = planned(compilation.report)
    found = {name: Measured(value, "plan") for name, value in plan.items()}
    if missing := set(wanted) - {*found, "accuracy"}:
        if compilation.program is None:
            names = ", ".join(sorted(missing))
            raise PassError(f"nothing finds out {names}", hint="the pipeline needs the pass `emit`")
        stream = bool(missing & {"interval_ns", "power_mw"})
        for name, value in _simulated(compilation, STREAM_IMAGES if stream else 1).items():
            found.setdefault(name, Measured(value, "simulate"))
    return found


def planned(report: Report) -> dict[str, float]:
    """What the passes found out, by metric; what none did is not there."""
    found = {
        "latency_ns": report.latency_ns,
        "interval_ns": report.interval_ns,
        "energy_pj": report.energy_pj and report.energy_pj.total,
        "power_mw": report.power_mw,
        "area_mm2": report.area_mm2,
        "crossbars": report.crossbars and report.crossbars.used,
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def exported(report: Report) -> dict[str, float]:
    """What is known of a written program: simulated and executed where that was done."""
    found = planned(report)
    if report.simulated is not None:
        found["latency_ns"] = report.simulated.latency_ns
        found["energy_pj"] = report.simulated.energy_pj.total
    if report.run is not None and report.run.accuracy is not None:
        found["accuracy"] = report.run.accuracy
    return found


def _simulated(compilation: Compilation, images: int) -> dict[str, float]:
    timing = simulate(compilation, images)
    energy = sum(timing.energy_pj.values())
    found = {"latency_ns": timing.latency_ns, "energy_pj": energy}
    if timing.interval_ns:
        found["interval_ns"] = timing.interval_ns
        found["power_mw"] = energy / timing.interval_ns  # a picojoule a nanosecond
    return found
