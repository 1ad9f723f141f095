"""A copy spread over cores has the parts that are made for it, and the busiest of them."""

from __future__ import annotations

import numpy as np
import pytest

from imccompiler.hardware.load import load, vary
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.blocks import layer_blocks, parts_of_copy
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.options import layer_options
from imccompiler.passes.place import PLACED, PlacePass
from imccompiler.passes.replicate import ReplicatePass
from imccompiler.passes.spread import spread

UP_TO_TILING = "fold,canonicalize,quantize,partition"


@pytest.fixture(scope="module", params=["isaac", "pimcomp"])
def tiled(request, map_network, named_network):
    machine = vary(load(request.param), {"crossbar.rows": 48})
    return map_network(named_network("squeezenet"), machine, pipeline=UP_TO_TILING)


def matmuls(mapping):
    return [op for op in mapping.module.body.block.ops if isinstance(op, MatmulOp)]


@pytest.mark.parametrize("splits", [(1, 1), (2, 1), (3, 2), (1, 99)])
def test_crossbars_are_those_of_the_parts(tiled, splits):
    for op in matmuls(tiled):
        for unroll in (1, 2) if op.window.kernel else (1,):
            blocks = layer_blocks(op, tiled.machine, 8, op.tiling.pack, unroll)
            parts = parts_of_copy(blocks, *splits)
            copy = spread(blocks, *splits)
            sizes = [part.crossbars(blocks.columns_per_crossbar) for part in parts]
            assert copy.crossbars.reshape(-1).tolist() == sizes
            busiest = max(parts, key=lambda p: sum(len(call.stack) for call in p.calls))
            assert copy.busiest.calls == busiest.calls


def test_equal_cuts_are_made_once(tiled):
    first, second, *_ = (
        layer_blocks(matmuls(tiled)[0], tiled.machine, 8, 1, unroll) for unroll in (1, 1, 2)
    )
    assert first is second
    other = vary(tiled.machine, {"crossbar.rows": 64})
    assert layer_blocks(matmuls(tiled)[0], other, 8, 1) != first


def test_options_say_what_their_parts_take(tiled):
    layouts = assign_layouts(tiled.module)
    op = matmuls(tiled)[3]
    options = layer_options(op, layouts[op.result].whole, tiled.context)
    assert len(options) > 3
    for option in options:
        r = option.replication
        blocks = layer_blocks(op, tiled.machine, 8, op.tiling.pack, r.unroll)
        parts = parts_of_copy(blocks, r.row_split, r.column_split)
        sizes = [part.crossbars(blocks.columns_per_crossbar) for part in parts]
        assert option.crossbars == r.copies * sum(sizes)
        assert (option.parts, option.largest_part) == (r.copies * len(parts), max(sizes))


def test_place_takes_the_packing_that_replicate_found_and_else_finds_the_same(
    map_network, named_network
):
    mapping = map_network(named_network("lenet"), "pimcomp", pipeline=UP_TO_TILING)
    ReplicatePass().run(mapping.context, mapping.module)
    held = mapping.context.analyses[PLACED][1]
    again = mapping.module.clone()
    PlacePass().run(mapping.context, mapping.module)
    assert mapping.context.analyses[PLACED][1] is held
    mapping.context.analyses.clear()
    PlacePass().run(mapping.context, again)
    assert mapping.context.analyses[PLACED][1] is not held
    cores = [
        [op.placement.cores for op in m.body.block.ops if isinstance(op, MatmulOp)]
        for m in (mapping.module, again)
    ]
    assert cores[0] == cores[1]
    np.testing.assert_array_equal(mapping.context.analyses[PLACED][1].load_ns, held.load_ns)
