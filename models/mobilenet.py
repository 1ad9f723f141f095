"""MobileNets v2 and v3 (large) in torchvision's layout: inverted residuals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import (
    activate,
    classify,
    conv_norm,
    image_graph,
    squeeze_excite,
)
from imccompiler.models.info import ModelInfo, ModelInput
from imccompiler.models.parameters import RELU_GAIN, Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

V2 = ModelInfo(
    name="mobilenet-v2",
    description="MobileNet-v2 for ImageNet: 52 convolutions, 17 of them depthwise, 3.5 M "
    "parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Sandler et al., MobileNetV2, CVPR 2018; torchvision",
)

V3 = ModelInfo(
    name="mobilenet-v3",
    description="MobileNet-v3 large for ImageNet: 62 convolutions, hard swish, squeeze and "
    "excitation, 5.5 M parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Howard et al., Searching for MobileNetV3, ICCV 2019; torchvision",
)

# expansion, channels, blocks, stride of the first block
V2_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
V2_LAST = 1280


@dataclass(frozen=True, slots=True)
class Block:
    """An inverted residual of MobileNet-v3.

    Attributes:
        kernel: Of the depthwise convolution.
        width: Channels of the depthwise convolution.
        outer: Channels at the end.
        squeeze: Channels within squeeze and excitation; 0 is a block without.
        kind: Activation.
        stride: Of the depthwise convolution.
    """

    kernel: int
    width: int
    outer: int
    squeeze: int
    kind: str
    stride: int


V3_BLOCKS = (
    Block(3, 16, 16, 0, "relu", 1),
    Block(3, 64, 24, 0, "relu", 2),
    Block(3, 72, 24, 0, "relu", 1),
    Block(5, 72, 40, 24, "relu", 2),
    Block(5, 120, 40, 32, "relu", 1),
    Block(5, 120, 40, 32, "relu", 1),
    Block(3, 240, 80, 0, "hard_swish", 2),
    Block(3, 200, 80, 0, "hard_swish", 1),
    Block(3, 184, 80, 0, "hard_swish", 1),
    Block(3, 184, 80, 0, "hard_swish", 1),
    Block(3, 480, 112, 120, "hard_swish", 1),
    Block(3, 672, 112, 168, "hard_swish", 1),
    Block(5, 672, 160, 168, "hard_swish", 2),
    Block(5, 960, 160, 240, "hard_swish", 1),
    Block(5, 960, 160, 240, "hard_swish", 1),
)
V3_WIDTH, V3_LAST = 960, 1280
V3_GATE_GAIN = 1.8  # as `SQUEEZE_GAIN`, for hard gates, many of which are 1


def v2(
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build MobileNet-v2: image [1, 3, image_size, image_size] to logits [1, classes].

    Options and errors are those of `convolutional.image_graph`.
    """
    g, x = image_graph(V2, seed, weights, image_size=image_size, classes=classes)
    x = conv_norm(g, ("features.0.0", "features.0.1"), x, (3, 32), 3, stride=2)
    x = activate(g, "relu6", "features.0.2", x)
    inner, index = 32, 1
    for expansion, outer, blocks, stride in V2_STAGES:
        for block in range(blocks):
            name = f"features.{index}"
            widths = (inner, inner * expansion, outer)
            x = _v2_block(g, name, x, widths, stride=1 if block else stride)
            inner, index = outer, index + 1
    last = f"features.{index}"
    x = conv_norm(g, (f"{last}.0", f"{last}.1"), x, (inner, V2_LAST), 1, gain=1.0)
    x = activate(g, "relu6", f"{last}.2", x)
    return g.finish(classify(g, "classifier.1", x, (V2_LAST, classes)), (1, classes))


def _v2_block(
    g: GraphBuilder, name: str, x: str, widths: tuple[int, int, int], *, stride: int
) -> str:
    """Expand, convolve depthwise, project without activation: from, over, to `widths` channels."""
    inner, width, outer = widths
    y, part = x, f"{name}.conv"
    if width != inner:
        y = conv_norm(g, (f"{part}.0.0", f"{part}.0.1"), y, (inner, width), 1, gain=1.0)
        y = activate(g, "relu6", f"{part}.0.2", y)
    at = 1 if width != inner else 0
    names = (f"{part}.{at}.0", f"{part}.{at}.1")
    y = conv_norm(g, names, y, (width, width), 3, stride=stride, groups=width)
    y = activate(g, "relu6", f"{part}.{at}.2", y)
    residual = stride == 1 and inner == outer
    names = (f"{part}.{at + 1}", f"{part}.{at + 2}")
    y = conv_norm(g, names, y, (width, outer), 1, scale=0.5 if residual else 1.0)
    return g.node("Add", f"{name}.add", x, y) if residual else y


def v3(
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build MobileNet-v3 large: image [1, 3, image_size, image_size] to logits [1, classes].

    Options and errors are those of `convolutional.image_graph`.
    """
    g, x = image_graph(V3, seed, weights, image_size=image_size, classes=classes)
    x = _v3_conv(g, "features.0", x, (3, 16), Block(3, 16, 16, 0, "hard_swish", 2))
    inner = 16
    for index, block in enumerate(V3_BLOCKS, start=1):
        x = _v3_block(g, f"features.{index}", x, inner, block)
        inner = block.outer
    last = Block(1, V3_WIDTH, V3_WIDTH, 0, "hard_swish", 1)
    x = _v3_conv(g, f"features.{len(V3_BLOCKS) + 1}", x, (inner, V3_WIDTH), last, gain=1.0)
    x = classify(g, "classifier.0", x, (V3_WIDTH, V3_LAST))
    x = activate(g, "hard_swish", "classifier.1", x)
    return g.finish(g.gemm("classifier.3", x, (V3_LAST, classes)), (1, classes))


def _v3_block(g: GraphBuilder, name: str, x: str, inner: int, block: Block) -> str:
    """An inverted residual, with squeeze and excitation where the block has it."""
    y, part, at = x, f"{name}.block", 0
    if block.width != inner:
        wide = Block(1, block.width, block.width, 0, block.kind, 1)
        y = _v3_conv(g, f"{part}.{at}", y, (inner, block.width), wide, gain=1.0)
        at += 1
    y = _v3_conv(g, f"{part}.{at}", y, (block.width, block.width), block, groups=block.width)
    at += 1
    if block.squeeze:
        channels = (block.width, block.squeeze)
        y = squeeze_excite(g, f"{part}.{at}", y, channels, kinds=("relu", "hard_sigmoid"))
        at += 1
    residual = block.stride == 1 and inner == block.outer
    y = conv_norm(
        g,
        (f"{part}.{at}.0", f"{part}.{at}.1"),
        y,
        (block.width, block.outer),
        1,
        gain=V3_GATE_GAIN * RELU_GAIN if block.squeeze else RELU_GAIN,
        scale=0.5 if residual else 1.0,
        epsilon=1e-3,
    )
    return g.node("Add", f"{name}.add", y, x) if residual else y


def _v3_conv(
    g: GraphBuilder,
    name: str,
    x: str,
    channels: tuple[int, int],
    block: Block,
    *,
    groups: int = 1,
    gain: float | None = None,
) -> str:
    """A convolution with kernel, stride and activation of `block`, and BatchNormalization."""
    x = conv_norm(
        g,
        (f"{name}.0", f"{name}.1"),
        x,
        channels,
        block.kernel,
        stride=block.stride,
        groups=groups,
        gain=gain,
        epsilon=1e-3,
    )
    return activate(g, block.kind, f"{name}.2", x)
