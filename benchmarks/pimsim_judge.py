"""What pimsim-nn, an independent simulator, says of the compiled streams, beside our own figures.

    python benchmarks/pimsim_judge.py --judge PATH/TO/ChipTest [--networks lenet ...]
        [--crossbars physical logical] [--rob 1 16] [--steady 50] [--json]

`--judge` is the program that a build of pimsim-nn leaves. Each network is compiled for `pimcomp`,
and its one stream is run with each number of operations in flight. Every core must finish. Off:
(ours - pimsim-nn's) / pimsim-nn's. `--steady` also runs each stream over and over, for so many
images: with few of them pimsim-nn's rate, which counts the start, is too low.
"""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from printing import markdown, parser

import imccompiler
from imccompiler import models
from imccompiler.backends import pimsim
from imccompiler.errors import ImcError
from imccompiler.hardware.load import load, vary
from imccompiler.hardware.logical import logical
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.report.console import emit_json
from imccompiler.report.units import energy_text, time_text
from imccompiler.simulator.timing import simulate, simulate_steady

NETWORKS = ("lenet", "squeezenet", "resnet18")
TIME_LIMIT = 1.2  # times our latency: pimsim-nn simulates all of it, whatever happens


@dataclass(frozen=True, slots=True)
class Row:
    """One stream with one number of operations in flight: pimsim-nn's figures and ours."""

    network: str
    crossbars: str
    rob_size: int
    instructions: int
    judged_latency_ns: float
    latency_ns: float
    judged_energy_pj: float
    energy_pj: float
    judged_images_per_s: float | None
    images_per_s: float | None


class Judge:
    """pimsim-nn, and the stream in a folder."""

    def __init__(self, command: Sequence[str], folder: Path, cores: int) -> None:
        self._command = [*command, str(folder / pimsim.PROGRAM_FILE)]
        self._folder = folder
        self._cores = cores
        self._chip = json.loads((folder / pimsim.CHIP_FILE).read_text(encoding="utf-8"))

    def image(self, rob_size: int, limit_ns: float) -> tuple[float, float]:
        """Nanoseconds and picojoules of one image.

        Raises:
            SystemExit: A core does not finish, about which pimsim-nn itself is silent.
        """
        said = self._run(rob_size, mode=1, time_ns=limit_ns)
        finished = len(set(re.findall(r"^core: (\d+) finish", said, re.MULTILINE)))
        if finished != self._cores:
            raise SystemExit(f"{finished} of {self._cores} cores finish in {limit_ns:.0f} ns")
        return 1e6 * _figure("latency", said), _figure("average energy", said)

    def images_per_s(self, rob_size: int, time_ns: float) -> float:
        """Throughput when each core begins again as soon as it is at its end (three digits)."""
        return _figure("throughput", self._run(rob_size, mode=0, time_ns=time_ns))

    def _run(self, rob_size: int, *, mode: int, time_ns: float) -> str:
        self._chip["chip_config"]["core_config"]["rob_size"] = rob_size
        self._chip["sim_config"] |= {"sim_mode": mode, "sim_time": time_ns / 1e6}
        chip = self._folder / "judged.json"
        chip.write_text(json.dumps(self._chip), encoding="utf-8")
        command = [*self._command, str(chip)]
        done = subprocess.run(command, capture_output=True, check=False)
        said = done.stdout.decode(errors="replace")
        if done.returncode:
            raise SystemExit(f"{shlex.join(command)}: exit code {done.returncode}\n{said[-500:]}")
        return said


def _figure(name: str, said: str) -> float:
    found = re.search(rf"^\s*- {name}:\s+(\S+)", said, re.MULTILINE)
    if found is None:
        raise SystemExit(f"the judge says no {name}:\n{said[-500:]}")
    return float(found[1])


