"""The two digit networks: their graphs, and the trained files of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.digits.data import FOLDER
from imccompiler.models.info import ModelInfo, ModelInput
from imccompiler.models.parameters import Weights

if TYPE_CHECKING:
    from onnx import ModelProto

IMAGE = ModelInput("image", (1, 1, 8, 8))
SOURCE = "imccompiler.models.digits.train on scikit-learn's load_digits"

CNN = ModelInfo(
    name="digits-cnn",
    description="trained on 8x8 digits: 4 convolutions with a residual addition, 1 fully connected",
    inputs=(IMAGE,),
    source=SOURCE,
    trained=True,
)
MLP = ModelInfo(
    name="digits-mlp",
    description="trained on 8x8 digits: 3 fully connected layers",
    inputs=(IMAGE,),
    source=SOURCE,
    trained=True,
)


def load(name: str) -> ModelProto:
    """Read the shipped, trained file of `digits-cnn` or `digits-mlp`."""
    import onnx  # noqa: PLC0415

    return onnx.load_model(FOLDER / f"{name}.onnx", load_external_data=False)


def cnn(weights: Weights) -> ModelProto:
    """Write the convolutional network with these weights: image [1, 1, 8, 8] to logits [1, 10]."""
    g = GraphBuilder(CNN.name, weights=weights)
    x = g.input(IMAGE.name, IMAGE.shape)
    x = g.relu("relu1", g.conv("conv1", x, (1, 16), 3, pad=1))
    y = g.relu("relu2", g.conv("conv2", x, (16, 16), 3, pad=1))
    y = g.conv("conv3", y, (16, 16), 3, pad=1)
    x = g.relu("relu3", g.node("Add", "add", y, x))
    x = g.max_pool("pool1", x, 2, stride=2)
    x = g.relu("relu4", g.conv("conv4", x, (16, 32), 3, pad=1))
    x = g.max_pool("pool2", x, 2, stride=2)
    x = g.gemm("fc", g.node("Flatten", "flatten", x), (32 * 2 * 2, 10))
    return g.finish(x, (1, 10))


def mlp(weights: Weights) -> ModelProto:
    """Write the perceptron with these weights: image [1, 1, 8, 8] to logits [1, 10]."""
    g = GraphBuilder(MLP.name, weights=weights)
    x = g.node("Flatten", "flatten", g.input(IMAGE.name, IMAGE.shape))
    x = g.relu("relu1", g.gemm("fc1", x, (64, 64)))
    x = g.relu("relu2", g.gemm("fc2", x, (64, 32)))
    x = g.gemm("fc3", x, (32, 10))
    return g.finish(x, (1, 10))
