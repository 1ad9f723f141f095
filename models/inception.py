"""GoogLeNet and Inception-v3 in torchvision's layout, without auxiliary heads."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder, Window
from imccompiler.models.convolutional import classify, conv_norm, image_graph
from imccompiler.models.info import ModelInfo, ModelInput
from imccompiler.models.parameters import Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

GOOGLENET = ModelInfo(
    name="googlenet",
    description="GoogLeNet for ImageNet: 57 convolutions, 9 inception modules, 6.6 M parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Szegedy et al., Going Deeper with Convolutions, CVPR 2015; torchvision",
)

INCEPTION_V3 = ModelInfo(
    name="inception-v3",
    description="Inception-v3 for ImageNet: 94 convolutions, 1x7 and 7x1 kernels, 23.8 M "
    "parameters",
    inputs=(ModelInput("image", (1, 3, 299, 299)),),
    source="Szegedy et al., Rethinking the Inception Architecture, CVPR 2016; torchvision",
)

# Channels after the 1x1 branch, within and after the two 3x3 branches, after the pooled branch.
# torchvision keeps a 3x3 kernel where the paper has 5x5.
Widths = tuple[int, int, int, int, int, int]
MODULES: dict[str, Widths | None] = {
    "inception3a": (64, 96, 128, 16, 32, 32),
    "inception3b": (128, 128, 192, 32, 96, 64),
    "maxpool3": None,
    "inception4a": (192, 96, 208, 16, 48, 64),
    "inception4b": (160, 112, 224, 24, 64, 64),
    "inception4c": (128, 128, 256, 24, 64, 64),
    "inception4d": (112, 144, 288, 32, 64, 64),
    "inception4e": (256, 160, 320, 32, 128, 128),
    "maxpool4": None,
    "inception5a": (256, 160, 320, 32, 128, 128),
    "inception5b": (384, 192, 384, 48, 128, 128),
}


def googlenet(
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build GoogLeNet: image [1, 3, image_size, image_size] to logits [1, classes].

    Options and errors are those of `convolutional.image_graph`.
    """
    g, x = image_graph(GOOGLENET, seed, weights, image_size=image_size, classes=classes)
    x = _conv(g, "conv1", x, (3, 64), 7, stride=2, pad=3)
    x = g.max_pool("maxpool1", x, 3, stride=2, ceil=True)
    x = _conv(g, "conv3", _conv(g, "conv2", x, (64, 64)), (64, 192), 3, pad=1)
    x = g.max_pool("maxpool2", x, 3, stride=2, ceil=True)
    channels = 192
    for name, widths in MODULES.items():
        if widths is None:
            x = g.max_pool(name, x, 2 if name == "maxpool4" else 3, stride=2, ceil=True)
        else:
            x = _inception(g, name, x, channels, widths)
            channels = widths[0] + widths[2] + widths[4] + widths[5]
    return g.finish(classify(g, "fc", x, (channels, classes)), (1, classes))


def _inception(g: GraphBuilder, name: str, x: str, channels: int, widths: Widths) -> str:
    """A 1x1, two 3x3 and a pooled branch, whose channels are concatenated."""
    one, reduce3, three, reduce5, five, pooled = widths
    y1 = _conv(g, f"{name}.branch1", x, (channels, one))
    y2 = _conv(g, f"{name}.branch2.0", x, (channels, reduce3))
    y2 = _conv(g, f"{name}.branch2.1", y2, (reduce3, three), 3, pad=1)
    y3 = _conv(g, f"{name}.branch3.0", x, (channels, reduce5))
    y3 = _conv(g, f"{name}.branch3.1", y3, (reduce5, five), 3, pad=1)
    y4 = g.max_pool(f"{name}.branch4.0", x, 3, stride=1, pad=1, ceil=True)
    y4 = _conv(g, f"{name}.branch4.1", y4, (channels, pooled))
    return g.node("Concat", f"{name}.concat", y1, y2, y3, y4, axis=1)


