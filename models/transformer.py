"""Layers that transformers add, in the pieces that exporters break them into."""

from __future__ import annotations

import math
from collections.abc import Callable

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.parameters import RELU_GAIN

# Of query and key: with scores of deviation 2 a softmax attends to a few tokens, not to all.
ATTENTION_GAIN = 2.0


def linear(
    g: GraphBuilder,
    name: str,
    x: str,
    channels: tuple[int, int],
    *,
    bias: bool = True,
    gain: float = 1.0,
) -> str:
    """Add a MatMul with weights [channels[0], channels[1]] and the Add of its bias.

    `gain` is the variance of a drawn layer's outputs over the mean square of its inputs. Given
    weights are PyTorch's, [channels[1], channels[0]].
    """
    std = math.sqrt(gain / channels[0])
    weight = g.parameter(f"{name}.weight", *channels, std=std, transposed=True)
    if not bias:
        return g.node("MatMul", name, x, weight)
    x = g.node("MatMul", f"{name}.matmul", x, weight)
    return g.node("Add", name, g.parameter(f"{name}.bias", channels[1], std=0.1), x)


def layer_norm(g: GraphBuilder, name: str, x: str, channels: int, *, epsilon: float = 1e-12) -> str:
    """Add a LayerNormalization over the last axis, which has that many channels."""
    scale = g.parameter(f"{name}.weight", channels, mean=1.0, std=0.1)
    bias = g.parameter(f"{name}.bias", channels, std=0.1)
    return g.node("LayerNormalization", name, x, scale, bias, axis=-1, epsilon=epsilon)


def gelu(g: GraphBuilder, name: str, x: str) -> str:
    """Map x to x (1 + erf(x / sqrt 2)) / 2, for which opset 17 has no operator."""
    y = g.node("Div", f"{name}.div", x, g.constant(f"{name}.sqrt2", math.sqrt(2)))
    y = g.node("Erf", f"{name}.erf", y)
    y = g.node("Add", f"{name}.add", y, g.constant(f"{name}.one", 1))
    y = g.node("Mul", f"{name}.mul", x, y)
    return g.node("Mul", name, y, g.constant(f"{name}.half", 0.5))


def gelu_tanh(g: GraphBuilder, name: str, x: str) -> str:
    """Map x to x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2, which comes close to `gelu`."""
    y = g.node("Pow", f"{name}.cube", x, g.constant(f"{name}.three", 3))
    y = g.node("Mul", f"{name}.scaled_cube", y, g.constant(f"{name}.factor", 0.044715))
    y = g.node("Add", f"{name}.sum", x, y)
    y = g.node("Mul", f"{name}.scaled", y, g.constant(f"{name}.scale", math.sqrt(2 / math.pi)))
    y = g.node("Tanh", f"{name}.tanh", y)
    y = g.node("Add", f"{name}.add", y, g.constant(f"{name}.one", 1))
    half = g.node("Mul", f"{name}.halved", x, g.constant(f"{name}.half", 0.5))
    return g.node("Mul", name, half, y)


def rms_norm(g: GraphBuilder, name: str, x: str, channels: int, *, epsilon: float = 1e-5) -> str:
    """Divide the last axis, of that many channels, by its root mean square (Zhang, Sennrich 2019).

    In version 17 ReduceMean has its axes as an attribute.
    """
    y = g.node("Pow", f"{name}.square", x, g.constant(f"{name}.two", 2))
    y = g.node("ReduceMean", f"{name}.mean", y, axes=[-1], keepdims=1)
    y = g.node("Add", f"{name}.add", y, g.constant(f"{name}.epsilon", epsilon))
    y = g.node("Reciprocal", f"{name}.reciprocal", g.node("Sqrt", f"{name}.sqrt", y))
    y = g.node("Mul", f"{name}.normalised", x, y)
    return g.node("Mul", name, g.parameter(f"{name}.weight", channels, mean=1.0, std=0.1), y)


def swiglu(g: GraphBuilder, layers: tuple[str, str, str], x: str, channels: tuple[int, int]) -> str:
    """Gated feed-forward down(silu(gate(x)) * up(x)), its layers called gate, up, down in order.

    They map `channels[0]` to `channels[1]` channels and back, without biases (Shazeer 2020).
    """
    gate, up, down = layers
    y = linear(g, gate, x, channels, bias=False)
    y = g.node("Mul", f"{gate}.silu", y, g.node("Sigmoid", f"{gate}.sigmoid", y))
    y = g.node("Mul", f"{gate}.gated", y, linear(g, up, x, channels, bias=False))
    return linear(g, down, y, (channels[1], channels[0]), bias=False, gain=RELU_GAIN)


def split_heads(g: GraphBuilder, name: str, x: str, split: str, order: tuple[int, ...]) -> str:
    """Reshape [batch, tokens, channels] to the tensor `split` and order the axes."""
    x = g.node("Reshape", f"{name}.split", x, split)
    return g.node("Transpose", f"{name}.transpose", x, perm=order)


def attend(
    g: GraphBuilder,
    name: str,
    heads: tuple[str, str, str],
    size: int,
    mask: Callable[[str], str] | None = None,
) -> str:
    """Attention spelled out, before the heads are joined: [batch, heads, tokens, size].

    Args:
        g: The graph.
        name: Prefix of all nodes.
        heads: Query and value [batch, heads, tokens, size], key [batch, heads, size, tokens] in
            the order query, key, value.
        size: Of a head.
        mask: What happens to scores [batch, heads, tokens, tokens] before the softmax.
    """
    query, key, value = heads
    scores = g.node("MatMul", f"{name}.scores", query, key)
    scale = g.constant(f"{name}.sqrt_head", math.sqrt(size))
    scores = g.node("Div", f"{name}.scaled", scores, scale)
    scores = mask(scores) if mask else scores
    weights = g.node("Softmax", f"{name}.softmax", scores, axis=-1)
    return g.node("MatMul", f"{name}.context", weights, value)


def fused_attention(
    g: GraphBuilder,
    layers: tuple[str, str],
    x: str,
    shape: tuple[int, int, int],
    heads: int,
    mask: Callable[[str], str] | None = None,
) -> str:
    """Self-attention whose query, key and value are one linear layer.

    Args:
        g: The graph.
        layers: Names of that layer and of the one that follows the attention.
        x: Tensor [batch, tokens, channels].
        shape: Its shape.
        heads: Into which the channels are split.
        mask: See `attend`.
    """
    batch, tokens, channels = shape
    name = layers[0].rpartition(".")[0]
    x = linear(g, layers[0], x, (channels, 3 * channels), gain=ATTENTION_GAIN)
    thirds = g.constant(f"{name}.thirds", [channels] * 3, "int64")
    parts = ("query", "key", "value")
    query, key, value = g.nodes("Split", name, x, thirds, parts=parts, axis=-1)
    split = g.constant(f"{name}.split", [batch, tokens, heads, channels // heads], "int64")
    query = split_heads(g, f"{name}.query", query, split, (0, 2, 1, 3))
    key = split_heads(g, f"{name}.key", key, split, (0, 2, 3, 1))
    value = split_heads(g, f"{name}.value", value, split, (0, 2, 1, 3))
    x = attend(g, name, (query, key, value), channels // heads, mask)
    x = g.node("Transpose", f"{name}.transpose", x, perm=(0, 2, 1, 3))
    x = g.node("Reshape", f"{name}.merged", x, g.constant(f"{name}.merge", shape, "int64"))
    return linear(g, layers[1], x, (channels, channels))
