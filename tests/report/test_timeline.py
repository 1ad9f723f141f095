from __future__ import annotations

import base64
import io
import struct
from collections.abc import Callable

import numpy as np

from imccompiler.report.timeline import core_timeline, layer_spans, timeline_image
from imccompiler.report.trace import Events

Make = Callable[[list[tuple[int, int, int, float, float]]], Events]


def test_share_of_each_bin_equals_brute_force(make_events: Make) -> None:
    random = np.random.default_rng(1)
    rows: list[tuple[int, int, int, float, float]] = []
    for core in (2, 5):
        for unit in range(3):
            ends = np.sort(random.random(20) * 100.0)
            rows += [
                (core, unit, 0, float(a), float(b))
                for a, b in zip(ends[::2], ends[1::2], strict=True)
            ]
    timeline = core_timeline(make_events(rows), bins=7)
    assert timeline.cores.tolist() == [2, 5]
    assert timeline.end_ns == max(row[4] for row in rows)
    width = timeline.end_ns / 7
    for row, core in enumerate((2, 5)):
        for unit in range(3):
            for k in range(7):
                work = sum(
                    max(0.0, min(b, (k + 1) * width) - max(a, k * width))
                    for c, u, _, a, b in rows
                    if (c, u) == (core, unit)
                )
                assert abs(timeline.busy[row, k, unit] - work / width) < 1e-9


def test_layers_in_order_of_their_beginning(make_events: Make) -> None:
    events = make_events([(0, 0, 1, 50.0, 60.0), (0, 0, 0, 5.0, 10.0), (3, 1, 1, 40.0, 45.0)])
    first, second = layer_spans(events, ["a", "b"])
    assert (first.layer, first.start_ns, first.end_ns, first.work_ns) == ("a", 5.0, 10.0, 5.0)
    assert (second.layer, second.start_ns, second.end_ns, second.cores) == ("b", 40.0, 60.0, 2)


def test_image_is_a_png_with_a_row_a_core(make_events: Make) -> None:
    uri = timeline_image(core_timeline(make_events([(0, 0, 0, 0.0, 5.0), (4, 1, 0, 0.0, 10.0)])))
    head, _, content = uri.partition(",")
    assert head == "data:image/png;base64"
    data = io.BytesIO(base64.b64decode(content))
    assert data.read(8) == b"\x89PNG\r\n\x1a\n"
    length, kind, width, height = struct.unpack(">I4sII", data.read(16))
    assert (length, kind, width, height) == (13, b"IHDR", 480, 2)
