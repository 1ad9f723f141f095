"""ShuffleNet v2 x1.0 in torchvision's layout: channels split, convolved in part and shuffled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import classify, conv_norm, image_graph
from imccompiler.models.info import ModelInfo, ModelInput
from imccompiler.models.parameters import Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="shufflenet",
    description="ShuffleNet v2 x1.0 for ImageNet: 56 convolutions, channel split and shuffle, "
    "2.3 M parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Ma et al., ShuffleNet V2, ECCV 2018; torchvision",
)

STAGES = ((116, 4), (232, 8), (464, 4))  # channels, blocks
LAST = 1024


def build(
    seed: Seed = 0,
    *,
    image_size: int = 224,
    classes: int = 1000,
    weights: Weights | None = None,
) -> ModelProto:
    """Build ShuffleNet v2: image [1, 3, image_size, image_size] to logits [1, classes].

    Options and errors are those of `convolutional.image_graph`.
    """
    g, x = image_graph(INFO, seed, weights, image_size=image_size, classes=classes)
    x = g.relu("conv1.2", conv_norm(g, ("conv1.0", "conv1.1"), x, (3, 24), 3, stride=2))
    x = g.max_pool("maxpool", x, 3, stride=2, pad=1)
    inner, size = 24, _halved(_halved(image_size))
    for stage, (outer, blocks) in enumerate(STAGES, start=2):
        size = _halved(size)
        for block in range(blocks):
            name = f"stage{stage}.{block}"
            y = _unit(g, name, x, outer) if block else _down_unit(g, name, x, (inner, outer))
            x = _shuffle(g, f"{name}.shuffle", y, outer, size)
        inner = outer
    x = g.relu("conv5.2", conv_norm(g, ("conv5.0", "conv5.1"), x, (inner, LAST), 1))
    return g.finish(classify(g, "fc", x, (LAST, classes)), (1, classes))


def _unit(g: GraphBuilder, name: str, x: str, channels: int) -> str:
    """One half of the channels passes, the other is convolved."""
    half = channels // 2
    sizes = g.constant(f"{name}.halves", [half, half], "int64")
    kept, y = g.nodes("Split", f"{name}.split", x, sizes, parts=("0", "1"), axis=1)
    y = _branch(g, f"{name}.branch2", y, (half, half), stride=1)
    return g.node("Concat", f"{name}.concat", kept, y, axis=1)


def _down_unit(g: GraphBuilder, name: str, x: str, channels: tuple[int, int]) -> str:
    """Both branches read all channels and halve the image."""
    inner, half = channels[0], channels[1] // 2
    names = (f"{name}.branch1.0", f"{name}.branch1.1")
    y = conv_norm(g, names, x, (inner, inner), 3, stride=2, groups=inner)
    y = conv_norm(g, (f"{name}.branch1.2", f"{name}.branch1.3"), y, (inner, half), 1, gain=1.0)
    y = g.relu(f"{name}.branch1.4", y)
    z = _branch(g, f"{name}.branch2", x, (inner, half), stride=2)
    return g.node("Concat", f"{name}.concat", y, z, axis=1)


def _branch(g: GraphBuilder, name: str, x: str, channels: tuple[int, int], *, stride: int) -> str:
    """1x1, depthwise 3x3 and 1x1 convolutions, the depthwise one without activation."""
    inner, outer = channels
    x = conv_norm(g, (f"{name}.0", f"{name}.1"), x, (inner, outer), 1)
    x = g.relu(f"{name}.2", x)
    names = (f"{name}.3", f"{name}.4")
    x = conv_norm(g, names, x, (outer, outer), 3, stride=stride, groups=outer)
    x = conv_norm(g, (f"{name}.5", f"{name}.6"), x, (outer, outer), 1, gain=1.0)
    return g.relu(f"{name}.7", x)


def _shuffle(g: GraphBuilder, name: str, x: str, channels: int, size: int) -> str:
    """Interleave the two halves of the channels."""
    halves = g.constant(f"{name}.halves", [1, 2, channels // 2, size, size], "int64")
    whole = g.constant(f"{name}.whole", [1, channels, size, size], "int64")
    x = g.node("Reshape", f"{name}.split", x, halves)
    x = g.node("Transpose", f"{name}.transpose", x, perm=[0, 2, 1, 3, 4])
    return g.node("Reshape", name, x, whole)


def _halved(size: int) -> int:
    """Height after a 3x3 window of stride 2 and padding 1."""
    return (size + 1) // 2