def inception_v3(
    seed: Seed = 0,
    *,
    image_size: int = 299,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build Inception-v3: image [1, 3, image_size, image_size] to logits [1, classes].

    Options and errors are those of `convolutional.image_graph`; `image_size` is at least 75.
    """
    g, x = image_graph(
        INCEPTION_V3, seed, weights, image_size=image_size, classes=classes, least=75
    )
    x = _conv(g, "Conv2d_1a_3x3", x, (3, 32), 3, stride=2)
    x = _conv(g, "Conv2d_2a_3x3", x, (32, 32), 3)
    x = _conv(g, "Conv2d_2b_3x3", x, (32, 64), 3, pad=1)
    x = _conv(g, "Conv2d_3b_1x1", g.max_pool("maxpool1", x, 3, stride=2), (64, 80))
    x = g.max_pool("maxpool2", _conv(g, "Conv2d_4a_3x3", x, (80, 192), 3), 3, stride=2)
    x = _module_a(g, "Mixed_5b", x, 192, pooled=32)
    x = _module_a(g, "Mixed_5c", x, 256, pooled=64)
    x = _module_a(g, "Mixed_5d", x, 288, pooled=64)
    x = _module_b(g, "Mixed_6a", x, 288)
    for name, width in (("6b", 128), ("6c", 160), ("6d", 160), ("6e", 192)):
        x = _module_c(g, f"Mixed_{name}", x, 768, width)
    x = _module_d(g, "Mixed_7a", x, 768)
    x = _module_e(g, "Mixed_7b", x, 1280)
    x = _module_e(g, "Mixed_7c", x, 2048)
    return g.finish(classify(g, "fc", x, (2048, classes)), (1, classes))


def _module_a(g: GraphBuilder, name: str, x: str, channels: int, *, pooled: int) -> str:
    """1x1, 5x5, twice 3x3 and pooled branches."""
    y1 = _conv(g, f"{name}.branch1x1", x, (channels, 64))
    y2 = _conv(g, f"{name}.branch5x5_1", x, (channels, 48))
    y2 = _conv(g, f"{name}.branch5x5_2", y2, (48, 64), 5, pad=2)
    y3 = _conv(g, f"{name}.branch3x3dbl_1", x, (channels, 64))
    y3 = _conv(g, f"{name}.branch3x3dbl_2", y3, (64, 96), 3, pad=1)
    y3 = _conv(g, f"{name}.branch3x3dbl_3", y3, (96, 96), 3, pad=1)
    y4 = _pooled(g, name, x, (channels, pooled))
    return g.node("Concat", f"{name}.concat", y1, y2, y3, y4, axis=1)


def _module_b(g: GraphBuilder, name: str, x: str, channels: int) -> str:
    """Halves the image: 3x3, twice 3x3 and max-pooled branches."""
    y1 = _conv(g, f"{name}.branch3x3", x, (channels, 384), 3, stride=2)
    y2 = _conv(g, f"{name}.branch3x3dbl_1", x, (channels, 64))
    y2 = _conv(g, f"{name}.branch3x3dbl_2", y2, (64, 96), 3, pad=1)
    y2 = _conv(g, f"{name}.branch3x3dbl_3", y2, (96, 96), 3, stride=2)
    y3 = g.max_pool(f"{name}.branch_pool", x, 3, stride=2)
    return g.node("Concat", f"{name}.concat", y1, y2, y3, axis=1)


def _module_c(g: GraphBuilder, name: str, x: str, channels: int, width: int) -> str:
    """1x1, 7x7, twice 7x7 and pooled branches, a 7x7 kernel split into 1x7 and 7x1."""
    y1 = _conv(g, f"{name}.branch1x1", x, (channels, 192))
    y2 = _conv(g, f"{name}.branch7x7_1", x, (channels, width))
    y2 = _conv(g, f"{name}.branch7x7_2", y2, (width, width), (1, 7), pad=(0, 3))
    y2 = _conv(g, f"{name}.branch7x7_3", y2, (width, 192), (7, 1), pad=(3, 0))
    y3 = _conv(g, f"{name}.branch7x7dbl_1", x, (channels, width))
    y3 = _conv(g, f"{name}.branch7x7dbl_2", y3, (width, width), (7, 1), pad=(3, 0))
    y3 = _conv(g, f"{name}.branch7x7dbl_3", y3, (width, width), (1, 7), pad=(0, 3))
    y3 = _conv(g, f"{name}.branch7x7dbl_4", y3, (width, width), (7, 1), pad=(3, 0))
    y3 = _conv(g, f"{name}.branch7x7dbl_5", y3, (width, 192), (1, 7), pad=(0, 3))
    y4 = _pooled(g, name, x, (channels, 192))
    return g.node("Concat", f"{name}.concat", y1, y2, y3, y4, axis=1)


def _module_d(g: GraphBuilder, name: str, x: str, channels: int) -> str:
    """Halves the image: 3x3, 7x7 with 3x3 and max-pooled branches."""
    y1 = _conv(g, f"{name}.branch3x3_1", x, (channels, 192))
    y1 = _conv(g, f"{name}.branch3x3_2", y1, (192, 320), 3, stride=2)
    y2 = _conv(g, f"{name}.branch7x7x3_1", x, (channels, 192))
    y2 = _conv(g, f"{name}.branch7x7x3_2", y2, (192, 192), (1, 7), pad=(0, 3))
    y2 = _conv(g, f"{name}.branch7x7x3_3", y2, (192, 192), (7, 1), pad=(3, 0))
    y2 = _conv(g, f"{name}.branch7x7x3_4", y2, (192, 192), 3, stride=2)
    y3 = g.max_pool(f"{name}.branch_pool", x, 3, stride=2)
    return g.node("Concat", f"{name}.concat", y1, y2, y3, axis=1)


def _module_e(g: GraphBuilder, name: str, x: str, channels: int) -> str:
    """1x1, two forked 3x3 and pooled branches."""
    y1 = _conv(g, f"{name}.branch1x1", x, (channels, 320))
    y2 = _conv(g, f"{name}.branch3x3_1", x, (channels, 384))
    y2 = _fork(g, f"{name}.branch3x3_2", y2)
    y3 = _conv(g, f"{name}.branch3x3dbl_1", x, (channels, 448))
    y3 = _conv(g, f"{name}.branch3x3dbl_2", y3, (448, 384), 3, pad=1)
    y3 = _fork(g, f"{name}.branch3x3dbl_3", y3)
    y4 = _pooled(g, name, x, (channels, 192))
    return g.node("Concat", f"{name}.concat", y1, y2, y3, y4, axis=1)


def _fork(g: GraphBuilder, name: str, x: str) -> str:
    """A 1x3 and a 3x1 convolution side by side."""
    a = _conv(g, f"{name}a", x, (384, 384), (1, 3), pad=(0, 1))
    b = _conv(g, f"{name}b", x, (384, 384), (3, 1), pad=(1, 0))
    return g.node("Concat", f"{name}.concat", a, b, axis=1)


def _pooled(g: GraphBuilder, name: str, x: str, channels: tuple[int, int]) -> str:
    """Averages of 3x3, projected."""
    x = g.average_pool(f"{name}.avg_pool", x, 3, stride=1, pad=1)
    return _conv(g, f"{name}.branch_pool", x, channels)


def _conv(
    g: GraphBuilder,
    name: str,
    x: str,
    channels: tuple[int, int],
    kernel: Window = 1,
    *,
    stride: int = 1,
    pad: Window = 0,
) -> str:
    """Convolution, BatchNormalization and ReLU."""
    names = (f"{name}.conv", f"{name}.bn")
    x = conv_norm(g, names, x, channels, kernel, stride=stride, pad=pad, epsilon=1e-3)
    return g.relu(f"{name}.relu", x)
