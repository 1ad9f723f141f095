"""All named networks on both machines: are they right, how fast are they, how sure is the plan?

    python benchmarks/networks.py [--networks lenet ...] [--machines isaac ...] [--json]

A row a network and machine. Exact: the executed stream equals the integer reference bit for bit
on one input. Off plan: (simulated - planned) / planned latency. x bound: simulated over the lower
bound, which must never be below 1. The interval is that of a simulated stream of images.
"""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass
from typing import Any

from printing import markdown, parser

import imccompiler
from imccompiler import models
from imccompiler.errors import ImcError
from imccompiler.report.console import emit_json
from imccompiler.report.units import energy_text, share_text, time_text

SMALL = ("lenet", "resnet18", "squeezenet", "bert-tiny", "digits-cnn", "digits-mlp")
MACHINES = ("isaac", "pimcomp")
TOLERANCE = 1e-9  # of sums of times and energies in float64


@dataclass(frozen=True, slots=True)
class Row:
    """What was found of one network on one machine; simulated, of one image, where not said."""

    network: str
    machine: str
    bit_exact: bool
    latency_ns: float
    planned_latency_ns: float
    latency_bound_ns: float
    interval_ns: float
    interval_bound_ns: float
    energy_pj: float
    energy_bound_pj: float
    crossbars: int
    available: int
    cell_utilisation: float
    passes_seconds: float

    @property
    def deviation(self) -> float:
        """(simulated - planned) / planned latency."""
        return self.latency_ns / self.planned_latency_ns - 1.0

    @property
    def bound_holds(self) -> bool:
        """Whether nothing simulated is below its lower bound."""
        pairs = (
            (self.latency_ns, self.latency_bound_ns),
            (self.interval_ns, self.interval_bound_ns),
            (self.energy_pj, self.energy_bound_pj),
        )
        return all(value >= bound * (1.0 - TOLERANCE) for value, bound in pairs)


def measure(network: str, machine: str, *, effort: int, images: int) -> Row:
    """Compile, check, and simulate a stream.

    Raises:
        ImcError: The network cannot be compiled for the machine.
    """
    began = time.perf_counter()
    compiled = imccompiler.compile(network, machine, effort=effort, check=True)
    report = compiled.report
    timing = imccompiler.simulate(compiled, images)
    print(f"{network} on {machine}: {time.perf_counter() - began:.0f} s", file=sys.stderr)
    bound, check, crossbars = report.lower_bound, report.check, report.crossbars
    if bound is None or check is None or crossbars is None or report.latency_ns is None:
        raise SystemExit(f"{network} on {machine}: the report is incomplete")
    return Row(
        network=network,
        machine=machine,
        bit_exact=check.bit_exact,
        latency_ns=timing.latency_ns,
        planned_latency_ns=report.latency_ns,
        latency_bound_ns=bound.latency_ns,
        interval_ns=timing.interval_ns or timing.latency_ns,
        interval_bound_ns=bound.interval_ns,
        energy_pj=sum(timing.energy_pj.values()),
        energy_bound_pj=bound.energy_pj,
        crossbars=crossbars.used,
        available=crossbars.available,
        cell_utilisation=crossbars.cell_utilisation,
        passes_seconds=sum(item.seconds for item in report.passes),
    )


def table(rows: list[Row]) -> str:
    """One row a network and machine."""
    columns = (
        *("network", "machine", "exact", "latency", "off plan", "x bound", "interval", "x bound"),
        *("energy", "x bound", "crossbars", "cells", "passes"),
    )
    cells = [
        (
            row.network,
            row.machine,
            "yes" if row.bit_exact else "NO",
            time_text(row.latency_ns),
            f"{100 * row.deviation:+.2f} %",
            f"{row.latency_ns / row.latency_bound_ns:.2f}",
            time_text(row.interval_ns),
            f"{row.interval_ns / row.interval_bound_ns:.2f}",
            energy_text(row.energy_pj),
            f"{row.energy_pj / row.energy_bound_pj:.2f}",
            f"{row.crossbars:,}",
            share_text(row.cell_utilisation),
            f"{row.passes_seconds:.1f} s",
        )
        for row in rows
    ]
    return markdown(columns, cells)


def as_json(rows: list[Row], failures: dict[str, str]) -> dict[str, Any]:
    """Everything measured."""
    found = [
        {**asdict(row), "deviation": row.deviation, "bound_holds": row.bound_holds} for row in rows
    ]
    return {"rows": found, "failures": failures}


def main() -> None:
    """Measure and print; the exit code is 1 if a program is wrong or a bound is beaten."""
    arguments = parser(__doc__)
    names = models.names()
    arguments.add_argument("--networks", nargs="+", choices=names, default=SMALL)
    arguments.add_argument("--machines", nargs="+", default=MACHINES, help="presets or YAML files")
    arguments.add_argument("--effort", type=int, default=1)
    arguments.add_argument("--images", type=int, default=4, help="of the stream that is simulated")
    options = arguments.parse_args()
    rows: list[Row] = []
    failures: dict[str, str] = {}
    for network in options.networks:
        for machine in options.machines:
            try:
                row = measure(network, machine, effort=options.effort, images=options.images)
            except ImcError as error:
                failures[f"{network} on {machine}"] = str(error)
            else:
                rows.append(row)
    if options.json:
        emit_json(as_json(rows, failures))
    else:
        print(table(rows) if rows else "nothing compiled")
        for name, message in failures.items():
            print(f"{name}: {message}")
    if failures or not all(row.bit_exact and row.bound_holds for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
