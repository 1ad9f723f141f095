"""Copies of layers: exact against brute force, within the machine, and kept when pinned."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import helper

from imccompiler.errors import DoesNotFitError, PassError
from imccompiler.hardware.load import load, vary
from imccompiler.ir.decisions import Replication
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.options import Option, layer_options, unbeaten
from imccompiler.passes.replicate import (
    ReplicatePass,
    _priced,  # pyright: ignore[reportPrivateUsage]
    choose,
)

UP_TO_TILING = "fold,canonicalize,quantize,partition"


def option(copies, time_ns):
    return Option((1, copies), 1, 1, 1, copies, copies, 1, float(time_ns))


@st.composite
def layers(draw):
    """Options of some layers, as `layer_options` gives them, and a limit that one copy fits."""
    count = draw(st.integers(1, 4))
    options = []
    for _ in range(count):
        drawn = draw(
            st.lists(st.tuples(st.integers(1, 9), st.integers(1, 40)), min_size=1, max_size=5)
        )
        copies, time_ns = np.array(drawn).T
        best = unbeaten(copies, time_ns.astype(float), copies).tolist()
        options.append([option(*drawn[index]) for index in best])
    least = sum(layer[0].crossbars for layer in options)
    return options, draw(st.integers(least, least + 25))


def all_choices(options, limit):
    return [c for c in product(*options) if sum(o.crossbars for o in c) <= limit]


@settings(max_examples=300, deadline=None)
@given(layers())
def test_the_choice_for_latency_is_the_least_sum(drawn):
    options, limit = drawn
    chosen, bound = choose(options, limit, "latency")
    best = min(sum(o.time_ns for o in c) for c in all_choices(options, limit))
    assert sum(o.time_ns for o in chosen) == bound == best
    assert sum(o.crossbars for o in chosen) <= limit


@settings(max_examples=300, deadline=None)
@given(layers())
def test_the_choice_by_price_fits_and_its_bound_holds(drawn):
    """What is chosen for machines with very many crossbars, on ones with few."""
    options, limit = drawn
    limit = min(limit, sum(layer[-1].crossbars for layer in options))
    chosen, bound = _priced(options, limit)
    best = min(sum(o.time_ns for o in c) for c in all_choices(options, limit))
    assert sum(o.crossbars for o in chosen) <= limit
    assert bound <= best * (1 + 1e-9)
    assert best <= sum(o.time_ns for o in chosen)


def test_the_choice_by_price_is_near_the_best_of_many_layers():
    rng = np.random.default_rng(0)
    options = [[option(n, work / n) for n in range(1, 40)] for work in rng.integers(100, 9000, 60)]
    chosen, bound = _priced(options, 700)
    exact, least = choose(options, 700, "latency")
    assert sum(o.crossbars for o in exact) <= 700
    assert bound <= least * (1 + 1e-9)
    assert least <= sum(o.time_ns for o in chosen) * (1 + 1e-9) <= 1.01 * least


@settings(max_examples=300, deadline=None)
@given(layers())
def test_the_choice_for_throughput_has_the_least_slowest_layer(drawn):
    options, limit = drawn
    chosen, bound = choose(options, limit, "throughput")
    best = min(max(o.time_ns for o in c) for c in all_choices(options, limit))
    assert max(o.time_ns for o in chosen) == bound == best
    assert sum(o.crossbars for o in chosen) <= limit


@given(layers())
def test_the_choice_for_energy_takes_the_fewest_crossbars(drawn):
    options, limit = drawn
    chosen, _ = choose(options, limit, "energy")
    fewest = min(sum(o.crossbars for o in c) for c in all_choices(options, limit))
    assert sum(o.crossbars for o in chosen) == fewest


def test_a_network_without_products_has_nothing_to_choose(map_nodes):
    assert choose([], 10, "latency") == ([], 0.0)
    mapping = map_nodes([helper.make_node("Relu", ["x"], ["y"])], {"x": (1, 4)}, {}, "isaac")
    assert mapping.context.solver_records[0].value == 0.0


@given(st.lists(st.tuples(*[st.integers(1, 4)] * 3), max_size=8))
def test_the_unbeaten_are_fewest_in_parts_and_first_among_equals(drawn):
    table = np.array(drawn, np.int64).reshape(-1, 3)
    kept = unbeaten(*table.T).tolist()
    for index, (crossbars, time, parts) in enumerate(drawn):
        beaten = any(
            c <= crossbars
            and t <= time
            and ((c, t) != (crossbars, time) or (p, i) < (parts, index))
            for i, (c, t, p) in enumerate(drawn)
        )
        assert (index in kept) == (not beaten)
    assert [drawn[i][0] for i in kept] == sorted(drawn[i][0] for i in kept)


def matmuls(mapping):
    return [op for op in mapping.module.body.block.ops if isinstance(op, MatmulOp)]


@pytest.fixture(scope="module")
def tiled(map_network, named_network):
    return map_network(named_network("lenet"), "pimcomp", pipeline=UP_TO_TILING)


def test_options_grow_in_crossbars_and_fall_in_time(tiled):
    layouts = assign_layouts(tiled.module)
    for op in matmuls(tiled):
        options = layer_options(op, layouts[op.result].whole, tiled.context)
        sizes = [(o.crossbars, -o.time_ns) for o in options]
        assert sizes == sorted(sizes)
        assert len({o.time_ns for o in options}) == len(options)
        assert all(o.parts <= tiled.machine.core_count for o in options)
        assert all(o.largest_part <= tiled.machine.main_kind.crossbars for o in options)


@pytest.mark.parametrize("objective", ["latency", "throughput", "energy"])
def test_copies_stay_within_the_share_of_crossbars(map_network, named_network, objective):
    machine = vary(load("pimcomp"), {"chip.grid": [3, 4]})
    pipeline = f"{UP_TO_TILING},segment,replicate{{fill=0.5}},place"
    mapping = map_network(named_network("lenet"), machine, pipeline=pipeline, objective=objective)
    used = sum(crossbars_of(op, machine) for op in matmuls(mapping))
    assert used <= 0.5 * machine.core_count * machine.main_kind.crossbars
    copies = [op.replication.copies for op in matmuls(mapping)]
    assert (max(copies) == 1) == (objective == "energy")
    (record,) = [r for r in mapping.context.solver_records if r.pass_name == ReplicatePass.name]
    assert record.bound <= record.value + 1e-9


def crossbars_of(op, machine):
    from imccompiler.passes.blocks import layer_blocks, parts_of_copy  # noqa: PLC0415

    r = op.replication
    blocks = layer_blocks(op, machine, op.integer.weight_bits, op.tiling.pack, r.unroll)
    parts = parts_of_copy(blocks, r.row_split, r.column_split)
    return r.copies * sum(p.crossbars(blocks.columns_per_crossbar) for p in parts)


def test_a_replication_that_stands_is_kept(map_network, named_network):
    pinned = Replication(6, 1, 1, (3, 2))
    mapping = map_network(named_network("lenet"), "pimcomp", pins={"conv1": (pinned,)})
    assert mapping.op("conv1").replication == pinned
    assert len(mapping.op("conv1").placement.cores) == 6


@pytest.mark.parametrize(
    ("replication", "message"),
    [
        (Replication(4, 1, 1, (3, 2)), "does not suit"),
        (Replication(1, 1, 99), "does not suit"),
        (Replication(1, 1, 1, (1, 1), 5), "cannot be unrolled by 5"),
    ],
)
def test_a_replication_that_cannot_be_is_refused(map_network, named_network, replication, message):
    pins = {"conv1": (replication,)}
    with pytest.raises(PassError, match=message):
        map_network(named_network("lenet"), "pimcomp", pins=pins)


def test_a_layer_without_a_tiling_is_refused(map_network, named_network):
    mapping = map_network(named_network("lenet"), "pimcomp", pipeline="fold,canonicalize,quantize")
    with pytest.raises(PassError, match="has no tiling"):
        ReplicatePass().run(mapping.context, mapping.module)


@pytest.mark.parametrize(("crossbars", "unit"), [(3, "crossbars"), (4, "crossbars in one core")])
def test_a_layer_that_no_cut_makes_fit_is_told(map_nodes, make_conv, crossbars, unit):
    """640 x 96 weights take 5 x 3 crossbars; four cores of 4 hold them, but no even cut does."""
    machine = vary(load("pimcomp"), {"core.crossbars": crossbars, "chip.grid": [1, 4]})
    nodes, inputs, weights = make_conv((1, 128, 1, 8), (96, 128, 1, 5))
    pipeline = f"{UP_TO_TILING},replicate"
    with pytest.raises(DoesNotFitError) as caught:
        map_nodes(nodes, inputs, weights, machine, pipeline=pipeline)
    error = caught.value
    assert (error.exit_code, error.unit) == (3, unit)
    assert error.demand > error.capacity
    assert error.levers
