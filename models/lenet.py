"""LeNet-5 with ReLU and max pooling, as deep-learning courses build it today."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.info import ModelInfo, ModelInput
from imccompiler.models.parameters import Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="lenet",
    description="LeNet-5 for 28x28 digits: 2 convolutions, 3 fully connected layers",
    inputs=(ModelInput("image", (1, 1, 28, 28)),),
    source="LeCun et al., Gradient-Based Learning Applied to Document Recognition, 1998",
)


def build(seed: Seed = 0, *, weights: Weights | None = None) -> ModelProto:
    """Build LeNet-5: image [1, 1, 28, 28] to logits [1, 10]."""
    g = GraphBuilder(INFO.name, seed=seed, weights=weights)
    x = g.input("image", (1, 1, 28, 28))
    x = g.relu("relu1", g.conv("conv1", x, (1, 6), 5, pad=2))
    x = g.max_pool("pool1", x, 2, stride=2)
    x = g.relu("relu2", g.conv("conv2", x, (6, 16), 5))
    x = g.max_pool("pool2", x, 2, stride=2)
    x = g.node("Flatten", "flatten", x)
    x = g.relu("relu3", g.gemm("fc1", x, (16 * 5 * 5, 120)))
    x = g.relu("relu4", g.gemm("fc2", x, (120, 84)))
    x = g.gemm("fc3", x, (84, 10))
    return g.finish(x, (1, 10))
