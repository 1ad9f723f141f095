"""ConvNeXt-T in torchvision's layout; GELU as the operator of opset 20."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import image_graph
from imccompiler.models.info import ModelInfo, ModelInput
from imccompiler.models.parameters import Seed, Weights
from imccompiler.models.transformer import layer_norm, linear

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="convnext-t",
    description="ConvNeXt-T for ImageNet: depthwise 7x7, LayerNormalization, layer scale, 28.6 M "
    "parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Liu et al., A ConvNet for the 2020s, CVPR 2022; torchvision",
)

STAGES = ((96, 3), (192, 3), (384, 9), (768, 3))  # channels, blocks
PATCH = 4
KERNEL = 7
EXPANSION = 4
EPSILON = 1e-6
LAYER_SCALE = 0.5  # of a seeded network: trained ones have grown from 1e-6


def build(
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build ConvNeXt-T: image [1, 3, image_size, image_size] to logits [1, classes].

    Options and errors are those of `convolutional.image_graph`.
    """
    g, x = image_graph(INFO, seed, weights, image_size=image_size, classes=classes, opset=20)
    inner = STAGES[0][0]
    x = g.conv("features.0.0", x, (3, inner), PATCH, stride=PATCH, gain=1.0)
    x = _norm(g, "features.0.1", x, inner)
    for index, (outer, blocks) in enumerate(STAGES):
        if index:
            name = f"features.{2 * index}"
            x = _norm(g, f"{name}.0", x, inner)
            x = g.conv(f"{name}.1", x, (inner, outer), 2, stride=2, gain=1.0)
        for block in range(blocks):
            x = _block(g, f"features.{2 * index + 1}.{block}", x, outer)
        inner = outer
    x = _norm(g, "classifier.0", g.node("GlobalAveragePool", "avgpool", x), inner)
    x = g.node("Flatten", "classifier.1", x)
    return g.finish(g.gemm("classifier.2", x, (inner, classes)), (1, classes))


def _norm(g: GraphBuilder, name: str, x: str, channels: int) -> str:
    """LayerNormalization over the channels of [1, channels, height, width]."""
    x = g.node("Transpose", f"{name}.last", x, perm=[0, 2, 3, 1])
    x = layer_norm(g, name, x, channels, epsilon=EPSILON)
    return g.node("Transpose", f"{name}.first", x, perm=[0, 3, 1, 2])


def _block(g: GraphBuilder, name: str, x: str, channels: int) -> str:
    """A depthwise convolution and two linear layers around a GELU, scaled and added."""
    part = f"{name}.block"
    y = g.conv(
        f"{part}.0", x, (channels, channels), KERNEL, pad=KERNEL // 2, groups=channels, gain=1.0
    )
    y = g.node("Transpose", f"{part}.1", y, perm=[0, 2, 3, 1])
    y = layer_norm(g, f"{part}.2", y, channels, epsilon=EPSILON)
    y = linear(g, f"{part}.3", y, (channels, EXPANSION * channels))
    y = linear(g, f"{part}.5", g.node("Gelu", f"{part}.4", y), (EXPANSION * channels, channels))
    y = g.node("Transpose", f"{part}.6", y, perm=[0, 3, 1, 2])
    scale = g.parameter(f"{name}.layer_scale", channels, 1, 1, mean=LAYER_SCALE, std=0.1)
    return g.node("Add", f"{name}.add", g.node("Mul", f"{name}.scaled", scale, y), x)
