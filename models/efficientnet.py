"""EfficientNet-B0 in torchvision's layout: inverted residuals, SiLU, squeeze and excitation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import (
    SQUEEZE_GAIN,
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

INFO = ModelInfo(
    name="efficientnet-b0",
    description="EfficientNet-B0 for ImageNet: 81 convolutions, SiLU, squeeze and excitation, "
    "5.3 M parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Tan, Le, EfficientNet, ICML 2019; torchvision",
)

SQUEEZE = 4  # a block's first channels over those within its squeeze and excitation
LAST = 1280


@dataclass(frozen=True, slots=True)
class Stage:
    """Blocks in a row.

    Attributes:
        expansion: Channels of the depthwise convolution over those of the block's input.
        kernel: Of the depthwise convolution.
        stride: Of the first block.
        channels: At the end of each block.
        blocks: How many.
    """

    expansion: int
    kernel: int
    stride: int
    channels: int
    blocks: int


STAGES = (
    Stage(1, 3, 1, 16, 1),
    Stage(6, 3, 2, 24, 2),
    Stage(6, 5, 2, 40, 2),
    Stage(6, 3, 2, 80, 3),
    Stage(6, 5, 1, 112, 3),
    Stage(6, 5, 2, 192, 4),
    Stage(6, 3, 1, 320, 1),
)


def build(
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build EfficientNet-B0: image [1, 3, image_size, image_size] to logits [1, classes].

    Options and errors are those of `convolutional.image_graph`.
    """
    g, x = image_graph(INFO, seed, weights, image_size=image_size, classes=classes)
    x = _conv(g, "features.0", x, (3, 32), 3, stride=2)
    inner = 32
    for index, stage in enumerate(STAGES, start=1):
        for block in range(stage.blocks):
            stride = 1 if block else stage.stride
            x = _block(g, f"features.{index}.{block}", x, inner, stage, stride=stride)
            inner = stage.channels
    x = _conv(g, f"features.{len(STAGES) + 1}", x, (inner, LAST), 1, gain=1.0)
    return g.finish(classify(g, "classifier.1", x, (LAST, classes)), (1, classes))


def _block(g: GraphBuilder, name: str, x: str, inner: int, stage: Stage, *, stride: int) -> str:
    """Expand, convolve depthwise, weigh the channels, project."""
    width = inner * stage.expansion
    y, part, at = x, f"{name}.block", 0
    if width != inner:
        y = _conv(g, f"{part}.{at}", y, (inner, width), 1, gain=1.0)
        at += 1
    y = _conv(g, f"{part}.{at}", y, (width, width), stage.kernel, stride=stride, groups=width)
    y = squeeze_excite(
        g, f"{part}.{at + 1}", y, (width, inner // SQUEEZE), kinds=("silu", "sigmoid")
    )
    residual = stride == 1 and inner == stage.channels
    names = (f"{part}.{at + 2}.0", f"{part}.{at + 2}.1")
    y = conv_norm(
        g,
        names,
        y,
        (width, stage.channels),
        1,
        gain=SQUEEZE_GAIN * RELU_GAIN,
        scale=0.5 if residual else 1.0,
    )
    return g.node("Add", f"{name}.add", y, x) if residual else y


def _conv(
    g: GraphBuilder,
    name: str,
    x: str,
    channels: tuple[int, int],
    kernel: int,
    *,
    stride: int = 1,
    groups: int = 1,
    gain: float | None = None,
) -> str:
    """Convolution, BatchNormalization and SiLU."""
    names = (f"{name}.0", f"{name}.1")
    x = conv_norm(g, names, x, channels, kernel, stride=stride, groups=groups, gain=gain)
    return activate(g, "silu", f"{name}.2", x)
