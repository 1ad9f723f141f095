"""Row blocks that a machine adds: one product for all of them, on all of their crossbars."""

from __future__ import annotations

import numpy as np
import pytest

from imccompiler.hardware.load import load, vary
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, XdslContext
from imccompiler.passes.blocks import block_matrix, layer_blocks, parts_of_copy
from imccompiler.passes.registry import parse
from imccompiler.program.tiles import group_matrix, group_shapes
from imccompiler.program.validate import validate
from imccompiler.simulator.execute import Executor
from imccompiler.simulator.reference import run_reference

PIPELINE = "fold,canonicalize,quantize,partition,segment,replicate,place,schedule,allocate,emit"


@pytest.fixture(scope="session")
def adding():
    """Crossbars of 32 rows and 8 weights, 40 a core."""
    return vary(
        load("isaac"),
        {
            "crossbar.rows": 32,
            "crossbar.rows_active": 32,
            "crossbar.columns": 32,
            "core.crossbars": 40,
            "chip.grid": [2, 3],
        },
    )


@pytest.fixture
def make_conv(make_model):
    """Make a network of one convolution on a picture of 6 x 6."""
    from onnx import helper  # noqa: PLC0415

    from imccompiler.frontend import load_onnx  # noqa: PLC0415

    def make(groups, channels, outputs, stride):
        shape = (outputs, channels // groups, 3, 3)
        weights = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
        attributes = {"pads": [1, 1, 1, 1], "strides": [stride, stride], "group": groups}
        node = helper.make_node("Conv", ["x", "w"], ["y"], **attributes)
        x = np.zeros((1, channels, 6, 6), np.float32)
        return load_onnx(make_model([node], {"x": x}, {"w": weights}))

    return make


@pytest.fixture
def conv(make_conv):
    """40 channels to 10."""
    return make_conv(1, 40, 10, 1)


def matmul_of(network):
    (op,) = [op for op in network.module.body.block.ops if isinstance(op, MatmulOp)]
    return op


def test_the_row_blocks_of_a_part_are_one_call(adding, conv):
    blocks = layer_blocks(matmul_of(conv), adding, 8)
    (part,) = parts_of_copy(blocks, 1, 1)
    (call,) = part.calls
    assert (part.planes, call.plane, call.block.rows) == (1, 0, 360)
    assert part.shapes(8) == ((12, 2),)  # 360 rows of 32, 10 outputs of 8
    assert part.crossbars(8) == 24
    assert [b.rows for b in call.stack] == [32] * 11 + [8]
    # in the order of memory: every tap once, with all of its channels
    assert [s.length for s in call.block.segments] == [40] * 9


def test_other_machines_multiply_with_each_row_block(adding, conv):
    machine = vary(adding, {"core.sums_row_blocks": False})
    blocks = layer_blocks(matmul_of(conv), machine, 8)
    (part,) = parts_of_copy(blocks, 1, 1)
    assert (part.planes, len(part.calls)) == (12, 12)
    assert part.shapes(8) == ((1, 2),) * 12
    assert part.crossbars(8) == 24


@pytest.mark.parametrize("row_split", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("column_split", [1, 2])
def test_stacks_hold_every_weight_once(adding, conv, row_split, column_split):
    op = matmul_of(conv)
    blocks = layer_blocks(op, adding, 8)
    codes = np.arange(1, 10 * 40 * 9 + 1, dtype=np.int32).reshape(10, 40, 3, 3)
    parts = parts_of_copy(blocks, row_split, column_split)
    assert len(parts) == row_split * column_split
    found = []
    for part in parts:
        (call,) = part.calls
        assert sum(b.rows for b in call.stack) == call.block.rows
        assert all(b.rows == 32 for b in call.stack[:-1])
        for block in call.stack:
            matrix = block_matrix(op, codes, block, blocks.packs[0], 1)
            found += matrix[:, call.out0 : call.out1].ravel().tolist()
    assert sorted(found) == codes.ravel().tolist()


@pytest.mark.parametrize(
    ("groups", "channels", "stride"), [(1, 40, 1), (1, 40, 2), (2, 24, 1), (12, 24, 2)]
)
def test_a_program_with_stacks_is_exact(adding, make_conv, groups, channels, stride):
    network = make_conv(groups, channels, 12, stride)
    context = CompileContext(adding, network.store)
    for each in parse(PIPELINE):
        each.apply(XdslContext(context), network.module)
    program = context.program
    validate(program, adding)
    shapes = group_shapes(program)
    assert (shapes[:, 0].max() > 1) == (groups < 12)  # small groups need one crossbar a pack
    assert np.array_equal(shapes.prod(axis=1), program.groups[:, 6])
    assert group_matrix(program, 0).any(axis=1).all()  # no row is left out
    x = {"x": np.random.default_rng(1).integers(-128, 128, (2, 1, channels, 6, 6))}
    expected = run_reference(network.module, context.store, x)["y"]
    for mode in ("exact", "bit_serial"):
        assert np.array_equal(Executor(program, adding, mode=mode).run(x)["y"], expected)
