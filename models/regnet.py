"""RegNetY-400MF in torchvision's layout: grouped bottlenecks with squeeze and excitation."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import (
    SQUEEZE_GAIN,
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
    name="regnet",
    description="RegNetY-400MF for ImageNet: 85 convolutions, groups of 8 channels, squeeze and "
    "excitation, 4.3 M parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Radosavovic et al., Designing Network Design Spaces, CVPR 2020; torchvision",
)

STEM = 32
STAGES = ((48, 1), (104, 3), (208, 6), (440, 6))  # channels, blocks
GROUP = 8  # channels of a group
SQUEEZE = 4  # a block's first channels over those within its squeeze and excitation
BRANCH_GAIN = math.sqrt(2 / sum(blocks for _, blocks in STAGES))  # as in `resnet`


def build(
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build RegNetY-400MF: image [1, 3, image_size, image_size] to logits [1, classes].

    Options and errors are those of `convolutional.image_graph`.
    """
    g, x = image_graph(INFO, seed, weights, image_size=image_size, classes=classes)
    x = g.relu("stem.2", conv_norm(g, ("stem.0", "stem.1"), x, (3, STEM), 3, stride=2))
    inner = STEM
    for stage, (outer, blocks) in enumerate(STAGES, start=1):
        for block in range(blocks):
            name = f"trunk_output.block{stage}.block{stage}-{block}"
            x = _block(g, name, x, (inner, outer), stride=1 if block else 2)
            inner = outer
    return g.finish(classify(g, "fc", x, (inner, classes)), (1, classes))


def _block(g: GraphBuilder, name: str, x: str, channels: tuple[int, int], *, stride: int) -> str:
    """1x1, grouped 3x3, weighed and 1x1, beside a shortcut that is projected at a stride."""
    inner, outer = channels
    y = conv_norm(g, (f"{name}.f.a.0", f"{name}.f.a.1"), x, channels, 1)
    y = g.relu(f"{name}.f.a.2", y)
    names = (f"{name}.f.b.0", f"{name}.f.b.1")
    y = conv_norm(g, names, y, (outer, outer), 3, stride=stride, groups=outer // GROUP)
    y = g.relu(f"{name}.f.b.2", y)
    y = squeeze_excite(g, f"{name}.f.se", y, (outer, inner // SQUEEZE))
    names = (f"{name}.f.c.0", f"{name}.f.c.1")
    gain = SQUEEZE_GAIN * RELU_GAIN
    y = conv_norm(g, names, y, (outer, outer), 1, gain=gain, scale=BRANCH_GAIN)
    if stride != 1 or inner != outer:
        x = conv_norm(g, (f"{name}.proj.0", f"{name}.proj.1"), x, channels, 1, stride=stride)
    return g.relu(f"{name}.activation", g.node("Add", f"{name}.add", x, y))
