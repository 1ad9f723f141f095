"""Layers that transformers add, in the pieces that exporters break them into."""

from __future__ import annotations

import math

from imccompiler.models.builder import GraphBuilder


def linear(g: GraphBuilder, name: str, x: str, channels: tuple[int, int]) -> str:
    """Add a MatMul with weights [channels[0], channels[1]] and the Add of its bias."""
    weight = g.parameter(f"{name}.weight", *channels, std=1 / math.sqrt(channels[0]))
    x = g.node("MatMul", f"{name}.matmul", x, weight)
    return g.node("Add", name, g.parameter(f"{name}.bias", channels[1], std=0.1), x)


def layer_norm(g: GraphBuilder, name: str, x: str, channels: int) -> str:
    """Add a LayerNormalization over the last axis, which has that many channels."""
    scale = g.parameter(f"{name}.weight", channels, mean=1.0, std=0.1)
    bias = g.parameter(f"{name}.bias", channels, std=0.1)
    return g.node("LayerNormalization", name, x, scale, bias, axis=-1, epsilon=1e-12)


def gelu(g: GraphBuilder, name: str, x: str) -> str:
    """Map x to x (1 + erf(x / sqrt 2)) / 2, for which opset 17 has no operator."""
    y = g.node("Div", f"{name}.div", x, g.constant(f"{name}.sqrt2", math.sqrt(2)))
    y = g.node("Erf", f"{name}.erf", y)
    y = g.node("Add", f"{name}.add", y, g.constant(f"{name}.one", 1))
    y = g.node("Mul", f"{name}.mul", x, y)
    return g.node("Mul", name, y, g.constant(f"{name}.half", 0.5))
