"""Cut weight matrices, put together again, are the convolution."""

from __future__ import annotations

import numpy as np
import pytest

from imccompiler.errors import PassError
from imccompiler.hardware.load import load, vary
from imccompiler.ir.dialect import MatmulOp
from imccompiler.ir.text import parse_module
from imccompiler.passes.blocks import block_matrix, layer_blocks, parts_of_copy
from imccompiler.passes.geometry import Box
from imccompiler.passes.partition import tiling_of

MACHINE = vary(load("pimcomp"), {"crossbar.rows": 16, "crossbar.columns": 32})  # 8 weights a row


def conv(outputs, inputs, kernel, groups=1, dilations=(1, 1), strides=(1, 1)):
    height = (kernel[0] - 1) * dilations[0] + 1 + 3 * strides[0]
    width = (kernel[1] - 1) * dilations[1] + 1 + 3 * strides[1]
    x = f"tensor<1x{inputs * groups}x{height}x{width}xf32>"
    w = f"tensor<{outputs}x{inputs}x{kernel[0]}x{kernel[1]}xf32>"
    y = f"tensor<1x{outputs}x4x4xf32>"
    window = (
        f"#imc.window<kernel = {list(kernel)}, strides = {list(strides)}, pads = [0, 0, 0, 0], "
        f"dilations = {list(dilations)}" + (f", groups = {groups}>" if groups > 1 else ">")
    )
    text = f"""builtin.module {{
      %x = imc.input "x" : {x}
      %w = imc.weight "w" : {w}
      %y = imc.matmul %x, %w {{window = {window}, activation = "none"}} : {x}, {w} -> {y}
      imc.output "y" %y : {y}
    }}"""
    module = parse_module(text)
    (op,) = [op for op in module.body.block.ops if isinstance(op, MatmulOp)]
    codes = np.random.default_rng(0).integers(-99, 100, (outputs, inputs, *kernel))
    return op, codes.astype(np.int16)


def rebuilt(op, codes, blocks, parts):
    """The dense matrix (tap y, tap x, channel, output) that the parts' calls hold together."""
    window = blocks.window
    channels = max(p.in1 for p in blocks.packs)
    outputs = max(p.out1 for p in blocks.packs)
    dense = np.zeros((*window.kernel, channels, outputs), np.int64)
    held = np.zeros(dense.shape, np.int64)
    for part in parts:
        for call in part.calls:
            pack = blocks.packs[call.pack]
            matrix = block_matrix(op, codes, call.block, pack, blocks.unroll)
            columns = slice(call.out0 - pack.out0, call.out1 - pack.out0)
            row = 0
            for s in call.block.segments:
                channels = slice(s.channel, s.channel + s.length)
                place = (s.tap_y, s.tap_x, channels, slice(call.out0, call.out1))
                dense[place] += matrix[row : row + s.length, columns]
                held[place] += 1
                row += s.length
            assert row == call.block.rows
    assert held.max() == 1, "a weight stands twice in one copy"
    return dense


def expected(op, codes, unroll):
    groups, stride = op.window.groups, op.window.strides[1]
    outputs, inputs, height, width = codes.shape
    dense = np.zeros((height, width + (unroll - 1) * stride, inputs * groups, outputs * unroll))
    for o in range(outputs):
        group = o // (outputs // groups)
        channels = slice(group * inputs, (group + 1) * inputs)
        for u in range(unroll):
            taps = slice(u * stride, u * stride + width)
            dense[:, taps, channels, u * outputs + o] = codes[o].transpose(1, 2, 0)
    return dense


CASES = {
    "plain": (conv(10, 3, (3, 3)), 1),
    "whole crossbars of channels": (conv(9, 40, (2, 2)), 1),
    "pointwise": (conv(20, 50, (1, 1)), 1),
    "dilated": (conv(5, 4, (3, 2), dilations=(2, 3)), 1),
    "grouped": (conv(12, 3, (2, 2), groups=4), 1),
    "depthwise": (conv(7, 1, (3, 3), groups=7), 1),
    "groups that do not pack evenly": (conv(10, 2, (2, 1), groups=5), 1),
    "unrolled": (conv(3, 2, (3, 3)), 4),
    "unrolled with a stride": (conv(3, 5, (3, 3), strides=(1, 2)), 2),
}


@pytest.mark.parametrize("sums", [True, False])
@pytest.mark.parametrize("row_split", [1, 2, 3])
@pytest.mark.parametrize("case", CASES)
def test_parts_hold_every_weight_once(case, row_split, sums):
    (op, codes), unroll = CASES[case]
    machine = vary(MACHINE, {"core.sums_row_blocks": sums})
    blocks = layer_blocks(op, machine, 8, 0, unroll)
    row_split = min(row_split, blocks.row_blocks)
    wanted = expected(op, codes, unroll)
    for column_split in {1, len(blocks.column_units)}:
        parts = parts_of_copy(blocks, row_split, column_split)
        assert len(parts) == row_split * column_split
        assert (rebuilt(op, codes, blocks, parts) == wanted).all()


@pytest.mark.parametrize("case", CASES)
def test_blocks_fit_crossbars(case):
    (op, _), unroll = CASES[case]
    blocks = layer_blocks(op, MACHINE, 8, 0, unroll)
    assert blocks.columns_per_crossbar == 8
    for pack in blocks.packs:
        assert len(pack.row_blocks) == blocks.row_blocks
        assert all(1 <= block.rows <= 16 for block in pack.row_blocks)
    tiling = tiling_of(blocks)
    assert (tiling.rows, tiling.slices, tiling.pack) == (blocks.row_blocks, 4, blocks.pack)


def test_small_groups_share_crossbars():
    op, _ = conv(7, 1, (2, 2), groups=7)
    assert layer_blocks(op, MACHINE, 8).pack == 4  # four groups of four rows
    assert layer_blocks(op, MACHINE, 8, pack=2).pack == 2
    assert len(layer_blocks(op, MACHINE, 8, pack=2).packs) == 4


@pytest.mark.parametrize(("outputs", "unroll"), [(8, 1), (2, 4)])
def test_grouped_boxes_have_the_same_bytes(outputs, unroll):
    op, _ = conv(outputs, 3, (3, 3))
    blocks = layer_blocks(op, MACHINE, 8, 0, unroll)
    whole = Box(0, 4, 0, 4, 0, outputs)
    grouped = blocks.grouped(whole)
    assert grouped.shape == (4, 4 // unroll, outputs * unroll)
    assert blocks.ungrouped(grouped) == whole
    assert grouped.size == whole.size


def test_weights_wider_than_a_crossbar_are_refused():
    op, _ = conv(4, 3, (3, 3))
    with pytest.raises(PassError, match="more columns than a crossbar has"):
        layer_blocks(
            op, vary(MACHINE, {"crossbar.columns": 4, "cell.bits": 1, "adc.per_crossbar": 1}), 8
        )
    with pytest.raises(PassError, match="do not fit the machine's 8"):
        layer_blocks(op, MACHINE, 9)


@pytest.mark.parametrize("options", [{"groups": 3}, {"dilations": (1, 2)}])
def test_windows_that_cannot_be_unrolled_are_refused(options):
    op, _ = conv(6, 2, (3, 3), **options)
    with pytest.raises(PassError, match="cannot be unrolled"):
        layer_blocks(op, MACHINE, 8, 0, 2)
