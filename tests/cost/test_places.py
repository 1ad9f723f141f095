"""Where cores stand, and how often each distance between them occurs."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imccompiler.cost.places import Places
from imccompiler.hardware.load import load, vary

PIMCOMP = load("pimcomp")


def between(machine):
    """Hops and links of all pairs."""
    cores, places = np.arange(machine.core_count), Places.of(machine)
    return places.hops(cores[:, None], cores), places.links(cores[:, None], cores)


def test_hops_on_a_mesh_are_manhattan_distances():
    hops, links = between(vary(PIMCOMP, {"chip.grid": [3, 4]}))
    assert hops.shape == (12, 12)
    assert hops[0].tolist() == [0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5]
    assert (hops == hops.T).all()
    assert not links.any()


def test_hops_on_a_bus_are_one():
    hops, _ = between(vary(PIMCOMP, {"noc.topology": "bus", "chip.grid": [2, 2]}))
    assert hops.tolist() == (1 - np.eye(4)).tolist()


def test_a_chip_with_free_places_has_no_cores_there():
    hops, _ = between(load("pimcomp", ["chip.cores.0.count=13"]))
    assert hops.shape == (13, 13)


def test_chips_stand_on_a_mesh_of_their_own():
    """Chips 0 1 / 2 3 / 4 of 1 x 2 cores: the mesh of cores is 0 1 2 3 / 4 5 6 7 / 8 9."""
    hops, links = between(vary(PIMCOMP, {"chip.grid": [1, 2], "package.chips": 5}))
    assert hops[0].tolist() == [0, 1, 2, 3, 1, 2, 3, 4, 2, 3]
    assert links[0].tolist() == [0, 0, 1, 1, 1, 1, 2, 2, 2, 2]
    assert links[3].tolist() == [1, 1, 0, 0, 2, 2, 1, 1, 3, 3]


def test_buses_of_two_chips_are_both_passed():
    package = {"noc.topology": "bus", "chip.grid": [1, 2], "package.chips": 3}
    hops, links = between(vary(PIMCOMP, package))
    assert hops[0].tolist() == [0, 1, 2, 2, 2, 2]
    assert links[0].tolist() == [0, 0, 1, 1, 2, 2]


@settings(max_examples=40, deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(0, 24),
    st.integers(1, 7),
    st.sampled_from(["mesh", "bus"]),
)
def test_distances_are_counted_as_they_occur(grid, idle, chips, topology):
    cores = max(1, grid[0] * grid[1] - idle)
    changes = {"chip.grid": grid, "package.chips": chips, "noc.topology": topology}
    machine = vary(PIMCOMP, changes | {"chip.cores.0.count": cores})
    assert machine.core_count == chips * cores
    pairs = np.stack([n.reshape(-1) for n in reversed(between(machine))])
    (links, hops), counts = np.unique(pairs, axis=1, return_counts=True)
    found = Places.of(machine).distances
    assert found.links.tolist() == links.tolist()
    assert found.hops.tolist() == hops.tolist()
    assert found.pairs.tolist() == counts.tolist()


@pytest.mark.parametrize("chips", [1, 2, 3, 4, 8, 9, 10, 106])
def test_a_package_is_nearly_square(chips):
    rows, columns = vary(PIMCOMP, {"package.chips": chips}).package.grid
    assert (rows - 1) * columns < chips <= rows * columns
    assert columns <= rows <= columns + 2
