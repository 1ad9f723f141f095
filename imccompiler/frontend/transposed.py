"""Import of ConvTranspose: a convolution over the input with zeros between its elements."""

from __future__ import annotations

import math

import numpy as np
from xdsl.ir import SSAValue

from imccompiler.errors import ModelError
from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.constants import Array
from imccompiler.frontend.convolution import convolve
from imccompiler.frontend.graph import Node
from imccompiler.frontend.host import import_on_host
from imccompiler.ir.decisions import Window
from imccompiler.ir.types import shape_of


def import_conv_transpose(b: ModuleBuilder, node: Node) -> None:
    """ConvTranspose with constant weights; with others it runs on the host.

    Output o collects input i through weight k where o = i stride + k dilation - pad (ONNX). With
    the stride's zeros put in, that is a convolution of stride 1 with the flipped kernel and
    dilation (kernel - 1) - pad of padding.
    """
    if not all(b.is_constant(name) for name in node.inputs[1:]):
        import_on_host(b, node)
        return
    x = b.value(node.input(0))
    weight = b.constant(node.input(1), node)
    kernel = weight.shape[2:]
    n = len(kernel)
    groups = int(node.attributes.get("group", 1))
    strides = list(node.attributes.get("strides") or [1] * n)
    dilations = list(node.attributes.get("dilations") or [1] * n)
    if len(strides) != n or len(dilations) != n or weight.shape[0] != shape_of(x)[1]:
        raise ModelError(f"weights {weight.shape} and input {shape_of(x)}", where=node.where)
    x = _stuff_zeros(b, node, x, strides)
    begins = _begin_pads(node, shape_of(b.value(node.input(0)))[2:], kernel, strides, dilations)
    begins = [d * (k - 1) - p for d, k, p in zip(dilations, kernel, begins, strict=True)]
    out = b.info(node.outputs[0], node).shape[2:]
    # The output's size says how much the end needs, output_padding and output_shape included.
    ends = [
        size + d * (k - 1) - have - begin
        for size, d, k, have, begin in zip(
            out, dilations, kernel, shape_of(x)[2:], begins, strict=True
        )
    ]
    x = _crop(b, node, x, begins, ends)
    window = Window(
        kernel=kernel,
        strides=(1,) * n,
        pads=tuple(max(p, 0) for p in (*begins, *ends)),
        dilations=tuple(dilations),
        groups=groups,
    )
    bias = b.value(node.input(2)) if node.input(2) else None
    flipped = (f"{node.input(1)}.flipped", _flipped(weight, groups))
    b.define(node.outputs[0], convolve(b, node, x, flipped, bias, window))


def _flipped(weight: Array, groups: int) -> Array:
    """(C, M / groups, kernel) of ConvTranspose as (M, C / groups, kernel) of Conv."""
    inner, outer, *kernel = weight.shape
    parts = weight.reshape(groups, inner // groups, outer, *kernel).swapaxes(1, 2)
    flipped = np.flip(parts, axis=tuple(range(3, parts.ndim)))
    return flipped.reshape(groups * outer, inner // groups, *kernel)


def _begin_pads(
    node: Node,
    sizes: tuple[int, ...],
    kernel: tuple[int, ...],
    strides: list[int],
    dilations: list[int],
) -> list[int]:
    """Padding at the beginning of each axis, as ONNX defines it for ConvTranspose."""
    n, mode = len(kernel), node.attributes.get("auto_pad", "NOTSET")
    shape = node.attributes.get("output_shape")
    if not shape and mode not in {"SAME_UPPER", "SAME_LOWER"}:
        return list((node.attributes.get("pads") or [0] * 2 * n)[:n])
    extra = node.attributes.get("output_padding") or [0] * n
    begins: list[int] = []
    for i in range(n):
        target = shape[-n + i] if shape else sizes[i] * strides[i]
        total = strides[i] * (sizes[i] - 1) + extra[i] + dilations[i] * (kernel[i] - 1) + 1 - target
        total = max(total, 0)
        begins.append(total // 2 if mode == "SAME_UPPER" else total - total // 2)
    return begins


def _stuff_zeros(b: ModuleBuilder, node: Node, x: SSAValue, strides: list[int]) -> SSAValue:
    """Put stride - 1 zeros between neighbours: each element becomes a block, then the last goes."""
    if math.prod(strides) == 1:
        return x
    shape = shape_of(x)
    blocks = [*shape[:2], *(d for size in shape[2:] for d in (size, 1))]
    x = b.reshape(node, x, blocks, "blocks")
    pads = [0, 0, *(p for s in strides for p in (0, s - 1))]
    padded = [size + pad for size, pad in zip(blocks, pads, strict=True)]
    lists = {"pads": [0] * len(blocks) + pads, "mode": "constant", "constant_value": 0.0}
    x = b.digital(node, "Pad", [x], padded, lists, part="zeros")
    joined = [size * s for size, s in zip(shape[2:], strides, strict=True)]
    x = b.reshape(node, x, [*shape[:2], *joined], "stuffed")
    return _crop(b, node, x, [0] * len(strides), [1 - s for s in strides])


def _crop(
    b: ModuleBuilder, node: Node, x: SSAValue, begins: list[int], ends: list[int]
) -> SSAValue:
    """Cut off what negative padding takes away."""
    rows = [
        (axis, max(-begin, 0), size - max(-end, 0), 1)
        for axis, (size, begin, end) in enumerate(
            zip(shape_of(x)[2:], begins, ends, strict=True), start=2
        )
        if begin < 0 or end < 0
    ]
    if not rows:
        return x
    shape = list(shape_of(x))
    for axis, start, end, _ in rows:
        shape[axis] = end - start
    lists = {k: [row[i] for row in rows] for i, k in enumerate(("axes", "starts", "ends", "steps"))}
    return b.digital(node, "Slice", [x], shape, lists, part="crop")
