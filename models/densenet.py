"""DenseNet-121 in torchvision's layout: every layer reads the channels of all before it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import classify, conv_norm, image_graph
from imccompiler.models.info import ModelInfo, ModelInput
from imccompiler.models.parameters import Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="densenet121",
    description="DenseNet-121 for ImageNet: 120 convolutions, dense concatenations, 8.0 M "
    "parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Huang et al., Densely Connected Convolutional Networks, CVPR 2017; torchvision",
)

BLOCKS = (6, 12, 24, 16)  # layers of each
GROWTH = 32  # channels that a layer adds
BOTTLENECK = 4 * GROWTH


def build(
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build DenseNet-121: image [1, 3, image_size, image_size] to logits [1, classes].

    Options and errors are those of `convolutional.image_graph`.
    """
    g, x = image_graph(INFO, seed, weights, image_size=image_size, classes=classes)
    x = conv_norm(g, ("features.conv0", "features.norm0"), x, (3, 64), 7, stride=2)
    x = g.max_pool("features.pool0", g.relu("features.relu0", x), 3, stride=2, pad=1)
    channels = 64
    for block, layers in enumerate(BLOCKS, start=1):
        for layer in range(1, layers + 1):
            y = _layer(g, f"features.denseblock{block}.denselayer{layer}", x, channels)
            x = g.node("Concat", f"features.denseblock{block}.concat{layer}", x, y, axis=1)
            channels += GROWTH
        if block < len(BLOCKS):
            x = _transition(g, f"features.transition{block}", x, channels)
            channels //= 2
    x = g.relu("features.relu5", g.batch_norm("features.norm5", x, channels))
    return g.finish(classify(g, "classifier", x, (channels, classes)), (1, classes))


def _layer(g: GraphBuilder, name: str, x: str, channels: int) -> str:
    """A 1x1 and a 3x3 convolution, each after its BatchNormalization and ReLU."""
    x = g.relu(f"{name}.relu1", g.batch_norm(f"{name}.norm1", x, channels))
    x = conv_norm(g, (f"{name}.conv1", f"{name}.norm2"), x, (channels, BOTTLENECK), 1)
    x = g.relu(f"{name}.relu2", x)
    return g.conv(f"{name}.conv2", x, (BOTTLENECK, GROWTH), 3, pad=1, bias=False)


def _transition(g: GraphBuilder, name: str, x: str, channels: int) -> str:
    """Halve the channels and the image."""
    x = g.relu(f"{name}.relu", g.batch_norm(f"{name}.norm", x, channels))
    x = g.conv(f"{name}.conv", x, (channels, channels // 2), 1, bias=False)
    return g.average_pool(f"{name}.pool", x, 2, stride=2)
