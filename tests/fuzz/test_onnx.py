"""A short run of `benchmarks/fuzz.py`: always the same cases, as many as fit into the time."""

from __future__ import annotations

import importlib.util
import itertools
import sys
import time
from pathlib import Path
from types import ModuleType

import pytest

SECONDS = 12.0
BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "fuzz.py"


@pytest.fixture(scope="module")
def fuzz() -> ModuleType:
    spec = importlib.util.spec_from_file_location("fuzz_benchmark", BENCHMARK)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look themselves up
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def seeds(fuzz: ModuleType) -> list[bytes]:
    return list(fuzz.networks().values())


def test_networks_to_start_from_are_good(fuzz: ModuleType, seeds: list[bytes]) -> None:
    for data in seeds:
        fuzz.load(data)


def test_cases_are_the_same_each_time(fuzz: ModuleType, seeds: list[bytes]) -> None:
    cases = [fuzz.case(seeds, number) for number in range(20)]
    assert cases == [fuzz.case(seeds, number) for number in range(20)]
    assert len(set(cases)) == 20


@pytest.mark.parametrize("task", ["load", "compile_"])
def test_damaged_files_are_refused_or_valid(
    fuzz: ModuleType, seeds: list[bytes], task: str
) -> None:
    run = getattr(fuzz, task)
    run(seeds[0])
    until = time.monotonic() + SECONDS
    tally, findings = fuzz.run(seeds, iter(range(100_000)), run, until)
    assert not findings, "\n".join(f"{f.seed}: {f.kind} {f.detail[-1000:]}" for f in findings)
    assert tally["refused"] > 20


def test_what_may_not_happen_is_found(fuzz: ModuleType, seeds: list[bytes]) -> None:
    """A crash, an exception of another kind and a hang are each noticed."""

    def crash(data: bytes) -> None:
        if len(data) % 2:
            raise ZeroDivisionError
        import os  # noqa: PLC0415

        os.abort()

    numbers = iter(itertools.islice(itertools.count(), 12))
    tally, findings = fuzz.run(seeds, numbers, crash, time.monotonic() + 30)
    assert set(tally) == {"ZeroDivisionError", "died: -6"}
    assert len(findings) == tally.total() == 12
