"""A mixture-of-experts layer like Mixtral's: a router weighs the best two of eight experts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.parameters import Seed, Weights
from imccompiler.models.transformer import linear, rms_norm, swiglu

if TYPE_CHECKING:
    from onnx import ModelProto

TOKENS, HIDDEN, FEED_FORWARD, EXPERTS, CHOSEN = 64, 256, 512, 8, 2

INFO = ModelInfo(
    name="moe",
    description="Mixture-of-experts layer of 64 tokens: router, top 2 of 8 experts, 3.1 M "
    "parameters",
    inputs=(ModelInput("hidden_states", (1, TOKENS, HIDDEN)),),
    source="Jiang et al., Mixtral of Experts, arXiv:2401.04088, at a smaller size",
)


def build(
    seed: Seed = 0,
    *,
    tokens: int = TOKENS,
    hidden: int = HIDDEN,
    feed_forward: int = FEED_FORWARD,
    experts: int = EXPERTS,
    chosen: int = CHOSEN,
    weights: Weights | None = None,
) -> ModelProto:
    """Build the layer: hidden_states [1, tokens, hidden] to output of the same shape.

    All experts compute all tokens, and those that the router did not choose have weight 0: a
    static graph has no other way to let data decide.

    Args:
        seed: Draws the parameters; None leaves them out.
        tokens: Sequence length.
        hidden: Channels of a token.
        feed_forward: Channels within an expert.
        experts: How many.
        chosen: Experts whose outputs a token is given.
        weights: Parameters of a block of MixtralDecoderLayer as numpy arrays, in place of drawn
            ones.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    for name, value in (("tokens", tokens), ("hidden", hidden), ("feed_forward", feed_forward)):
        check_range(name, value, 1)
    check_range("experts", experts, 1)
    check_range("chosen", chosen, 1, experts)
    g = GraphBuilder(INFO.name, seed=seed, weights=weights)
    x = g.input("hidden_states", (1, tokens, hidden))
    y = rms_norm(g, "post_attention_layernorm", x, hidden)
    y = g.node("Reshape", "tokens", y, g.constant("tokens.shape", [tokens, hidden], "int64"))
    shares = _route(g, y, (tokens, hidden), experts, chosen)
    weighed: list[str] = []
    for index, share in enumerate(shares):
        name = f"block_sparse_moe.experts.{index}"
        z = swiglu(g, (f"{name}.w1", f"{name}.w3", f"{name}.w2"), y, (hidden, feed_forward))
        weighed.append(g.node("Mul", f"{name}.weighed", z, share))
    y = weighed[0]
    for index, z in enumerate(weighed[1:], start=1):
        y = g.node("Add", f"block_sparse_moe.sum.{index}", y, z)
    shape = (1, tokens, hidden)
    y = g.node("Reshape", "output.shaped", y, g.constant("output.shape", shape, "int64"))
    return g.finish(g.node("Add", "residual", x, y), shape, name="output")


def _route(g: GraphBuilder, x: str, shape: tuple[int, int], experts: int, chosen: int) -> list[str]:
    """The weight of each expert for each token, [tokens, 1]: 0 unless it is among the chosen."""
    tokens, hidden = shape
    name = "block_sparse_moe.gate"
    scores = linear(g, name, x, (hidden, experts), bias=False)
    scores = g.node("Softmax", f"{name}.softmax", scores, axis=-1)
    count = g.constant(f"{name}.count", [chosen], "int64")
    best, index = g.nodes("TopK", f"{name}.best", scores, count, parts=("values", "indices"))
    axes = g.constant(f"{name}.axes", [-1], "int64")
    total = g.node("ReduceSum", f"{name}.total", best, axes, keepdims=1)
    best = g.node("Div", f"{name}.shares", best, total)
    none = g.constant(f"{name}.none", np.zeros((tokens, experts)))
    dense = g.node("ScatterElements", f"{name}.dense", none, index, best, axis=1)
    ones = g.constant(f"{name}.ones", [1] * experts, "int64")
    parts = [str(expert) for expert in range(experts)]
    return g.nodes("Split", f"{name}.expert", dense, ones, parts=parts, axis=1)
