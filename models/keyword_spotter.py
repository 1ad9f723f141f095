"""A keyword spotter: separable 1-D convolutions along time, in the form of MatchboxNet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import classify, conv_norm
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.parameters import HE_GAIN, RELU_GAIN, Seed, Weights

if TYPE_CHECKING:
    from onnx import ModelProto

FRAMES, COEFFICIENTS, WORDS = 128, 64, 35  # of MFCCs, and of Speech Commands v2
FIRST, CHANNELS, LAST = 128, 64, 128
KERNELS = (13, 15, 17)  # of the residual blocks
DEPTH = 2  # separable convolutions in a block

INFO = ModelInfo(
    name="keyword-spotter",
    description="Keyword spotter of 35 words: separable 1-D convolutions, global pooling, 0.1 M "
    "parameters",
    inputs=(ModelInput("features", (1, COEFFICIENTS, FRAMES)),),
    source="Majumdar, Ginsburg, MatchboxNet, arXiv:2004.08531, 3x2x64",
)


def build(
    seed: Seed = 0, *, frames: int = FRAMES, classes: int = WORDS, weights: Weights | None = None
) -> ModelProto:
    """Build the spotter: features [1, 64, frames] to logits [1, classes].

    Args:
        seed: Draws the parameters; None leaves them out.
        frames: Of audio features, 64 coefficients each.
        classes: Number of logits.
        weights: Parameters by name, in place of drawn ones.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    check_range("frames", frames, 2)
    check_range("classes", classes, 1)
    g = GraphBuilder(INFO.name, seed=seed, weights=weights)
    x = g.input("features", (1, COEFFICIENTS, frames))
    x = g.relu("conv1.relu", _separable(g, "conv1", x, (COEFFICIENTS, FIRST), 11, stride=2))
    inner = FIRST
    for index, kernel in enumerate(KERNELS, start=1):
        x = _block(g, f"block{index}", x, (inner, CHANNELS), kernel)
        inner = CHANNELS
    x = g.relu("conv2.relu", _separable(g, "conv2", x, (inner, LAST), 29, dilation=2))
    x = g.relu("conv3.relu", _pointwise(g, "conv3", x, (LAST, LAST)))
    return g.finish(classify(g, "conv4", x, (LAST, classes)), (1, classes))


def _block(g: GraphBuilder, name: str, x: str, channels: tuple[int, int], kernel: int) -> str:
    """Separable convolutions beside a projected shortcut."""
    y, inner = x, channels[0]
    for index in range(1, DEPTH + 1):
        y = y if index == 1 else g.relu(f"{name}.{index - 1}.relu", y)
        y = _separable(g, f"{name}.{index}", y, (inner, channels[1]), kernel)
        inner = channels[1]
    x = g.node("Add", f"{name}.add", y, _pointwise(g, f"{name}.shortcut", x, channels))
    return g.relu(f"{name}.relu", x)


def _separable(
    g: GraphBuilder,
    name: str,
    x: str,
    channels: tuple[int, int],
    kernel: int,
    *,
    stride: int = 1,
    dilation: int = 1,
) -> str:
    """A convolution along time for each channel, then one across channels, normalised."""
    inner = channels[0]
    x = g.conv(
        f"{name}.depthwise",
        x,
        (inner, inner),
        (kernel,),
        stride=stride,
        pad=(dilation * (kernel // 2),),
        groups=inner,
        dilation=dilation,
        bias=False,
        gain=1.0,
    )
    return _pointwise(g, f"{name}.pointwise", x, channels, gain=HE_GAIN)


def _pointwise(
    g: GraphBuilder, name: str, x: str, channels: tuple[int, int], *, gain: float = RELU_GAIN
) -> str:
    """A convolution across channels, normalised."""
    return conv_norm(g, (name, f"{name}.bn"), x, channels, (1,), gain=gain)
