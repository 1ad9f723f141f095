"""ResNet-18 in torchvision's layout, BatchNormalization kept as exporters write it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.parameters import Weights

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="resnet18",
    description="ResNet-18 for ImageNet: 20 convolutions, residual additions, 11.7 M parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="He et al., Deep Residual Learning for Image Recognition, CVPR 2016; torchvision",
)

STAGES = ((64, 1), (128, 2), (256, 2), (512, 2))  # channels, stride of the first block
BLOCKS = 2  # a stage
BRANCH_GAIN = 0.5  # of seeded residual branches: eight additions leave the scale in order


def build(
    seed: int = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build ResNet-18: image [1, 3, image_size, image_size] to logits [1, classes].

    Args:
        seed: Draws the parameters.
        image_size: Height and width in pixels, at least 32.
        classes: Number of logits.
        weights: A torchvision state dict as numpy arrays, in place of drawn parameters.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    check_range("image_size", image_size, 32)
    check_range("classes", classes, 1)
    g = GraphBuilder(INFO.name, seed=seed, weights=weights)
    x = g.input("image", (1, 3, image_size, image_size))
    x = g.conv("conv1", x, (3, 64), 7, stride=2, pad=3, bias=False)
    x = g.relu("relu", g.batch_norm("bn1", x, 64))
    x = g.max_pool("maxpool", x, 3, stride=2, pad=1)
    inner = 64
    for stage, (outer, stride) in enumerate(STAGES, start=1):
        for block in range(BLOCKS):
            x = _basic_block(g, f"layer{stage}.{block}", x, (inner, outer), 1 if block else stride)
            inner = outer
    x = g.node("GlobalAveragePool", "avgpool", x)
    x = g.node("Flatten", "flatten", x)
    x = g.gemm("fc", x, (inner, classes))
    return g.finish(x, (1, classes))


def _basic_block(g: GraphBuilder, name: str, x: str, channels: tuple[int, int], stride: int) -> str:
    """Two 3x3 convolutions beside a shortcut, which is projected where the shape changes."""
    inner, outer = channels
    y = g.conv(f"{name}.conv1", x, channels, 3, stride=stride, pad=1, bias=False)
    y = g.relu(f"{name}.relu1", g.batch_norm(f"{name}.bn1", y, outer))
    y = g.conv(f"{name}.conv2", y, (outer, outer), 3, pad=1, bias=False)
    y = g.batch_norm(f"{name}.bn2", y, outer, scale=BRANCH_GAIN)
    if stride != 1 or inner != outer:
        x = g.conv(f"{name}.downsample.0", x, channels, 1, stride=stride, bias=False)
        x = g.batch_norm(f"{name}.downsample.1", x, outer)
    return g.relu(f"{name}.relu2", g.node("Add", f"{name}.add", y, x))
