"""How long compiling takes, and how much memory: whole processes, cold, and one process, warm.

    python benchmarks/compile_speed.py [--repeat 3] [--json]

`imcc compile` counts from the start of the process to its end, a program written to disk; the
median of some runs. CPU seconds add up all threads, and are what remains comparable where other
work runs beside. Memory is the largest resident set of the process. Recompilation counts how
often a second one process compiles the digits CNN for another variant of `isaac`.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import islice, product
from pathlib import Path

from printing import markdown, parser

import imccompiler
from imccompiler import models
from imccompiler.frontend import load_onnx
from imccompiler.report.console import emit_json

IMCC = Path(sysconfig.get_path("scripts")) / "imcc"
MIB = 2**20
RSS_BYTES = 1 if sys.platform == "darwin" else 1024  # the unit of ru_maxrss: getrusage(2)
VARIANTS = {
    "crossbar.rows": (64, 128, 256),
    "adc.bits": (5, 6, 7, 8),
    "core.crossbars": (16, 32, 64, 96),
    "adc.per_crossbar": (1, 2),
}


@dataclass(frozen=True, slots=True)
class Process:
    """A command from start to end: the medians of some runs, and the largest memory of all."""

    command: str
    seconds: float
    cpu_seconds: float
    peak_mib: float


@dataclass(frozen=True, slots=True)
class Recompilation:
    """Compilations in one process, each for another machine."""

    compilations: int
    per_second: float
    cpu_ms: float
    slowest_ms: float


def run_process(arguments: list[str]) -> tuple[float, float, float]:
    """Run `imcc` once; returns its wall time and its time on processors (s), and its peak MiB."""
    began = time.perf_counter()
    process = subprocess.Popen([IMCC, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"imcc {' '.join(arguments)}: exit code {process.returncode}")
    return seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * RSS_BYTES / MIB


def measure_process(command: str, output: Sequence[str], repeat: int) -> Process:
    """Run a command of `imcc` some times."""
    runs = [run_process([*command.split(), *output]) for _ in range(repeat)]
    seconds, cpu_seconds, peaks = zip(*runs, strict=True)
    return Process(
        f"imcc {command}", statistics.median(seconds), statistics.median(cpu_seconds), max(peaks)
    )


def processes(repeat: int) -> list[Process]:
    """Help, and ResNet-18 at 224 x 224 on `pimcomp`, without and with solvers."""
    resnet = "compile resnet18 --hardware pimcomp"
    with tempfile.TemporaryDirectory() as folder:
        output = ("-o", str(Path(folder) / "out"))
        return [
            measure_process("--help", (), repeat),
            measure_process(f"{resnet} --effort 0", output, repeat),
            measure_process(resnet, output, repeat),
        ]


def variants() -> Iterator[list[str]]:
    """Overrides of `isaac`, all different."""
    for values in product(*VARIANTS.values()):
        yield [f"{key}={value}" for key, value in zip(VARIANTS, values, strict=True)]


def recompilation(count: int) -> Recompilation:
    """Compile the digits CNN for `count` machines, after one more to warm up."""
    network = load_onnx(models.build("digits-cnn"))
    calibration = {"image": models.digits.calibration()}
    seconds: list[float] = []
    first, *others = islice(variants(), count + 1)
    imccompiler.compile(network, "isaac", set=first, effort=0, calibration=calibration)
    cpu_began = time.process_time()
    for overrides in others:
        began = time.perf_counter()
        imccompiler.compile(network, "isaac", set=overrides, effort=0, calibration=calibration)
        seconds.append(time.perf_counter() - began)
    cpu_ms = 1000 * (time.process_time() - cpu_began) / count
    return Recompilation(count, count / sum(seconds), cpu_ms, 1000 * max(seconds))


def tables(found: list[Process], again: Recompilation) -> str:
    """The figures for people."""
    columns = ("whole process", "seconds", "CPU seconds", "peak MiB")
    whole = [
        (item.command, f"{item.seconds:.2f}", f"{item.cpu_seconds:.2f}", f"{item.peak_mib:.0f}")
        for item in found
    ]
    others = ("in one process, other hardware each time", "a second", "CPU ms each", "slowest ms")
    once = (f"{again.per_second:.1f}", f"{again.cpu_ms:.0f}", f"{again.slowest_ms:.0f}")
    again_row = (f"digits-cnn, effort 0, {again.compilations} machines", *once)
    return f"{markdown(columns, whole)}\n\n{markdown(others, [again_row])}"


def main() -> None:
    """Measure and print."""
    arguments = parser(__doc__)
    arguments.add_argument("--repeat", type=int, default=3, help="runs of each process")
    arguments.add_argument("--recompilations", type=int, default=50, help="at most 95")
    options = arguments.parse_args()
    found, again = processes(options.repeat), recompilation(options.recompilations)
    if options.json:
        emit_json({"processes": [asdict(p) for p in found], "recompilation": asdict(again)})
    else:
        print(tables(found, again))


if __name__ == "__main__":
    main()
