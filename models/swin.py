"""Swin-T in torchvision's layout: attention in windows, which every other block shifts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.convolutional import classify, image_graph
from imccompiler.models.info import ModelInfo, ModelInput
from imccompiler.models.parameters import Seed, Weights
from imccompiler.models.transformer import fused_attention, gelu, layer_norm, linear

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="swin-t",
    description="Swin-T for ImageNet: shifted windows of 7x7, 12 blocks in 4 stages, 28.3 M "
    "parameters",
    inputs=(ModelInput("image", (1, 3, 224, 224)),),
    source="Liu et al., Swin Transformer, ICCV 2021; torchvision",
)

IMAGE, PATCH, WINDOW = 224, 4, 7
CHANNELS = 96
STAGES = ((2, 3), (2, 6), (6, 12), (2, 24))  # blocks, heads
EXPANSION = 4  # of the feed-forward layers
EPSILON = 1e-5
MASKED = -100.0  # added to scores between tokens that are neighbours by the shift alone

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a block stands: the size of its map, its channels and heads."""

    size: int
    channels: int
    heads: int

    @property
    def windows(self) -> int:
        """Of the map in each direction."""
        return self.size // WINDOW


def build(seed: Seed = 0, *, classes: int = 1000, weights: Weights | None = None) -> ModelProto:
    """Build Swin-T: image [1, 3, 224, 224] to logits [1, classes].

    Args:
        seed: Draws the parameters; None leaves them out.
        classes: Number of logits.
        weights: A torchvision state dict as numpy arrays, in place of drawn parameters.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    g, x = image_graph(INFO, seed, weights, image_size=IMAGE, classes=classes)
    x = g.conv("features.0.0", x, (3, CHANNELS), PATCH, stride=PATCH, gain=1.0)
    x = g.node("Transpose", "features.0.1", x, perm=[0, 2, 3, 1])
    x = layer_norm(g, "features.0.2", x, CHANNELS, epsilon=EPSILON)
    size, channels = IMAGE // PATCH, CHANNELS
    for index, (blocks, heads) in enumerate(STAGES):
        if index:
            x = _merge_patches(g, f"features.{2 * index}", x, channels)
            size, channels = size // 2, 2 * channels
        stage = Stage(size, channels, heads)
        for block in range(blocks):
            # A map of one window has nowhere to shift it.
            shift = WINDOW // 2 if block % 2 and stage.windows > 1 else 0
            x = _block(g, f"features.{2 * index + 1}.{block}", x, stage, shift)
    x = layer_norm(g, "norm", x, channels, epsilon=EPSILON)
    x = g.node("Transpose", "permute", x, perm=[0, 3, 1, 2])
    return g.finish(classify(g, "head", x, (channels, classes)), (1, classes))


def _block(g: GraphBuilder, name: str, x: str, stage: Stage, shift: int) -> str:
    """Windowed attention and feed-forward on a map [1, size, size, channels]."""
    channels = stage.channels
    y = layer_norm(g, f"{name}.norm1", x, channels, epsilon=EPSILON)
    y = _roll(g, f"{name}.attn.shift", y, shift)
    y = _partition(g, f"{name}.attn.windows", y, stage)
    layers = (f"{name}.attn.qkv", f"{name}.attn.proj")
    shape = (stage.windows**2, WINDOW**2, channels)
    y = fused_attention(g, layers, y, shape, stage.heads, _bias(g, f"{name}.attn", stage, shift))
    y = _join(g, f"{name}.attn.map", y, stage)
    y = _roll(g, f"{name}.attn.unshift", y, -shift)
    x = g.node("Add", f"{name}.add1", x, y)
    y = layer_norm(g, f"{name}.norm2", x, channels, epsilon=EPSILON)
    y = gelu(g, f"{name}.mlp.1", linear(g, f"{name}.mlp.0", y, (channels, EXPANSION * channels)))
    y = linear(g, f"{name}.mlp.3", y, (EXPANSION * channels, channels))
    return g.node("Add", f"{name}.add2", x, y)


def _roll(g: GraphBuilder, name: str, x: str, shift: int) -> str:
    """Shift rows and columns up and left by `shift`; what leaves comes back at the other end."""
    if not shift:
        return x
    for axis in (1, 2):
        part = f"{name}.{axis}"
        cut = g.constant(f"{part}.cut", [shift], "int64")
        start = g.constant(f"{part}.start", [0], "int64")
        end = g.constant(f"{part}.end", [np.iinfo(np.int64).max], "int64")
        along = g.constant(f"{part}.axis", [axis], "int64")
        last = g.node("Slice", f"{part}.last", x, cut, end, along)
        first = g.node("Slice", f"{part}.first", x, start, cut, along)
        x = g.node("Concat", part, last, first, axis=axis)
    return x


def _partition(g: GraphBuilder, name: str, x: str, stage: Stage) -> str:
    """[1, size, size, channels] to [windows, 49, channels]."""
    n = stage.windows
    parts = g.constant(f"{name}.parts", [1, n, WINDOW, n, WINDOW, stage.channels], "int64")
    shape = g.constant(f"{name}.shape", [n * n, WINDOW**2, stage.channels], "int64")
    x = g.node("Reshape", f"{name}.split", x, parts)
    x = g.node("Transpose", f"{name}.transpose", x, perm=[0, 1, 3, 2, 4, 5])
    return g.node("Reshape", name, x, shape)


def _join(g: GraphBuilder, name: str, x: str, stage: Stage) -> str:
    """[windows, 49, channels] to [1, size, size, channels]."""
    n = stage.windows
    parts = g.constant(f"{name}.parts", [1, n, n, WINDOW, WINDOW, stage.channels], "int64")
    shape = g.constant(f"{name}.shape", [1, stage.size, stage.size, stage.channels], "int64")
    x = g.node("Reshape", f"{name}.split", x, parts)
    x = g.node("Transpose", f"{name}.transpose", x, perm=[0, 1, 3, 2, 4, 5])
    return g.node("Reshape", name, x, shape)


def _bias(g: GraphBuilder, name: str, stage: Stage, shift: int) -> Callable[[str], str]:
    """What is added to scores [windows, heads, 49, 49]: relative positions, and the mask."""
    entries = (2 * WINDOW - 1) ** 2
    table = g.parameter(f"{name}.relative_position_bias_table", entries, stage.heads, std=0.5)
    index = g.constant(f"{name}.relative_position_index", relative_positions(), "int64")
    tokens = WINDOW**2
    shape = g.constant(f"{name}.bias.shape", [tokens, tokens, stage.heads], "int64")
    bias = g.node("Gather", f"{name}.bias.gather", table, index, axis=0)
    bias = g.node("Reshape", f"{name}.bias.square", bias, shape)
    bias = g.node("Transpose", f"{name}.bias.transpose", bias, perm=[2, 0, 1])
    axes = g.constant(f"{name}.bias.axes", [0], "int64")
    bias = g.node("Unsqueeze", f"{name}.bias", bias, axes)

    def add(scores: str) -> str:
        scores = g.node("Add", f"{name}.biased", scores, bias)
        if not shift:
            return scores
        mask = g.constant(f"{name}.mask", shift_mask(stage.size, shift)[:, None])
        return g.node("Add", f"{name}.masked", scores, mask)

    return add


def relative_positions() -> Array:
    """For each pair of tokens in a window, the row of the bias table: int64 [49 * 49]."""
    rows, columns = np.divmod(np.arange(WINDOW**2), WINDOW)
    down = rows[:, None] - rows + WINDOW - 1
    right = columns[:, None] - columns + WINDOW - 1
    return (down * (2 * WINDOW - 1) + right).reshape(-1)


def shift_mask(size: int, shift: int) -> Array:
    """0 between tokens that are neighbours in the image, -100 elsewhere: [windows, 49, 49]."""
    region = np.searchsorted([size - WINDOW, size - shift], np.arange(size), side="right")
    regions = 3 * region[:, None] + region
    n = size // WINDOW
    regions = regions.reshape(n, WINDOW, n, WINDOW).transpose(0, 2, 1, 3).reshape(n * n, -1)
    return np.where(regions[:, :, None] == regions[:, None, :], 0.0, MASKED)


def _merge_patches(g: GraphBuilder, name: str, x: str, channels: int) -> str:
    """Join each 2x2 pixels of [1, size, size, channels] and map them to twice the channels."""
    axes = g.constant(f"{name}.axes", [1, 2], "int64")
    ends = g.constant(f"{name}.ends", [np.iinfo(np.int64).max] * 2, "int64")
    steps = g.constant(f"{name}.steps", [2, 2], "int64")
    pixels = [
        g.node(
            "Slice",
            f"{name}.pixel{row}{column}",
            x,
            g.constant(f"{name}.start{row}{column}", [row, column], "int64"),
            ends,
            axes,
            steps,
        )
        for column in (0, 1)
        for row in (0, 1)
    ]
    x = g.node("Concat", f"{name}.concat", *pixels, axis=-1)
    x = layer_norm(g, f"{name}.norm", x, 4 * channels, epsilon=EPSILON)
    return linear(g, f"{name}.reduction", x, (4 * channels, 2 * channels), bias=False)
