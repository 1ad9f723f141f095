"""A simulated run as a Chrome trace, which ui.perfetto.dev opens.

A process is a core, a thread one of its units; a unit that works on several operations at once
gets a thread for each. Times are microseconds, as the format has it.
"""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.program.isa import Op

UNITS = ("matrix", "vector", "transfer")
MOST_EVENTS = 100_000

Events = NDArray[np.void]
"""Structured: core, unit, layer, op, start_ns, end_ns."""


def write_trace(path: Path, events: Events, layers: Sequence[str]) -> None:
    """Write a trace file; runs of one layer on one unit are merged where events are too many.

    Args:
        path: The JSON file.
        events: Of the timing simulator.
        layers: Names that the column `layer` counts.
    """
    merged = len(events) > MOST_EVENTS
    if merged:
        events = merge_runs(events)
    lines = ",\n".join(json.dumps(e) for e in trace_events(events, layers, names_ops=not merged))
    note = json.dumps({"merged": merged})
    text = f'{{"displayTimeUnit":"ns","otherData":{note},"traceEvents":[\n{lines}\n]}}\n'
    path.write_text(text, encoding="utf-8")


def trace_events(
    events: Events, layers: Sequence[str], *, names_ops: bool = True
) -> Iterator[dict[str, Any]]:
    """Events of the Chrome trace format: names of processes and threads, then the slices."""
    events = _sorted(events)
    threads = _threads(events)
    for core in np.unique(events["core"]):
        yield _name("process_name", int(core), 0, f"core {core}")
    for core, thread in sorted(set(zip(events["core"].tolist(), threads, strict=True))):
        unit, lane = thread % len(UNITS), thread // len(UNITS)
        yield _name("thread_name", core, thread, UNITS[unit] + (f" {lane + 1}" if lane else ""))
    for event, thread in zip(events, threads, strict=True):
        layer, op = int(event["layer"]), Op(int(event["op"])).name.lower()
        yield {
            "ph": "X",
            "pid": int(event["core"]),
            "tid": thread,
            "ts": float(event["start_ns"]) / 1e3,
            "dur": float(event["end_ns"] - event["start_ns"]) / 1e3,
            "name": layers[layer] if 0 <= layer < len(layers) else op,
            **({"cat": op} if names_ops else {}),
        }


def merge_runs(events: Events) -> Events:
    """One event for each run of events of one layer on one unit, from its start to its end."""
    events = _sorted(events)
    if not len(events):
        return events
    same = np.ones(len(events) - 1, bool)
    for column in ("core", "unit", "layer"):
        same &= events[column][1:] == events[column][:-1]
    first = np.concatenate([[0], np.flatnonzero(~same) + 1])
    merged = events[first].copy()
    merged["end_ns"] = np.maximum.reduceat(events["end_ns"], first)
    return merged


def _sorted(events: Events) -> Events:
    return events[np.lexsort((events["start_ns"], events["unit"], events["core"]))]


def _threads(events: Events) -> list[int]:
    """A thread for each event: its unit, and a further lane where it overlaps earlier ones."""
    busy: list[tuple[float, int]] = []  # (end, lane) of the lanes in use
    free: list[int] = []
    lanes, current, threads = 0, (-1, -1), [0] * len(events)
    columns = (events[c].tolist() for c in ("core", "unit", "start_ns", "end_ns"))
    for i, (core, unit, start, end) in enumerate(zip(*columns, strict=True)):
        if (core, unit) != current:
            busy, free, lanes, current = [], [], 0, (core, unit)
        while busy and busy[0][0] <= start:
            heapq.heappush(free, heapq.heappop(busy)[1])
        if free:
            lane = heapq.heappop(free)
        else:
            lane, lanes = lanes, lanes + 1
        heapq.heappush(busy, (end, lane))
        threads[i] = lane * len(UNITS) + unit
    return threads


def _name(kind: str, core: int, thread: int, name: str) -> dict[str, Any]:
    return {"ph": "M", "name": kind, "pid": core, "tid": thread, "args": {"name": name}}
