"""What the cores and layers did over time, from the events of a simulated run."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from imccompiler.report.trace import UNITS, Events

BINS = 480
UNIT_COLOURS = np.array([[79, 107, 237], [232, 131, 58], [42, 161, 152]], float)  # RGB, as UNITS


@dataclass(frozen=True, slots=True)
class Timeline:
    """Work of the cores in equal bins of time.

    Attributes:
        cores: Numbers of the cores that work at all, shape (rows,).
        busy: Share of each bin in which a unit works, shape (rows, bins, units).
        end_ns: End of the last bin.
    """

    cores: NDArray[np.int64]
    busy: NDArray[np.float64]
    end_ns: float


@dataclass(frozen=True, slots=True)
class Span:
    """From the start of a layer's first operation to the end of its last, and its work."""

    layer: str
    start_ns: float
    end_ns: float
    work_ns: float
    cores: int


def core_timeline(events: Events, bins: int = BINS) -> Timeline:
    """Share of time in which each unit of each core works.

    The work until an edge t is the sum over events of max(0, t - start) - max(0, t - end), for
    which the counts and sums of starts and ends below t are enough.
    """
    end_ns = float(events["end_ns"].max(initial=0.0))
    cores, row = np.unique(events["core"], return_inverse=True)
    series = row.astype(np.int64) * len(UNITS) + events["unit"]
    count = len(cores) * len(UNITS)
    edges = np.linspace(0.0, end_ns, bins + 1)
    done = _ramps(events["start_ns"], series, count, edges) - _ramps(
        events["end_ns"], series, count, edges
    )
    share = np.diff(done, axis=1) / max(end_ns / bins, 1e-12)
    busy = np.clip(share, 0.0, 1.0).reshape(len(cores), len(UNITS), bins).transpose(0, 2, 1)
    return Timeline(cores.astype(np.int64), busy, end_ns)


def layer_spans(events: Events, layers: Sequence[str]) -> tuple[Span, ...]:
    """When each layer begins and ends, in order of its beginning."""
    spans: list[Span] = []
    for number in map(int, np.unique(events["layer"])):
        own = events[events["layer"] == number]
        if not 0 <= number < len(layers):
            continue
        spans.append(
            Span(
                layer=layers[number],
                start_ns=float(own["start_ns"].min()),
                end_ns=float(own["end_ns"].max()),
                work_ns=float((own["end_ns"] - own["start_ns"]).sum()),
                cores=len(np.unique(own["core"])),
            )
        )
    return tuple(sorted(spans, key=lambda s: (s.start_ns, s.end_ns)))


def timeline_image(timeline: Timeline) -> str:
    """A PNG as a data URI: a row a core, a column a bin, the units' colours mixed by work."""
    total = timeline.busy.sum(axis=2, keepdims=True)
    weights = timeline.busy / np.maximum(total, 1e-12)
    alpha = np.clip(timeline.busy.max(axis=2, keepdims=True), 0.0, 1.0) ** 0.7
    pixels = np.concatenate([weights @ UNIT_COLOURS, 255.0 * alpha], axis=2)
    return (
        "data:image/png;base64," + base64.b64encode(_png(pixels.round().astype(np.uint8))).decode()
    )


def _ramps(
    times: NDArray[np.float64], series: NDArray[np.int64], count: int, edges: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Sum of max(0, edge - time) over the times of each series, shape (count, edges)."""
    slot = series * len(edges) + np.searchsorted(edges, times, side="left")
    slot = np.minimum(slot, series * len(edges) + len(edges) - 1)
    below = np.bincount(slot, minlength=count * len(edges)).reshape(count, -1).cumsum(axis=1)
    sums = np.bincount(slot, weights=times, minlength=count * len(edges))
    return below * edges - sums.reshape(count, -1).cumsum(axis=1)


def _png(pixels: NDArray[np.uint8]) -> bytes:
    """An RGBA image of shape (height, width, 4) as a PNG file (ISO/IEC 15948, no filter)."""
    height, width, _ = pixels.shape
    lines = np.concatenate([np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1)
    header = struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0)
    body = _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(lines.tobytes(), 9))
    return b"\x89PNG\r\n\x1a\n" + body + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
