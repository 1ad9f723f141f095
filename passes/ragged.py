"""Lists of different lengths in flat arrays, one after the other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def starts_of(counts: Ints) -> Ints:
    """Where each list begins, and the end of the last; shape (lists + 1,)."""
    starts = np.zeros(len(counts) + 1, np.int64)
    np.cumsum(counts, out=starts[1:])
    return starts


def rows_of(*columns: Ints) -> NDArray[np.int64]:
    """A table of these columns."""
    return np.array(columns, np.int64).T


def spread(starts: Ints, counts: Ints) -> Ints:
    """`counts[i]` successive numbers from `starts[i]` on, for one i after the other."""
    ends = np.cumsum(counts, dtype=np.int64)
    total = int(ends[-1]) if len(ends) else 0
    return np.repeat(starts - (ends - counts), counts) + np.arange(total)


def distinct(*columns: Ints) -> tuple[Ints, Ints]:
    """The first row of each kind among rows, given by their columns, and the kind of every row."""
    numbers: dict[tuple[int, ...], int] = {}
    rows = zip(*(column.tolist() for column in columns), strict=True)
    kind = np.array([numbers.setdefault(row, len(numbers)) for row in rows], np.int64)
    return np.searchsorted(np.maximum.accumulate(kind), np.arange(len(numbers))), kind


class Lists(NamedTuple):
    """List i has `counts[i]` values; those of all lists follow each other in `values`."""

    counts: Ints
    values: Ints

    @staticmethod
    def of(lists: Sequence[Sequence[int]]) -> Lists:
        """From nested sequences."""
        counts = np.fromiter((len(x) for x in lists), np.int64, len(lists))
        values = np.fromiter((v for x in lists for v in x), np.int64, int(counts.sum()))
        return Lists(counts, values)

    @staticmethod
    def columns(*columns: Ints) -> Lists:
        """List i has the i-th value of each column."""
        table = rows_of(*columns)
        return Lists(np.full(len(table), len(columns), np.int64), table.reshape(-1))

    def pick(self, rows: Ints) -> Lists:
        """The lists of these numbers."""
        counts = self.counts[rows]
        return Lists(counts, self.values[spread(starts_of(self.counts)[rows], counts)])

    def with_each(self, *columns: Ints) -> Lists:
        """Each list followed by its value in every column, unless that is below 0."""
        lists = np.arange(len(self.counts))
        owner = np.concatenate([np.repeat(lists, self.counts), *[lists[c >= 0] for c in columns]])
        values = np.concatenate([self.values, *[c[c >= 0] for c in columns]])
        order = np.argsort(owner, kind="stable")
        return Lists(np.bincount(owner, minlength=len(lists)), values[order])
