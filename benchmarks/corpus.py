"""Every network of the corpus and every named network: does it compile, is it right, how accurate?

    make corpus
    python benchmarks/corpus.py [--only PATTERN ...] [--hardware NAME] [--json FILE]

A row a network. Without --hardware it is compiled for the first that holds it of `pimcomp`, four
chips of it, `examples/isaac_package.yaml` and `hermes` (in segments). Exact: the executed stream
equals the integer reference bit for bit on one input. SQNR: against ONNX Runtime in floating
point, at 8 bits; of networks with real weights, on natural inputs (`corpus_inputs.py`), every
second one for calibration and the others to measure on; of others, on seeded noise. Each network
has a process of its own with limits of time and memory. The exit code is 1 if one fails.
"""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from fnmatch import fnmatch
from functools import partial
from pathlib import Path

from corpus_case import Row
from corpus_fetch import CORPUS
from corpus_inputs import case_of
from printing import markdown, parser

from imccompiler import models
from imccompiler.report.units import share_text, time_text

LOW_DB = 20.0


def networks(patterns: list[str]) -> list[str]:
    """Paths in the corpus, then names of builders, that contain or match a pattern."""
    files = sorted(str(path.relative_to(CORPUS)) for path in CORPUS.rglob("*.onnx"))
    if not files:
        print("there is no corpus: make corpus", file=sys.stderr)
    fits = lambda name: any(fnmatch(name, f"*{p}*") for p in patterns)  # noqa: E731
    return [name for name in [*files, *models.names()] if not patterns or fits(name)]


def run(
    name: str, *, hardware: str | None, effort: int, limit_seconds: float, limit_gib: float
) -> Row:
    """The row of a network, measured in a process that may take so long and so much memory."""
    given = json.dumps({"network": name, "hardware": hardware, "effort": effort})
    command = [sys.executable, str(Path(__file__).with_name("corpus_case.py")), given]
    limit = int(limit_gib * 2**30)
    case = case_of(name)
    failed = partial(Row, name, case.trained, case.inputs is not None)
    try:
        done = subprocess.run(
            command,
            check=False,
            capture_output=True,
            text=True,
            timeout=limit_seconds,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_AS, (limit, limit)),
        )
    except subprocess.TimeoutExpired:
        return failed(error=f"more than {limit_seconds:.0f} s", seconds=limit_seconds)
    sys.stderr.write(done.stderr)
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        return failed(error=f"the process ended with {done.returncode}: {done.stderr[-200:]}")
    return Row(**json.loads(lines[-1]))


def table(rows: list[Row]) -> str:
    """One row a network."""
    columns = (
        *("network", "weights", "machine", "operators", "crossbars", "digital", "host"),
        *("on the host", "compile", "latency", "exact", "SQNR"),
    )
    return markdown(columns, [_cells(row) for row in rows if not row.error])


def _cells(row: Row) -> tuple[str, ...]:
    exact = {None: "-", True: "yes", False: "NO"}[row.bit_exact]
    chips = f", {row.chips} chips" if row.chips > 1 else ""
    segments = f" in {row.segments} segments" if row.segments > 1 else ""
    return (
        row.network,
        "real" if row.trained else "seeded",
        row.machine + chips + segments,
        str(row.operators),
        share_text(row.crossbar_share),
        share_text(row.dynamic_share),
        share_text(row.host_share),
        row.on_host or "-",
        f"{row.seconds:.1f} s",
        "-" if row.latency_ns is None else time_text(row.latency_ns),
        exact,
        "-" if row.sqnr_db is None else f"{row.sqnr_db:.1f} dB",
    )


def summary(rows: list[Row]) -> Iterator[str]:
    """Counts, the median SQNR, and what falls short."""
    good = [row for row in rows if not row.error]
    exact = sum(row.bit_exact is True for row in good)
    checked = sum(row.bit_exact is not None for row in good)
    yield f"{len(good)} of {len(rows)} networks compile; {exact} of {checked} executed are exact."
    real = [row for row in good if row.trained and row.sqnr_db is not None]
    if real:
        median = statistics.median(row.sqnr_db or 0.0 for row in real)
        yield f"Median SQNR of {len(real)} networks with real weights: {median:.1f} dB."
    for row in good:
        if row.sqnr_db is not None and row.sqnr_db < LOW_DB:
            yield f"Below {LOW_DB:.0f} dB: {row.network}, {row.sqnr_db:.1f} dB."
    for row in rows:
        if row.error:
            yield f"Failed: {row.network}: {row.error}"


def main() -> None:
    """Measure, print a table, and write JSON if asked to."""
    arguments = parser(__doc__)
    arguments.add_argument("--only", nargs="+", default=[], metavar="PATTERN")
    arguments.add_argument("--hardware", help="a preset or a YAML file, in place of the ladder")
    arguments.add_argument("--effort", type=int, default=1)
    arguments.add_argument("--limit-seconds", type=float, default=600.0)
    arguments.add_argument("--limit-gib", type=float, default=12.0)
    arguments.add_argument("--jobs", type=int, default=1)
    arguments.add_argument("--output", type=Path, help="also write JSON to this file")
    options = arguments.parse_args()
    one = partial(
        run,
        hardware=options.hardware,
        effort=options.effort,
        limit_seconds=options.limit_seconds,
        limit_gib=options.limit_gib,
    )
    rows: list[Row] = []
    with ThreadPoolExecutor(options.jobs) as pool:
        for row in pool.map(one, networks(options.only)):
            rows.append(row)
            told = row.error or f"{row.seconds:.1f} s"
            print(f"{row.network}: {told}", file=sys.stderr, flush=True)
            if options.output:
                found = json.dumps([asdict(r) for r in rows], indent=2)
                options.output.write_text(found + "\n", encoding="utf-8")
    if options.json:
        print(json.dumps([asdict(row) for row in rows], indent=2))
    else:
        print(table(rows))
        print("\n" + "\n".join(summary(rows)))
    if any(row.error or row.bit_exact is False for row in rows):
        raise SystemExit(1)


if __name__ == "__main__":
    main()
