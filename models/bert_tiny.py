"""BERT-tiny as exporters write it: every reshape, transpose and GELU step a node of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.transformer import gelu, layer_norm, linear

if TYPE_CHECKING:
    from onnx import ModelProto

INFO = ModelInfo(
    name="bert-tiny",
    description="BERT-tiny classifier of 128 tokens: 2 layers, 2 heads, hidden size 128",
    inputs=(ModelInput("input_ids", (1, 128), "int64"),),
    source="Turc et al., Well-Read Students Learn Better, arXiv:1908.08962",
)

VOCABULARY, POSITIONS, TOKEN_TYPES = 30522, 512, 2
LAYERS, HIDDEN, HEADS, FEED_FORWARD, LABELS = 2, 128, 2, 512, 2
HEAD = HIDDEN // HEADS

Length = int | str  # the number of tokens, or the int64 [1] tensor that holds it


def build(
    seed: int = 0, *, tokens: int = 128, dynamic: bool = False, mask: bool = False
) -> ModelProto:
    """Build BERT-tiny: input_ids [1, tokens] int64 to logits [1, 2].

    Args:
        seed: Draws the parameters.
        tokens: Sequence length, 1 to 512.
        dynamic: Leave the sequence length open as the dimension `sequence`, in place of `tokens`;
            the graph then computes its shapes from its input.
        mask: Add the input attention_mask [1, tokens] int64, 0 where a token is padding.

    Raises:
        ModelError: If `tokens` is out of range.
    """
    check_range("tokens", tokens, 1, POSITIONS)
    g = GraphBuilder(INFO.name, seed=seed)
    shape = (1, "sequence" if dynamic else tokens)
    ids = g.input("input_ids", shape, "int64")
    bias = _mask_bias(g, g.input("attention_mask", shape, "int64")) if mask else None
    length = _measure(g, ids) if dynamic else tokens
    x = _embeddings(g, ids, length)
    for layer in range(LAYERS):
        name = f"encoder.layer.{layer}"
        x = _attention(g, f"{name}.attention", x, length, bias)
        x = _feed_forward(g, name, x)
    first = g.constant("pooler.first", 0, "int64")
    x = g.node("Gather", "pooler.token", x, first, axis=1)
    x = g.node("Tanh", "pooler.tanh", g.gemm("pooler.dense", x, (HIDDEN, HIDDEN), gain=1.0))
    x = g.gemm("classifier", x, (HIDDEN, LABELS), gain=1.0)
    return g.finish(x, (1, LABELS))


def _measure(g: GraphBuilder, ids: str) -> str:
    """The sequence length as an int64 [1] tensor, read off the shape of the input."""
    shape = g.node("Shape", "sequence.shape", ids)
    return g.node("Gather", "sequence.length", shape, g.constant("sequence.axis", [1], "int64"))


def _mask_bias(g: GraphBuilder, mask: str) -> str:
    """[1, tokens] of 0 and 1 to [1, 1, 1, tokens]: 0 where attended, the lowest float elsewhere."""
    mask = g.node("Unsqueeze", "mask.unsqueeze", mask, g.constant("mask.axes", [1, 2], "int64"))
    mask = g.node("Cast", "mask.cast", mask, to=1)
    mask = g.node("Sub", "mask.sub", g.constant("mask.one", 1), mask)
    return g.node("Mul", "mask.bias", mask, g.constant("mask.low", np.finfo(np.float32).min))


def _embeddings(g: GraphBuilder, ids: str, length: Length) -> str:
    """Word, token-type and position embeddings, added and normalised: [1, tokens, 128]."""
    positions = _buffer(g, "embeddings.position_ids", np.arange(POSITIONS), length)
    types = _buffer(g, "embeddings.token_type_ids", np.zeros(POSITIONS), length)
    words = _lookup(g, "embeddings.word_embeddings", (VOCABULARY, 1.0), ids)
    types = _lookup(g, "embeddings.token_type_embeddings", (TOKEN_TYPES, 0.5), types)
    positions = _lookup(g, "embeddings.position_embeddings", (POSITIONS, 0.5), positions)
    x = g.node("Add", "embeddings.add_types", words, types)
    x = g.node("Add", "embeddings.add_positions", x, positions)
    return layer_norm(g, "embeddings.LayerNorm", x, HIDDEN)


def _buffer(g: GraphBuilder, name: str, values: np.ndarray, length: Length) -> str:
    """The first `length` of the values as int64 [1, length]."""
    if isinstance(length, int):
        return g.constant(name, values[None, :length], "int64")
    everything = g.constant(f"{name}.all", values[None], "int64")
    start = g.constant(f"{name}.start", [0], "int64")
    axis = g.constant(f"{name}.axis", [1], "int64")
    return g.node("Slice", name, everything, start, length, axis)


def _lookup(g: GraphBuilder, name: str, table: tuple[int, float], ids: str) -> str:
    """Rows of an embedding table, given by its number of entries and their deviation."""
    entries, std = table
    return g.node("Gather", name, g.parameter(f"{name}.weight", entries, HIDDEN, std=std), ids)


def _attention(g: GraphBuilder, name: str, x: str, length: Length, bias: str | None) -> str:
    """Multi-head self-attention with its residual and LayerNormalization."""
    split = _shape(g, f"{name}.split", length, HEADS, HEAD)
    query = _heads(g, f"{name}.self.query", x, split, [0, 2, 1, 3])
    key = _heads(g, f"{name}.self.key", x, split, [0, 2, 3, 1])
    value = _heads(g, f"{name}.self.value", x, split, [0, 2, 1, 3])
    scores = g.node("MatMul", f"{name}.self.scores", query, key)
    scale = g.constant(f"{name}.self.sqrt_head", math.sqrt(HEAD))
    scores = g.node("Div", f"{name}.self.scaled", scores, scale)
    if bias:
        scores = g.node("Add", f"{name}.self.masked", scores, bias)
    weights = g.node("Softmax", f"{name}.self.softmax", scores, axis=-1)
    context = g.node("MatMul", f"{name}.self.context", weights, value)
    context = g.node("Transpose", f"{name}.self.transpose", context, perm=[0, 2, 1, 3])
    merge = _shape(g, f"{name}.merge", length, HIDDEN)
    context = g.node("Reshape", f"{name}.self.merged", context, merge)
    y = linear(g, f"{name}.output.dense", context, (HIDDEN, HIDDEN))
    y = g.node("Add", f"{name}.output.residual", y, x)
    return layer_norm(g, f"{name}.output.LayerNorm", y, HIDDEN)


def _heads(g: GraphBuilder, name: str, x: str, split: str, order: list[int]) -> str:
    """Project [1, tokens, 128], split it into heads and order the axes for the product."""
    x = g.node("Reshape", f"{name}.split", linear(g, name, x, (HIDDEN, HIDDEN)), split)
    return g.node("Transpose", f"{name}.transpose", x, perm=order)


def _feed_forward(g: GraphBuilder, name: str, x: str) -> str:
    """Two linear layers around a GELU, with their residual and LayerNormalization."""
    y = linear(g, f"{name}.intermediate.dense", x, (HIDDEN, FEED_FORWARD))
    y = gelu(g, f"{name}.intermediate.gelu", y)
    y = linear(g, f"{name}.output.dense", y, (FEED_FORWARD, HIDDEN))
    y = g.node("Add", f"{name}.output.residual", y, x)
    return layer_norm(g, f"{name}.output.LayerNorm", y, HIDDEN)


def _shape(g: GraphBuilder, name: str, length: Length, *tail: int) -> str:
    """The int64 tensor [1, length, *tail]."""
    if isinstance(length, int):
        return g.constant(name, [1, length, *tail], "int64")
    one, rest = g.constant(f"{name}.one", [1], "int64"), g.constant(f"{name}.rest", tail, "int64")
    return g.node("Concat", name, one, length, rest, axis=0)
