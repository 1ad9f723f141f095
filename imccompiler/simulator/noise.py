"""Noise of cells: what differs from the ideal levels, from counter-based random numbers.

Every number is addressed by (seed, sample, where, when, position), so that results depend
neither on batching nor on the order of execution. Deviations are in cell levels: one level is
(g_max - g_min) / (2^bits - 1).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.hardware.schema import Cell

_WORDS = 4  # 64-bit words of one step of the Philox counter


class Purpose(IntEnum):
    """What random numbers are for; each has numbers of its own."""

    PROGRAMMING = 1
    READING = 2


@dataclass(frozen=True, slots=True)
class Stream:
    """A stream of random numbers.

    Attributes:
        seed: Of everything.
        sample: Which chip of a Monte Carlo study.
        purpose: What the numbers are for.
        core: Where.
        place: A crossbar or a group of the core.
    """

    seed: int
    sample: int
    purpose: Purpose
    core: int
    place: int

    def normals(
        self, count: int, *, start: int = 0, event: int = 0, part: int = 0
    ) -> NDArray[np.float32]:
        """Standard normal numbers at positions start .. start + count of an event's part.

        Box-Muller on Philox 4x64: one 64-bit word gives two numbers, up to 6.7 sigma.
        """
        first, end = start // 2, -(-(start + count) // 2)
        step = first // _WORDS
        where = int(self.purpose) << 48 | self.core << 24 | self.place
        generator = np.random.Philox(
            key=[self.seed, where], counter=[step, event, part, self.sample]
        )
        words = generator.random_raw(end - step * _WORDS)[first - step * _WORDS :]
        # 32 bits each; the radius' ones are shifted by half a step, for log(0) must not happen
        uniform = ((words >> np.uint64(32)).astype(np.float64) + 0.5) * 2.0**-32
        angle = (words & np.uint64(0xFFFFFFFF)).astype(np.float64) * (2.0**-32 * 2 * np.pi)
        radius = np.sqrt(-2 * np.log(uniform))
        pairs = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=1)
        begin = start - 2 * first
        return pairs.reshape(-1)[begin : begin + count].astype(np.float32)


def levels_of_g_max(cell: Cell) -> float:
    """g_max in cell levels."""
    return ((1 << cell.bits) - 1) * cell.g_max_us / (cell.g_max_us - cell.g_min_us)


def programmed_levels(
    levels: NDArray[Any], cell: Cell, normals: NDArray[np.float32], *, pairs: bool = False
) -> NDArray[np.float32]:
    """Levels after programming: each off by a normal error; no conductance falls below zero.

    Args:
        levels: Ideal levels, any shape.
        cell: Whose `programming_error` is a share of g_max.
        normals: Standard normal numbers of that shape.
        pairs: Levels are differences of two devices, and so is their error.
    """
    full = levels_of_g_max(cell)
    # the level of zero conductance
    lowest = -np.inf if pairs else ((1 << cell.bits) - 1) - full
    return np.maximum(levels + cell.programming_error * full * normals, lowest).astype(np.float32)


@dataclass(frozen=True, slots=True)
class ReadNoise:
    """Noise of one multiplication: independent in every cell, cycle and image.

    Cells of a bit line add up to one normal number with the variance sum_k (x_k sigma)^2 over
    its driven cells, x_k the digit of row k.

    Attributes:
        sigma: Standard deviation of one cell's read, in levels.
        stream: Random numbers of the group.
        call: Number of the multiplication, counted for the group.
        first_image: Number of the batch's first image.
        first_row: Of the row block that is multiplied, among the group's inputs.
    """

    sigma: float
    stream: Stream
    call: int
    first_image: int
    first_row: int = 0

    def draw(self, row: int, first: int, shape: tuple[int, int, int]) -> NDArray[np.float32]:
        """Standard normal numbers (images, digits, bit lines) of a pass that begins at `row`.

        `first` counts images within the batch.
        """
        each = shape[1] * shape[2]
        start, part = (self.first_image + first) * each, self.first_row + row
        numbers = self.stream.normals(shape[0] * each, start=start, event=self.call, part=part)
        return numbers.reshape(shape)
