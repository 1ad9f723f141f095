"""ResNets in torchvision's layout, BatchNormalization kept as exporters write it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import classify, conv_norm, image_graph
from imccompiler.models.info import ModelInfo, ModelInput
from imccompiler.models.parameters import Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, stride of the first block
EXPANSION = 4  # of a bottleneck block's channels at its end


@dataclass(frozen=True, slots=True)
class Layout:
    """What tells one ResNet from another.

    Attributes:
        depth: Layers with weights, which the network is named by.
        blocks: Of each stage.
        bottleneck: Whether a block is 1x1, 3x3, 1x1 convolutions and not two of 3x3.
        million: Parameters, for the description.
    """

    depth: int
    blocks: tuple[int, int, int, int]
    bottleneck: bool
    million: float

    @property
    def info(self) -> ModelInfo:
        """What is known about this ResNet."""
        convolutions = 1 + (3 if self.bottleneck else 2) * sum(self.blocks)
        convolutions += len(STAGES) - (0 if self.bottleneck else 1)  # projected shortcuts
        return ModelInfo(
            name=f"resnet{self.depth}",
            description=f"ResNet-{self.depth} for ImageNet: {convolutions} convolutions, "
            f"residual additions, {self.million} M parameters",
            inputs=(ModelInput("image", (1, 3, 224, 224)),),
            source="He et al., Deep Residual Learning for Image Recognition, CVPR 2016; "
            "torchvision",
        )

    @property
    def branch_gain(self) -> float:
        """Of seeded residual branches, so that all additions leave the scale in order."""
        return math.sqrt(2 / sum(self.blocks))


LAYOUTS = (
    Layout(18, (2, 2, 2, 2), bottleneck=False, million=11.7),
    Layout(34, (3, 4, 6, 3), bottleneck=False, million=21.8),
    Layout(50, (3, 4, 6, 3), bottleneck=True, million=25.6),
)


def build(
    layout: Layout,
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build a ResNet: image [1, 3, image_size, image_size] to logits [1, classes].

    Options and errors are those of `convolutional.image_graph`.
    """
    g, x = image_graph(layout.info, seed, weights, image_size=image_size, classes=classes)
    x = conv_norm(g, ("conv1", "bn1"), x, (3, 64), 7, stride=2)
    x = g.max_pool("maxpool", g.relu("relu", x), 3, stride=2, pad=1)
    inner = 64
    block = _bottleneck if layout.bottleneck else _basic_block
    for stage, (width, stride) in enumerate(STAGES, start=1):
        outer = width * EXPANSION if layout.bottleneck else width
        for index in range(layout.blocks[stage - 1]):
            name = f"layer{stage}.{index}"
            step = 1 if index else stride
            y = block(g, name, x, (inner, outer), stride=step, scale=layout.branch_gain)
            if step != 1 or inner != outer:
                names = (f"{name}.downsample.0", f"{name}.downsample.1")
                x = conv_norm(g, names, x, (inner, outer), 1, stride=step)
            x = g.node("Add", f"{name}.add", y, x)
            x = g.relu(f"{name}.relu{3 if layout.bottleneck else 2}", x)
            inner = outer
    return g.finish(classify(g, "fc", x, (inner, classes)), (1, classes))


def _basic_block(
    g: GraphBuilder, name: str, x: str, channels: tuple[int, int], *, stride: int, scale: float
) -> str:
    """Two 3x3 convolutions."""
    outer = channels[1]
    x = conv_norm(g, _names(name, 1), x, channels, 3, stride=stride)
    x = g.relu(f"{name}.relu1", x)
    return conv_norm(g, _names(name, 2), x, (outer, outer), 3, scale=scale)


def _bottleneck(
    g: GraphBuilder, name: str, x: str, channels: tuple[int, int], *, stride: int, scale: float
) -> str:
    """A 3x3 convolution between two of 1x1; the stride is its, as in torchvision's version 1.5."""
    inner, outer = channels
    width = outer // EXPANSION
    x = g.relu(f"{name}.relu1", conv_norm(g, _names(name, 1), x, (inner, width), 1))
    x = conv_norm(g, _names(name, 2), x, (width, width), 3, stride=stride)
    x = g.relu(f"{name}.relu2", x)
    return conv_norm(g, _names(name, 3), x, (width, outer), 1, scale=scale)


def _names(block: str, index: int) -> tuple[str, str]:
    return f"{block}.conv{index}", f"{block}.bn{index}"


NETWORKS = tuple((layout.info, partial(build, layout)) for layout in LAYOUTS)
