"""GPT-2 as exporters write it: causal mask by Where, GELU by Tanh, tied embedding and head."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.parameters import Seed
from imccompiler.models.transformer import fused_attention, gelu_tanh, layer_norm, linear

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="gpt2",
    description="GPT-2 of 124 M parameters, 128 tokens: 12 layers, 12 heads, causal",
    inputs=(ModelInput("input_ids", (1, 128), "int64"),),
    source="Radford et al., Language Models are Unsupervised Multitask Learners, 2019; "
    "gpt2 of Hugging Face's transformers",
)

VOCABULARY, POSITIONS, HIDDEN, HEADS = 50257, 1024, 768, 12
FEED_FORWARD = 4 * HIDDEN
EPSILON = 1e-5


def build(
    seed: Seed = 0, *, tokens: int = 128, layers: int = 12, vocabulary: int = VOCABULARY
) -> ModelProto:
    """Build GPT-2: input_ids [1, tokens] int64 to logits [1, tokens, vocabulary].

    Args:
        seed: Draws the parameters; None leaves them out.
        tokens: Sequence length, 1 to 1024.
        layers: Of the decoder.
        vocabulary: Entries of the embedding table.

    Raises:
        ModelError: If an option is out of range.
    """
    check_range("tokens", tokens, 1, POSITIONS)
    check_range("layers", layers, 1)
    check_range("vocabulary", vocabulary, 1)
    g = GraphBuilder(INFO.name, seed=seed)
    ids = g.input("input_ids", (1, tokens), "int64")
    table = g.parameter("wte.weight", vocabulary, HIDDEN, std=0.1)
    positions = g.parameter("wpe.weight", POSITIONS, HIDDEN, std=0.1)
    order = g.constant("position_ids", np.arange(tokens)[None], "int64")
    x = g.node("Gather", "wte", table, ids)
    x = g.node("Add", "embedded", x, g.node("Gather", "wpe", positions, order))
    causal = g.constant("causal", np.tri(tokens)[None, None], "bool")
    for layer in range(layers):
        x = _layer(g, f"h.{layer}", x, tokens, causal)
    x = layer_norm(g, "ln_f", x, HIDDEN, epsilon=EPSILON)
    x = g.node("Reshape", "tokens", x, g.constant("tokens.shape", [tokens, HIDDEN], "int64"))
    x = g.node("Gemm", "lm_head", x, table, transB=1)  # the embedding's table is the head's weight
    shape = (1, tokens, vocabulary)
    x = g.node("Reshape", "lm_head.logits", x, g.constant("lm_head.shape", shape, "int64"))
    return g.finish(x, shape)


def _layer(g: GraphBuilder, name: str, x: str, tokens: int, causal: str) -> str:
    """Attention to what came before and feed-forward, each normalised first and added."""

    def mask(scores: str) -> str:
        low = g.constant(f"{name}.attn.low", np.finfo(np.float32).min)
        return g.node("Where", f"{name}.attn.masked", causal, scores, low)

    y = layer_norm(g, f"{name}.ln_1", x, HIDDEN, epsilon=EPSILON)
    layers = (f"{name}.attn.c_attn", f"{name}.attn.c_proj")
    y = fused_attention(g, layers, y, (1, tokens, HIDDEN), HEADS, mask)
    x = g.node("Add", f"{name}.add_1", y, x)
    y = layer_norm(g, f"{name}.ln_2", x, HIDDEN, epsilon=EPSILON)
    y = linear(g, f"{name}.mlp.c_fc", y, (HIDDEN, FEED_FORWARD))
    y = linear(g, f"{name}.mlp.c_proj", gelu_tanh(g, f"{name}.mlp.act", y), (FEED_FORWARD, HIDDEN))
    return g.node("Add", f"{name}.add_2", x, y)