def measure(
    network: str, crossbars: str, robs: Sequence[int], command: Sequence[str], *, steady: int
) -> list[Row]:
    """Compile, write the stream, and run it with each number of operations in flight.

    Raises:
        ImcError: The network cannot be compiled, or pimsim-nn cannot run it.
    """
    machine = load("pimcomp") if crossbars == "physical" else logical(load("pimcomp"))
    program = imccompiler.compile(network, machine).program
    if program is None:
        raise SystemExit(f"{network}: the pipeline emits no program")
    with tempfile.TemporaryDirectory() as name:
        summary = pimsim.write(program, machine, Path(name))
        judge = Judge(command, Path(name), summary.cores)
        return [
            _row(network, program, vary(machine, {"core.rob_size": rob}), summary, judge, steady)
            for rob in robs
        ]


def _row(
    network: str,
    program: Program,
    machine: Machine,
    summary: pimsim.Summary,
    judge: Judge,
    steady: int,
) -> Row:
    rob = machine.main_kind.rob_size
    ours = simulate(program, machine)
    latency_ns, energy_pj = judge.image(rob, TIME_LIMIT * ours.latency_ns)
    interval_ns = simulate_steady(program, machine).interval_ns if steady else None
    throughput = None
    if interval_ns is not None:
        throughput = judge.images_per_s(rob, steady * interval_ns)
    print(f"{network}, {machine.crossbar_count}, rob {rob}: judged", file=sys.stderr)
    return Row(
        network=network,
        crossbars=machine.crossbar_count,
        rob_size=rob,
        instructions=summary.instructions,
        judged_latency_ns=latency_ns,
        latency_ns=ours.latency_ns,
        judged_energy_pj=energy_pj,
        energy_pj=sum(ours.energy_pj.values()),
        judged_images_per_s=throughput,
        images_per_s=None if interval_ns is None else 1e9 / interval_ns,
    )


def table(rows: list[Row]) -> str:
    """One row a run."""
    columns = (
        *("network", "crossbars", "rob", "instructions", "latency", "ours", "off"),
        *("energy", "ours", "off", "images/s", "ours", "off"),
    )
    cells = [
        (
            *(row.network, row.crossbars, str(row.rob_size), f"{row.instructions:,}"),
            *(time_text(row.judged_latency_ns), time_text(row.latency_ns)),
            _off(row.latency_ns, row.judged_latency_ns),
            *(energy_text(row.judged_energy_pj), energy_text(row.energy_pj)),
            _off(row.energy_pj, row.judged_energy_pj),
            *(_rate(row.judged_images_per_s), _rate(row.images_per_s)),
            _off(row.images_per_s, row.judged_images_per_s),
        )
        for row in rows
    ]
    return markdown(columns, cells)


def _off(ours: float | None, judged: float | None) -> str:
    return "-" if ours is None or judged is None else f"{100 * (ours / judged - 1):+.2f} %"


def _rate(images_per_s: float | None) -> str:
    return "-" if images_per_s is None else f"{images_per_s:,.0f}"


def main() -> None:
    """Judge all networks that were asked for."""
    options = parser(__doc__)
    options.add_argument("--judge", required=True, help="the simulator's program")
    options.add_argument("--networks", nargs="+", default=NETWORKS, choices=models.names())
    counts = ("physical", "logical")
    options.add_argument("--crossbars", nargs="+", default=counts, choices=counts)
    options.add_argument("--rob", nargs="+", type=int, default=(1, 16))
    options.add_argument("--steady", type=int, default=0, metavar="IMAGES", help="rates as well")
    given = options.parse_args()
    rows: list[Row] = []
    for network in given.networks:
        for crossbars in given.crossbars:
            command = shlex.split(given.judge)
            try:
                rows += measure(network, crossbars, given.rob, command, steady=given.steady)
            except ImcError as error:
                print(f"{network}, {crossbars}: {error}", file=sys.stderr)
    if given.json:
        emit_json([asdict(row) for row in rows])
    elif rows:
        print(table(rows))
    sys.exit(0 if rows else 1)


if __name__ == "__main__":
    main()
