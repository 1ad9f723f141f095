"""Where the cores of a machine stand, and how far they are from each other."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from imccompiler.hardware.schema import Machine

Ints = NDArray[np.int64]


class Distances(NamedTuple):
    """How often each distance occurs among all ordered pairs of cores, a core with itself included.

    All of shape (distances,): hops, links, and how many pairs are that far apart.
    """

    hops: Ints
    links: Ints
    pairs: Ints


@dataclass(frozen=True, slots=True, eq=False)
class Places:
    """Places of cores by their numbers, which go chip after chip and row by row.

    Attributes:
        bus: Whether the cores of a chip share a bus, else they stand on a mesh.
        row: On the meshes of all chips as if they were one, shape (cores,).
        column: The same.
        chip_row: Of the core's chip on the package, shape (cores,).
        chip_column: The same.
        distances: Between all cores.
    """

    bus: bool
    row: Ints
    column: Ints
    chip_row: Ints
    chip_column: Ints
    distances: Distances

    @staticmethod
    def of(machine: Machine) -> Places:
        """The places of a machine's cores."""
        chip, package = machine.chip, machine.package
        return _places(
            chip.noc.topology, chip.grid, machine.cores_per_chip, package.grid, package.chips
        )

    def hops(self, a: Any, b: Any) -> Any:
        """Hops between cores, given by their numbers in arrays that broadcast.

        On meshes the Manhattan distance of their places, on a bus 1, and 1 for each of the two
        buses if they are on different chips.
        """
        if self.bus:
            return (a != b) + (self.links(a, b) > 0).astype(np.int64)
        across = np.abs(self.column[a] - self.column[b])
        return np.abs(self.row[a] - self.row[b]) + across

    def links(self, a: Any, b: Any) -> Any:
        """Links between the chips of cores: the Manhattan distance of the chips."""
        across = np.abs(self.chip_column[a] - self.chip_column[b])
        return np.abs(self.chip_row[a] - self.chip_row[b]) + across


@lru_cache(maxsize=16)
def _places(
    topology: Literal["mesh", "bus"],
    grid: tuple[int, int],
    cores: int,
    package: tuple[int, int],
    chips: int,
) -> Places:
    chip, core = np.divmod(np.arange(chips * cores), cores)
    (chip_row, chip_column), (row, column) = np.divmod(chip, package[1]), np.divmod(core, grid[1])
    return Places(
        topology == "bus",
        chip_row * grid[0] + row,
        chip_column * grid[1] + column,
        chip_row,
        chip_column,
        _distances(topology, grid, cores, package, chips),
    )


def _distances(
    topology: Literal["mesh", "bus"],
    grid: tuple[int, int],
    cores: int,
    package: tuple[int, int],
    chips: int,
) -> Distances:
    """Distances of every pair of places on two chips, times the pairs of chips that lie so."""
    down, across, pairs = _offsets(package, chips)
    links = np.abs(down) + np.abs(across)
    if topology == "bus":
        apart = links > 0
        hops = np.concatenate([[0, 1], np.full(int(apart.sum()), 2)])
        links = np.concatenate([[0, 0], links[apart]])
        on_chip = [chips * cores, chips * cores * (cores - 1)]
        return _counted(hops, links, np.concatenate([on_chip, pairs[apart] * cores**2]))
    rows, columns, pairs_of_places = _offsets(grid, cores)
    hops = np.abs(down[:, None] * grid[0] + rows) + np.abs(across[:, None] * grid[1] + columns)
    links = np.broadcast_to(links[:, None], hops.shape)
    return _counted(hops, links, pairs[:, None] * pairs_of_places)


def _counted(hops: Ints, links: Ints, pairs: Ints) -> Distances:
    """The same with every distance once."""
    shape = (int(links.max()) + 1, int(hops.max()) + 1)
    place = np.ravel_multi_index((links.reshape(-1), hops.reshape(-1)), shape)
    counts = np.zeros(shape[0] * shape[1], np.int64)
    np.add.at(counts, place, pairs.reshape(-1))
    known = np.flatnonzero(counts)
    links, hops = np.unravel_index(known, shape)
    return Distances(hops.astype(np.int64), links.astype(np.int64), counts[known])


def _offsets(grid: tuple[int, int], count: int) -> tuple[Ints, Ints, Ints]:
    """Rows and columns from one place to another, and how many of the pairs lie so.

    The first `count` places of a grid are taken, row by row. The numbers of pairs are the
    autocorrelation of a picture of them: a product in the frequency domain, in n log n.
    """
    shape = (2 * grid[0] - 1, 2 * grid[1] - 1)
    taken = np.zeros(grid)
    taken.reshape(-1)[:count] = 1
    spectrum = np.abs(np.fft.rfft2(taken, shape)) ** 2
    pairs = np.rint(np.fft.irfft2(spectrum, shape)).astype(np.int64)
    down, across = np.nonzero(pairs)
    found = pairs[down, across]
    down, across = (
        np.where(at < size, at, at - 2 * size + 1)
        for at, size in zip((down, across), grid, strict=True)
    )
    return down, across, found
