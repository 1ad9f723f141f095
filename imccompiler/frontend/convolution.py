"""Convolutions as products on pictures: several images, and three axes of space, cut into such.

Crossbars slide windows over the rows and columns of one picture. Of a batch each image is a product
of its own; so is each plane of the result of a three-dimensional convolution, whose window sees
some planes of the input: they count as channels. All these products have the same weights, and
share crossbars.
"""

from __future__ import annotations

from dataclasses import replace

from xdsl.ir import SSAValue

from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.constants import Array
from imccompiler.frontend.graph import Node
from imccompiler.frontend.moves import cut, join, pad_axis
from imccompiler.ir.decisions import Window
from imccompiler.ir.types import shape_of

PLANE = 2  # axes of space of a picture


def convolve(
    b: ModuleBuilder,
    node: Node,
    x: SSAValue,
    weight: tuple[str, Array],
    bias: SSAValue | None,
    window: Window,
) -> SSAValue:
    """The convolution of (N, C, space...) with constant weights.

    Args:
        b: The module.
        node: What it is for.
        x: Input.
        weight: Name and values, shape (M, C / groups, kernel...).
        bias: Shape (M,).
        window: Geometry.
    """
    name, array = weight
    if len(window.kernel) > PLANE:
        _, height, width = window.kernel
        array = array.reshape(array.shape[0], -1, height, width)
        name = f"{name}.planes"
    value = b.named_weight(name, array)
    images = shape_of(x)[0]
    results: list[SSAValue] = []
    for image in range(images):
        at = f"{image}" if images > 1 else ""
        one = cut(b, node, x, 0, range(image, image + 1), f"{at}.image")
        if len(window.kernel) > PLANE:
            results.append(_planes(b, node, one, value, bias, window, at))
        else:
            results.append(b.matmul(node, one, value, bias, window=window, part=at))
    return join(b, node, results, 0)


def _planes(
    b: ModuleBuilder,
    node: Node,
    x: SSAValue,
    weight: SSAValue,
    bias: SSAValue | None,
    window: Window,
    at: str,
) -> SSAValue:
    """A three-dimensional convolution of one image, a plane of the result after the other."""
    (depth, *kernel), (stride, *strides) = window.kernel, window.strides
    (step, *dilations), pads = window.dilations, window.pads
    flat = replace(
        window,
        kernel=tuple(kernel),
        strides=tuple(strides),
        dilations=tuple(dilations),
        pads=(pads[1], pads[2], pads[4], pads[5]),
    )
    x = pad_axis(b, node, x, 2, (pads[0], pads[3]), f"{at}.depth")
    _, channels, planes, height, width = shape_of(x)
    reach = step * (depth - 1) + 1
    results: list[SSAValue] = []
    count = (planes - reach) // stride + 1
    for plane in range(count):
        name = ".".join(filter(None, (at, str(plane) if count > 1 else "")))
        start = plane * stride
        seen = cut(b, node, x, 2, range(start, start + reach, step), f"{name}.seen")
        seen = b.reshape(node, seen, (1, channels * depth, height, width), f"{name}.channels")
        y = b.matmul(node, seen, weight, bias, window=flat, part=name)
        shape = shape_of(y)
        results.append(b.reshape(node, y, (*shape[:2], 1, *shape[2:]), f"{name}.plane"))
    return join(b, node, results, 2, at)
