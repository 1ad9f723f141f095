"""Accuracy of a design: its arithmetic executed on labelled data, once for all that share it.

The numbers that a chip computes follow from its crossbars, cells and converters, its widths and
the quantised network. How many copies a layer has, where they stand and when they work changes
no number: `tests/search` holds this. So a design is executed on a bench, one core with the same
crossbars that holds one copy of every layer, and designs whose bench is the same share a
measurement.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from imccompiler.compiler import Compilation, compile, evaluate  # noqa: A004
from imccompiler.hardware.load import content_hash
from imccompiler.hardware.schema import Cores, Machine
from imccompiler.search.memo import Memo
from imccompiler.search.pipelines import text_of
from imccompiler.search.problem import Payload, Problem, problem_of

BENCH_CROSSBARS = 1 << 16
BENCH_MEMORY_KIB = 1 << 20
_PLACING = ("segment", "replicate", "place", "schedule", "allocate", "emit", "estimate")
_MEASURED: Memo[float] = Memo(4096)


def accuracy_of(
    payload: Payload, network: str, machine: Machine, options: Mapping[str, Any]
) -> float:
    """Share of samples that a design classifies rightly with the machine's own ADC.

    Args:
        payload: A space with data.
        network: One of its networks.
        machine: A machine with one kind of core.
        options: Of the passes; those of passes that only place and order work change nothing.
    """
    problem = problem_of(payload)
    numeric = {k: v for k, v in options.items() if k.partition(".")[0] not in _PLACING}
    text = text_of(problem.space.mapping.pipeline, numeric)
    bench = bench_of(machine)

    def measure() -> float:
        compilation = compile(
            problem.network(network),
            bench,
            passes=text,
            effort=0,
            seed=problem.space.seed,
            calibration=problem.calibration,
        )
        return execute(compilation, problem)

    return _MEASURED.of((payload, network, content_hash(bench), text), measure)


def execute(compilation: Compilation, problem: Problem) -> float:
    """Accuracy of a compiled program on the data of a space."""
    samples = problem.samples
    if samples is None:
        raise ValueError("a space without data has no accuracy")
    accuracy = evaluate(compilation, samples.inputs, samples.labels).run.accuracy
    if accuracy is None:
        raise ValueError("there were labels, so there is an accuracy")
    return accuracy


def bench_of(machine: Machine) -> Machine:
    """One core that computes as the machine's main kind; what changes no number is uniform."""
    kind = machine.main_kind
    adc = kind.crossbar.adc.model_copy(update={"per_crossbar": 1})
    core = kind.model_copy(
        update={
            "crossbars": BENCH_CROSSBARS,
            "crossbar": kind.crossbar.model_copy(update={"adc": adc}),
            "local_memory": kind.local_memory.model_copy(update={"kib": BENCH_MEMORY_KIB}),
            "vector": kind.vector.model_copy(update={"lanes": 1}),
        }
    )
    cores = (Cores(kind="bench", count=1),)
    chip = machine.chip.model_copy(update={"grid": (1, 1), "cores": cores})
    return machine.model_copy(update={"core_kinds": {"bench": core}, "chip": chip})
