"""AlexNet as BVLC trained it in Caffe: local response normalisation, grouped convolutions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import image_graph
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.parameters import Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="alexnet",
    description="AlexNet (BVLC) for ImageNet: 5 convolutions, 3 of them grouped, LRN, 61 M "
    "parameters",
    inputs=(ModelInput("image", (1, 3, 227, 227)),),
    source="Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural Networks, "
    "2012; bvlc_alexnet of Caffe's model zoo",
)


def build(
    seed: Seed = 0,
    *,
    image_size: int = 227,
    classes: int = 1000,
    hidden: int = 4096,
    weights: Weights | None = None,
) -> ModelProto:
    """Build AlexNet: image [1, 3, image_size, image_size] to logits [1, classes].

    Args:
        seed: Draws the parameters; None leaves them out.
        image_size: Height and width in pixels, at least 67.
        classes: Number of logits.
        hidden: Features of the two fully connected layers before the last.
        weights: Caffe's blobs by layer as `conv1.weight`, in place of drawn parameters.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    check_range("hidden", hidden, 1)
    g, x = image_graph(INFO, seed, weights, image_size=image_size, classes=classes, least=67)
    x = g.relu("relu1", g.conv("conv1", x, (3, 96), 11, stride=4))
    x = g.max_pool("pool1", _normalise(g, "norm1", x), 3, stride=2)
    x = g.relu("relu2", g.conv("conv2", x, (96, 256), 5, pad=2, groups=2))
    x = g.max_pool("pool2", _normalise(g, "norm2", x), 3, stride=2)
    x = g.relu("relu3", g.conv("conv3", x, (256, 384), 3, pad=1))
    x = g.relu("relu4", g.conv("conv4", x, (384, 384), 3, pad=1, groups=2))
    x = g.relu("relu5", g.conv("conv5", x, (384, 256), 3, pad=1, groups=2))
    x = g.node("Flatten", "flatten", g.max_pool("pool5", x, 3, stride=2))
    x = g.relu("relu6", g.gemm("fc6", x, (256 * _last_size(image_size) ** 2, hidden)))
    x = g.relu("relu7", g.gemm("fc7", x, (hidden, hidden)))
    return g.finish(g.gemm("fc8", x, (hidden, classes)), (1, classes))


def _normalise(g: GraphBuilder, name: str, x: str) -> str:
    """Local response normalisation over five channels."""
    return g.node("LRN", name, x, size=5, alpha=1e-4, beta=0.75, bias=1.0)


def _last_size(image_size: int) -> int:
    """Height after conv1 and the three poolings, none of which is padded."""
    size = (image_size - 11) // 4 + 1
    for _ in range(3):
        size = (size - 3) // 2 + 1
    return size
