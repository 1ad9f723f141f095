"""SqueezeNet 1.1 in torchvision's layout: fire modules, ceil-mode pooling, no fully connected."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import image_graph
from imccompiler.models.info import ModelInfo, ModelInput
from imccompiler.models.parameters import Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="squeezenet",
    description="SqueezeNet 1.1 for ImageNet: 26 convolutions, concatenations, 1.2 M parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Iandola et al., SqueezeNet, arXiv:1602.07360; version 1.1 in torchvision",
)

# torchvision's index in `features`: channels of squeeze and of each expand; None is a max pool
FEATURES: dict[int, tuple[int, int] | None] = {
    2: None,
    3: (16, 64),
    4: (16, 64),
    5: None,
    6: (32, 128),
    7: (32, 128),
    8: None,
    9: (48, 192),
    10: (48, 192),
    11: (64, 256),
    12: (64, 256),
}


def build(
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build SqueezeNet 1.1: image [1, 3, image_size, image_size] to logits [1, classes].

    Options and errors are those of `convolutional.image_graph`.
    """
    g, x = image_graph(INFO, seed, weights, image_size=image_size, classes=classes)
    x = g.relu("features.1", g.conv("features.0", x, (3, 64), 3, stride=2))
    channels = 64
    for index, fire in FEATURES.items():
        name = f"features.{index}"
        if fire is None:
            x = g.max_pool(name, x, 3, stride=2, ceil=True)
        else:
            x = _fire(g, name, x, channels, fire)
            channels = 2 * fire[1]
    x = g.relu("classifier.2", g.conv("classifier.1", x, (channels, classes), 1))
    x = g.node("GlobalAveragePool", "classifier.3", x)
    x = g.node("Flatten", "flatten", x)
    return g.finish(x, (1, classes))


def _fire(g: GraphBuilder, name: str, x: str, channels: int, widths: tuple[int, int]) -> str:
    """A 1x1 squeeze feeds a 1x1 and a 3x3 expand, whose channels are concatenated."""
    squeeze, expand = widths
    x = g.conv(f"{name}.squeeze", x, (channels, squeeze), 1)
    x = g.relu(f"{name}.squeeze_relu", x)
    pointwise = g.conv(f"{name}.expand1x1", x, (squeeze, expand), 1)
    pointwise = g.relu(f"{name}.expand1x1_relu", pointwise)
    spatial = g.conv(f"{name}.expand3x3", x, (squeeze, expand), 3, pad=1)
    spatial = g.relu(f"{name}.expand3x3_relu", spatial)
    return g.node("Concat", f"{name}.concat", pointwise, spatial, axis=1)
