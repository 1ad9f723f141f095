"""Placement: no core holds more than it has, pins are kept, what cannot be is told."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imccompiler.cost.places import Places
from imccompiler.errors import PassError
from imccompiler.hardware.load import load, vary
from imccompiler.ir.decisions import Placement, Replication
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes import place
from imccompiler.passes.blocks import layer_blocks, parts_of_copy
from imccompiler.passes.place import Demand, NoRoom, Placed, misfit, place_parts

HEAD = "fold,canonicalize,quantize,partition,segment,replicate,place"


def used_crossbars(mapping):
    """Crossbars that the parts take on each core, counted from the decisions alone."""
    used = np.zeros(mapping.machine.core_count, np.int64)
    for op in mapping.module.body.block.ops:
        if not isinstance(op, MatmulOp):
            continue
        r, bits = op.replication, op.integer.weight_bits
        blocks = layer_blocks(op, mapping.machine, bits, op.tiling.pack, r.unroll)
        parts = parts_of_copy(blocks, r.row_split, r.column_split)
        sizes = [p.crossbars(blocks.columns_per_crossbar) for p in parts] * r.copies
        np.add.at(used, list(op.placement.cores), sizes)
    return used


@pytest.mark.parametrize("hardware", ["pimcomp", "isaac"])
@pytest.mark.parametrize("name", ["digits-cnn", "lenet", "squeezenet", "bert-tiny"])
def test_no_core_holds_more_crossbars_than_it_has(mapped, name, hardware):
    mapping = mapped(name, hardware, 0)
    used = used_crossbars(mapping)
    assert used.max() <= mapping.machine.main_kind.crossbars
    # and the program's tables say the same
    tiles = mapping.program.tiles
    crossbars = np.unique(tiles[:, :2], axis=0)
    counted = np.bincount(crossbars[:, 0], minlength=len(used))
    assert (counted <= used).all()  # small tiles may share a crossbar


def test_a_placement_that_stands_is_kept(map_network, named_network):
    pins = {"conv1": (Replication(2, 1, 1, (2, 1)), Placement((7, 3)))}
    mapping = map_network(named_network("lenet"), "pimcomp", pins=pins)
    assert mapping.op("conv1").placement.cores == (7, 3)
    assert mapping.differing() == 0


def test_a_placement_that_overfills_a_core_is_refused(map_network, named_network):
    machine = vary(load("pimcomp"), {"core.crossbars": 2})
    pins = {"conv1": (Replication(3, 1, 1, (3, 1)), Placement((5, 5, 5)))}
    with pytest.raises(PassError, match="core 5 would hold 1 crossbars too many"):
        map_network(named_network("lenet"), machine, pins=pins, pipeline=HEAD)


def demand(op, sizes):
    centre = np.full((len(sizes), 2), 0.5)
    return Demand(op, np.array(sizes, np.int64), centre, 1.0)


@settings(max_examples=200, deadline=None)
@given(st.lists(st.lists(st.integers(1, 6), min_size=1, max_size=5), min_size=1, max_size=4))
def test_parts_are_packed_or_the_misfit_is_true(small_machine, some_op, sizes):
    demands = [demand(some_op, layer) for layer in sizes]
    placed = place_parts(demands, small_machine)
    capacity = small_machine.main_kind.crossbars * small_machine.core_count
    total = sum(map(sum, sizes))
    if isinstance(placed, NoRoom):
        error = misfit(demands, placed, small_machine)
        assert error.exit_code == 3
        assert error.demand > error.capacity
        assert error.levers
        if total > capacity:
            assert (error.demand, error.capacity) == (total, capacity)
        else:
            assert error.unit == "crossbars in one core"
            assert error.demand <= small_machine.main_kind.crossbars
        return
    used = np.zeros(small_machine.core_count, np.int64)
    for layer, cores in zip(sizes, placed.cores, strict=True):
        np.add.at(used, cores, layer)
        if len(layer) <= small_machine.core_count and total <= capacity // 3:
            assert len(set(cores.tolist())) == len(layer)  # while there is room, one a core
    assert used.max() <= small_machine.main_kind.crossbars
    assert (placed.free == small_machine.main_kind.crossbars - used).all()


@pytest.fixture(scope="module")
def small_machine():
    return vary(load("pimcomp"), {"core.crossbars": 6, "chip.grid": [2, 2]})


@pytest.fixture(scope="module")
def some_op(mapped):
    return mapped("lenet", "pimcomp", 0).op("conv1")


def test_fragments_are_not_called_a_lack_of_crossbars(small_machine, some_op):
    """Four cores of 6 with 4 taken leave 8 in all, and no room for a part of 3."""
    demands = [demand(some_op, [4, 4, 4, 4]), demand(some_op, [3])]
    failed = place_parts(demands, small_machine)
    assert isinstance(failed, NoRoom)
    error = misfit(demands, failed, small_machine)
    assert "no core has room for a part of this layer" in str(error)
    assert "3 crossbars in one core needed, 2 available" in str(error)


@st.composite
def layers(draw):
    """Copies of some parts each on a larger machine, with what its cores hold already."""
    copies, sizes = draw(st.integers(1, 3)), draw(st.lists(st.integers(1, 4), min_size=1))
    centre = draw(st.lists(st.tuples(*[st.floats(0, 1)] * 2), min_size=copies, max_size=copies))
    return np.array(sizes * copies, np.int64), np.array(centre)


@settings(max_examples=100, deadline=None)
@given(st.lists(layers(), min_size=1, max_size=4), st.integers(1, 8))
def test_the_best_core_is_always_within_reach(some_op, drawn, crossbars):
    """Placement that looks at cores nearby is that which looks at all of them."""
    changes = {"core.crossbars": crossbars, "chip.grid": [5, 3], "package.chips": 5}
    machine = vary(load("pimcomp"), changes)
    demands = [Demand(some_op, sizes, centre, 1.5) for sizes, centre in drawn]
    expected = place_parts(demands, machine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(place, "SCANNED", 0)
        found = place_parts(demands, machine)
    if isinstance(expected, NoRoom):
        assert isinstance(found, NoRoom)
        assert (found.crossbars, found.largest_free) == (expected.crossbars, expected.largest_free)
        return
    for one, other in zip(found.cores, expected.cores, strict=True):
        assert one.tolist() == other.tolist()


@pytest.mark.parametrize(("parts", "chips"), [(1, 1), (16, 1), (17, 2), (40, 3), (90, 4)])
def test_no_more_chips_are_used_than_have_a_core_for_each_part(some_op, parts, chips):
    machine = load("pimcomp", ["chip.grid=[4,4]", "package.chips=4"])
    placed = place_parts([demand(some_op, [2] * parts)], machine)
    assert isinstance(placed, Placed)
    assert (placed.cores[0] // 16).max() == chips - 1
    assert len(set(placed.cores[0].tolist())) == min(parts, 64)


def test_pins_on_another_chip_leave_room(some_op):
    machine = load("pimcomp", ["chip.grid=[1,2]", "package.chips=4"])
    pinned = Demand(some_op, np.array([64, 64]), np.full((2, 2), 0.5), 1.0, np.array([0, 7]))
    placed = place_parts([pinned, demand(some_op, [64, 64])], machine)
    assert isinstance(placed, Placed)
    assert sorted(placed.cores[1].tolist()) in ([1, 2], [1, 3], [2, 3])


def test_few_cores_are_looked_at_on_a_large_machine():
    machine = load("pimcomp", ["chip.grid=[300,300]"])
    mesh = place._Mesh.of(np.full(90_000, 64), np.zeros(90_000), Places.of(machine))
    away = np.abs((np.arange(300) + 0.5) / 300 - 0.4)
    for _ in range(100):
        mesh.take(mesh.best(8, away, away), 8)
        rows, columns = mesh._reach(8, away, away)
        assert (rows.stop - rows.start) * (columns.stop - columns.start) < 900
    rows, columns = np.nonzero(mesh.taken)
    assert len(rows) == 100
    assert np.abs(rows - 119.5).max() + np.abs(columns - 119.5).max() < 20


def test_a_layer_without_copies_is_refused(map_network, named_network):
    pipeline = "fold,canonicalize,quantize,partition,place"
    with pytest.raises(PassError, match="has no copies"):
        map_network(named_network("lenet"), "pimcomp", pipeline=pipeline)
