"""A YOLO detector in the form of YOLOv8n as exported: C2f blocks, SPPF, FPN and PAN, three heads.

BatchNormalization is fused into the convolutions, as Ultralytics does before it exports, and the
boxes are decoded; suppressing overlapping ones is left to the user, as there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import activate, image_graph
from imccompiler.models.info import ModelInfo, ModelInput
from imccompiler.models.parameters import Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

SIZE, CLASSES = 640, 80  # classes of COCO
STRIDES = (8, 16, 32)  # of the three heads
WIDTHS = (64, 128, 256)  # channels at these strides
BINS = 16  # of the distribution of each distance of a box
BOX_WIDTH, CLASS_WIDTH = 64, 80  # channels within the heads

INFO = ModelInfo(
    name="yolo",
    description="YOLO detector (YOLOv8n) of 640x640 images: FPN and PAN neck, boxes decoded, "
    "3.2 M parameters",
    inputs=(ModelInput("image", (1, 3, SIZE, SIZE)),),
    source="Jocher et al., Ultralytics YOLOv8, 2023; Lin et al., FPN, CVPR 2017; Liu et al., "
    "PANet, CVPR 2018; Li et al., Generalized Focal Loss, NeurIPS 2020",
)


def build(
    seed: Seed = 0,
    *,
    image_size: int = SIZE,
    classes: int = CLASSES,
    weights: Weights | None = None,
) -> ModelProto:
    """Build the detector: image [1, 3, image_size, image_size] to detections.

    detections [1, 4 + classes, boxes] are centre, size (in pixels) and scores of every box.

    Args:
        seed: Draws the parameters; None leaves them out.
        image_size: Height and width in pixels, a multiple of 32.
        classes: That are told apart.
        weights: A fused state dict of YOLOv8n as numpy arrays, in place of drawn parameters.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    if image_size % STRIDES[-1]:
        raise ModelError(
            f"image_size is {image_size}, and must be a multiple of {STRIDES[-1]}",
            where="image_size",
        )
    g, x = image_graph(INFO, seed, weights, image_size=image_size, classes=classes)
    maps = _neck(g, *_backbone(g, x))
    heads = [
        _head(g, level, x, width, classes)
        for level, (x, width) in enumerate(zip(maps, WIDTHS, strict=True))
    ]
    sizes = [image_size // stride for stride in STRIDES]
    boxes = sum(size**2 for size in sizes)
    detections = _decode(g, heads, sizes, classes)
    return g.finish(detections, (1, 4 + classes, boxes), name="detections")


def _backbone(g: GraphBuilder, x: str) -> tuple[str, str, str]:
    """Maps at strides 8, 16 and 32, of 64, 128 and 256 channels."""
    x = _conv(g, "model.0", x, (3, 16), 3, stride=2)
    x = _conv(g, "model.1", x, (16, 32), 3, stride=2)
    x = _c2f(g, "model.2", x, (32, 32), blocks=1, residual=True)
    x = _conv(g, "model.3", x, (32, 64), 3, stride=2)
    eighth = _c2f(g, "model.4", x, (64, 64), blocks=2, residual=True)
    x = _conv(g, "model.5", eighth, (64, 128), 3, stride=2)
    sixteenth = _c2f(g, "model.6", x, (128, 128), blocks=2, residual=True)
    x = _conv(g, "model.7", sixteenth, (128, 256), 3, stride=2)
    x = _c2f(g, "model.8", x, (256, 256), blocks=1, residual=True)
    return eighth, sixteenth, _sppf(g, "model.9", x, 256)


def _neck(g: GraphBuilder, eighth: str, sixteenth: str, last: str) -> tuple[str, str, str]:
    """The same maps once information has gone up (FPN) and down again (PAN)."""
    x = g.node("Concat", "model.11", _upsample(g, "model.10", last), sixteenth, axis=1)
    middle = _c2f(g, "model.12", x, (384, 128))
    x = g.node("Concat", "model.14", _upsample(g, "model.13", middle), eighth, axis=1)
    small = _c2f(g, "model.15", x, (192, 64))
    x = _conv(g, "model.16", small, (64, 64), 3, stride=2)
    medium = _c2f(g, "model.18", g.node("Concat", "model.17", x, middle, axis=1), (192, 128))
    x = _conv(g, "model.19", medium, (128, 128), 3, stride=2)
    large = _c2f(g, "model.21", g.node("Concat", "model.20", x, last, axis=1), (384, 256))
    return small, medium, large


def _conv(
    g: GraphBuilder,
    name: str,
    x: str,
    channels: tuple[int, int],
    kernel: int,
    *,
    stride: int = 1,
    gain: float | None = None,
) -> str:
    """A convolution and SiLU."""
    x = g.conv(f"{name}.conv", x, channels, kernel, stride=stride, pad=kernel // 2, gain=gain)
    return activate(g, "silu", f"{name}.act", x)


def _c2f(
    g: GraphBuilder,
    name: str,
    x: str,
    channels: tuple[int, int],
    *,
    blocks: int = 1,
    residual: bool = False,
) -> str:
    """A cross-stage partial block: half of the channels passes blocks, all stages are joined."""
    inner, outer = channels
    half = outer // 2
    x = _conv(g, f"{name}.cv1", x, (inner, outer), 1)
    sizes = g.constant(f"{name}.halves", [half, half], "int64")
    stages = g.nodes("Split", f"{name}.split", x, sizes, parts=("0", "1"), axis=1)
    for block in range(blocks):
        part = f"{name}.m.{block}"
        y = _conv(g, f"{part}.cv1", stages[-1], (half, half), 3)
        y = _conv(g, f"{part}.cv2", y, (half, half), 3, gain=1.0 if residual else None)
        stages.append(g.node("Add", f"{part}.add", stages[-1], y) if residual else y)
    x = g.node("Concat", f"{name}.concat", *stages, axis=1)
    return _conv(g, f"{name}.cv2", x, (half * len(stages), outer), 1)


def _sppf(g: GraphBuilder, name: str, x: str, channels: int) -> str:
    """Spatial pyramid pooling: windows of 5, 9 and 13 as a chain of 5x5 max pools."""
    half = channels // 2
    levels = [_conv(g, f"{name}.cv1", x, (channels, half), 1)]
    for index in range(1, 4):
        levels.append(g.max_pool(f"{name}.m.{index}", levels[-1], 5, stride=1, pad=2))
    x = g.node("Concat", f"{name}.concat", *levels, axis=1)
    return _conv(g, f"{name}.cv2", x, (4 * half, channels), 1)


def _upsample(g: GraphBuilder, name: str, x: str) -> str:
    """Repeat each pixel 2x2."""
    scales = g.constant(f"{name}.scales", [1, 1, 2, 2])
    return g.node(
        "Resize",
        name,
        x,
        "",
        scales,
        mode="nearest",
        nearest_mode="floor",
        coordinate_transformation_mode="asymmetric",
    )


def _head(g: GraphBuilder, level: int, x: str, channels: int, classes: int) -> str:
    """Distances in bins and class scores of each pixel: [1, 64 + classes, size, size]."""
    outputs: list[str] = []
    for branch, width, outer in (("cv2", BOX_WIDTH, 4 * BINS), ("cv3", CLASS_WIDTH, classes)):
        name = f"model.22.{branch}.{level}"
        y = _conv(g, f"{name}.0", x, (channels, width), 3)
        y = _conv(g, f"{name}.1", y, (width, width), 3)
        outputs.append(g.conv(f"{name}.2", y, (width, outer), 1))
    return g.node("Concat", f"model.22.concat.{level}", *outputs, axis=1)


def _decode(g: GraphBuilder, heads: list[str], sizes: list[int], classes: int) -> str:
    """All pixels of all heads to boxes and scores: [1, 4 + classes, boxes]."""
    name, rows = "model.22", 4 * BINS + classes
    flat = g.constant(f"{name}.flat", [1, rows, -1], "int64")
    heads = [g.node("Reshape", f"{name}.flat.{n}", x, flat) for n, x in enumerate(heads)]
    x = g.node("Concat", f"{name}.all", *heads, axis=2)
    parts = g.constant(f"{name}.parts", [4 * BINS, classes], "int64")
    box, scores = g.nodes("Split", f"{name}.split", x, parts, parts=("box", "cls"), axis=1)
    box = _boxes(g, name, _distances(g, f"{name}.dfl", box, sizes), sizes)
    return g.node(
        "Concat", f"{name}.output", box, g.node("Sigmoid", f"{name}.scores", scores), axis=1
    )


def _distances(g: GraphBuilder, name: str, x: str, sizes: list[int]) -> str:
    """The mean of each distribution over bins, as a convolution: [1, 4, boxes]."""
    boxes = sum(size**2 for size in sizes)
    bins = g.constant(f"{name}.bins", [1, 4, BINS, boxes], "int64")
    x = g.node("Reshape", f"{name}.split", x, bins)
    x = g.node("Transpose", f"{name}.transpose", x, perm=[0, 2, 1, 3])
    x = g.node("Softmax", f"{name}.softmax", x, axis=1)
    weight = g.constant(f"{name}.conv.weight", np.arange(BINS).reshape(1, BINS, 1, 1))
    x = g.node("Conv", f"{name}.conv", x, weight, kernel_shape=[1, 1])
    return g.node("Reshape", name, x, g.constant(f"{name}.shape", [1, 4, boxes], "int64"))


def _boxes(g: GraphBuilder, name: str, x: str, sizes: list[int]) -> str:
    """Distances left, up, right and down of each pixel to centre and size of its box in pixels."""
    pixels = [np.indices((size, size))[::-1].reshape(2, -1) + 0.5 for size in sizes]
    anchors = g.constant(f"{name}.anchors", np.concatenate(pixels, axis=1)[None])
    strides = np.repeat(STRIDES, [size**2 for size in sizes])
    halves = g.constant(f"{name}.sides", [2, 2], "int64")
    before, after = g.nodes("Split", f"{name}.side", x, halves, parts=("lt", "rb"), axis=1)
    first = g.node("Sub", f"{name}.first_corner", anchors, before)
    second = g.node("Add", f"{name}.second_corner", anchors, after)
    centre = g.node("Add", f"{name}.corners", first, second)
    centre = g.node("Div", f"{name}.centre", centre, g.constant(f"{name}.two", 2))
    size = g.node("Sub", f"{name}.size", second, first)
    x = g.node("Concat", f"{name}.centre_size", centre, size, axis=1)
    return g.node("Mul", f"{name}.pixels", x, g.constant(f"{name}.strides", strides[None, None]))
