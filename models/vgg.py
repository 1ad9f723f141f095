"""VGG-16 in torchvision's layout: nothing but 3x3 convolutions and wide fully connected layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.convolutional import image_graph
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.parameters import Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="vgg16",
    description="VGG-16 for ImageNet: 13 convolutions, 3 fully connected layers, 138 M parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Simonyan, Zisserman, Very Deep Convolutional Networks, arXiv:1409.1556, "
    "configuration D; torchvision",
)

STAGES = ((64, 2), (128, 2), (256, 3), (512, 3), (512, 3))  # channels, convolutions


def build(
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    hidden: int = 4096,
    weights: Weights | None = None,
) -> ModelProto:
    """Build VGG-16: image [1, 3, image_size, image_size] to logits [1, classes].

    Args:
        seed: Draws the parameters; None leaves them out.
        image_size: Height and width in pixels, at least 32.
        classes: Number of logits.
        hidden: Features of the two fully connected layers before the last.
        weights: A torchvision state dict as numpy arrays, in place of drawn parameters.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    check_range("hidden", hidden, 1)
    g, x = image_graph(INFO, seed, weights, image_size=image_size, classes=classes)
    inner, index = 3, 0
    for outer, convolutions in STAGES:
        for _ in range(convolutions):
            x = g.conv(f"features.{index}", x, (inner, outer), 3, pad=1)
            x = g.relu(f"features.{index + 1}", x)
            inner, index = outer, index + 2
        x = g.max_pool(f"features.{index}", x, 2, stride=2)
        index += 1
    size = image_size // 2 ** len(STAGES)
    x = g.node("Flatten", "flatten", x)
    x = g.relu("classifier.1", g.gemm("classifier.0", x, (inner * size**2, hidden)))
    x = g.relu("classifier.4", g.gemm("classifier.3", x, (hidden, hidden)))
    return g.finish(g.gemm("classifier.6", x, (hidden, classes)), (1, classes))
