from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from imccompiler.report import trace
from imccompiler.report.trace import Events, merge_runs, trace_events, write_trace

Make = Callable[[list[tuple[int, int, int, float, float]]], Events]


def slices(events: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [e for e in events if e["ph"] == "X"]


def test_cores_are_processes_and_units_threads(make_events: Make) -> None:
    events = make_events([(3, 0, 0, 1000.0, 2500.0), (3, 2, 1, 0.0, 500.0)])
    written = list(trace_events(events, ["conv", "pool"]))
    names = {(e["name"], e["args"]["name"]) for e in written if e["ph"] == "M"}
    assert names == {
        ("process_name", "core 3"),
        ("thread_name", "matrix"),
        ("thread_name", "transfer"),
    }
    conv, pool = slices(written)
    assert (conv["name"], conv["cat"], conv["pid"]) == ("conv", "mvmul", 3)
    assert (conv["ts"], conv["dur"]) == (1.0, 1.5)  # microseconds
    assert (pool["name"], pool["cat"]) == ("pool", "ld")


def test_work_at_the_same_time_never_shares_a_thread(make_events: Make) -> None:
    random = np.random.default_rng(0)
    rows = [
        (int(random.integers(3)), 0, 0, start, start + 30.0 * random.random())
        for start in (100.0 * random.random(200)).tolist()
    ]
    threads: dict[tuple[int, int], list[tuple[float, float]]] = defaultdict(list)
    for event in slices(list(trace_events(make_events(rows), ["a"]))):
        assert event["tid"] % len(trace.UNITS) == 0
        threads[event["pid"], event["tid"]].append((event["ts"], event["ts"] + event["dur"]))
    assert len(threads) > 3
    for spans in threads.values():
        spans.sort()
        assert all(a[1] <= b[0] + 1e-9 for a, b in pairwise(spans))


def test_runs_of_a_layer_are_merged(make_events: Make) -> None:
    events = make_events(
        [
            (0, 1, 0, 0.0, 10.0),
            (0, 1, 0, 20.0, 30.0),
            (0, 1, 1, 30.0, 40.0),
            (0, 1, 0, 40.0, 50.0),
            (0, 2, 0, 5.0, 6.0),
        ]
    )
    merged = merge_runs(events)
    spans = merged[["unit", "layer", "start_ns", "end_ns"]].tolist()
    assert spans == [(1, 0, 0.0, 30.0), (1, 1, 30.0, 40.0), (1, 0, 40.0, 50.0), (2, 0, 5.0, 6.0)]
    assert len(merge_runs(make_events([]))) == 0


@pytest.mark.parametrize("most", [1, 100])
def test_file_is_json_and_says_whether_it_was_merged(
    make_events: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr(trace, "MOST_EVENTS", most)
    events = make_events([(0, 1, 0, 0.0, 10.0), (0, 1, 0, 20.0, 30.0)])
    write_trace(tmp_path / "trace.json", events, ["conv"])
    data = json.loads((tmp_path / "trace.json").read_text())
    assert data["otherData"]["merged"] == (most == 1)
    assert len(slices(data["traceEvents"])) == (1 if most == 1 else 2)
