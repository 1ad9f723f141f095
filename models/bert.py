"""BERT as exporters write it: every reshape, transpose and GELU step a node of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.parameters import Seed, Weights
from imccompiler.models.transformer import attend, gelu, layer_norm, linear, split_heads

if TYPE_CHECKING:
    from onnx import ModelProto

TINY = ModelInfo(
    name="bert-tiny",
    description="BERT-tiny classifier of 128 tokens: 2 layers, 2 heads, hidden size 128",
    inputs=(ModelInput("input_ids", (1, 128), "int64"),),
    source="Turc et al., Well-Read Students Learn Better, arXiv:1908.08962",
)

BASE = ModelInfo(
    name="bert-base",
    description="BERT-base encoder of 128 tokens: 12 layers, 12 heads, 109.5 M parameters",
    inputs=(
        ModelInput("input_ids", (1, 128), "int64"),
        ModelInput("attention_mask", (1, 128), "int64"),
    ),
    source="Devlin et al., BERT, NAACL 2019; bert-base-uncased of Hugging Face's transformers",
)

VOCABULARY, POSITIONS, TOKEN_TYPES = 30522, 512, 2
LABELS = 2

Length = int | str  # the number of tokens, or the int64 [1] tensor that holds it


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of an encoder."""

    layers: int
    hidden: int
    heads: int

    @property
    def head(self) -> int:
        """Channels of a head."""
        return self.hidden // self.heads

    @property
    def feed_forward(self) -> int:
        """Channels between the two linear layers."""
        return 4 * self.hidden


def tiny(
    seed: Seed = 0, *, tokens: int = 128, dynamic: bool = False, mask: bool = False
) -> ModelProto:
    """Build BERT-tiny: input_ids [1, tokens] int64 to logits [1, 2].

    Args:
        seed: Draws the parameters; None leaves them out.
        tokens: Sequence length, 1 to 512.
        dynamic: Leave the sequence length open as the dimension `sequence`, in place of `tokens`;
            the graph then computes its shapes from its input.
        mask: Add the input attention_mask [1, tokens] int64, 0 where a token is padding.

    Raises:
        ModelError: If `tokens` is out of range.
    """
    check_range("tokens", tokens, 1, POSITIONS)
    g = GraphBuilder(TINY.name, seed=seed)
    layout = Layout(layers=2, hidden=128, heads=2)
    x = _encoder(g, layout, (1, "sequence" if dynamic else tokens), mask=mask)
    x = _pool(g, x, layout.hidden)
    x = g.gemm("classifier", x, (layout.hidden, LABELS), gain=1.0)
    return g.finish(x, (1, LABELS))


def base(
    seed: Seed = 0,
    *,
    tokens: int = 128,
    dynamic: bool = False,
    layers: int = 12,
    weights: Weights | None = None,
) -> ModelProto:
    """Build BERT-base: input_ids and attention_mask [1, tokens] int64 to the encoder's two outputs.

    These are last_hidden_state [1, tokens, 768] and pooler_output [1, 768].

    Args:
        seed: Draws the parameters; None leaves them out.
        tokens: Sequence length, 1 to 512.
        dynamic: Leave the sequence length open as the dimension `sequence`, in place of `tokens`.
        layers: Of the encoder.
        weights: A state dict of transformers' BertModel as numpy arrays, in place of drawn
            parameters.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    check_range("tokens", tokens, 1, POSITIONS)
    check_range("layers", layers, 1)
    g = GraphBuilder(BASE.name, seed=seed, weights=weights)
    layout = Layout(layers=layers, hidden=768, heads=12)
    shape = (1, "sequence" if dynamic else tokens)
    x = _encoder(g, layout, shape, mask=True)
    pooled = _pool(g, x, layout.hidden)
    g.output(x, (*shape, layout.hidden), name="last_hidden_state")
    return g.finish(pooled, (1, layout.hidden), name="pooler_output")


def _encoder(g: GraphBuilder, layout: Layout, shape: tuple[int, int | str], *, mask: bool) -> str:
    """Inputs, embeddings and all layers: [1, tokens, hidden]."""
    ids = g.input("input_ids", shape, "int64")
    bias = _mask_bias(g, g.input("attention_mask", shape, "int64")) if mask else None
    length = _measure(g, ids) if isinstance(shape[1], str) else shape[1]
    x = _embeddings(g, ids, length, layout.hidden)
    for layer in range(layout.layers):
        name = f"encoder.layer.{layer}"
        x = _attention(g, f"{name}.attention", x, layout, length, bias)
        x = _feed_forward(g, name, x, layout)
    return x


def _pool(g: GraphBuilder, x: str, hidden: int) -> str:
    """The first token through a linear layer and a tanh: [1, hidden]."""
    x = g.node("Gather", "pooler.token", x, g.constant("pooler.first", 0, "int64"), axis=1)
    return g.node("Tanh", "pooler.tanh", g.gemm("pooler.dense", x, (hidden, hidden), gain=1.0))


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


def _embeddings(g: GraphBuilder, ids: str, length: Length, hidden: int) -> str:
    """Word, token-type and position embeddings, added and normalised: [1, tokens, hidden]."""
    positions = _buffer(g, "embeddings.position_ids", np.arange(POSITIONS), length)
    types = _buffer(g, "embeddings.token_type_ids", np.zeros(POSITIONS), length)
    words = _lookup(g, "embeddings.word_embeddings", (VOCABULARY, hidden), ids)
    types = _lookup(g, "embeddings.token_type_embeddings", (TOKEN_TYPES, hidden), types, std=0.5)
    positions = _lookup(
        g, "embeddings.position_embeddings", (POSITIONS, hidden), positions, std=0.5
    )
    x = g.node("Add", "embeddings.add_types", words, types)
    x = g.node("Add", "embeddings.add_positions", x, positions)
    return layer_norm(g, "embeddings.LayerNorm", x, hidden)


def _buffer(g: GraphBuilder, name: str, values: np.ndarray, length: Length) -> str:
    """The first `length` of the values as int64 [1, length]."""
    if isinstance(length, int):
        return g.constant(name, values[None, :length], "int64")
    everything = g.constant(f"{name}.all", values[None], "int64")
    start = g.constant(f"{name}.start", [0], "int64")
    axis = g.constant(f"{name}.axis", [1], "int64")
    return g.node("Slice", name, everything, start, length, axis)


def _lookup(
    g: GraphBuilder, name: str, shape: tuple[int, int], ids: str, *, std: float = 1.0
) -> str:
    """Rows of an embedding table of that shape and deviation."""
    return g.node("Gather", name, g.parameter(f"{name}.weight", *shape, std=std), ids)


def _attention(
    g: GraphBuilder, name: str, x: str, layout: Layout, length: Length, bias: str | None
) -> str:
    """Multi-head self-attention with its residual and LayerNormalization."""
    hidden = layout.hidden
    split = _shape(g, f"{name}.split", length, layout.heads, layout.head)
    query = _heads(g, f"{name}.self.query", x, hidden, split, (0, 2, 1, 3))
    key = _heads(g, f"{name}.self.key", x, hidden, split, (0, 2, 3, 1))
    value = _heads(g, f"{name}.self.value", x, hidden, split, (0, 2, 1, 3))

    def mask(scores: str) -> str:
        return g.node("Add", f"{name}.self.masked", scores, bias) if bias else scores

    context = attend(g, f"{name}.self", (query, key, value), layout.head, mask)
    context = g.node("Transpose", f"{name}.self.transpose", context, perm=[0, 2, 1, 3])
    merge = _shape(g, f"{name}.merge", length, hidden)
    context = g.node("Reshape", f"{name}.self.merged", context, merge)
    y = linear(g, f"{name}.output.dense", context, (hidden, hidden))
    y = g.node("Add", f"{name}.output.residual", y, x)
    return layer_norm(g, f"{name}.output.LayerNorm", y, hidden)


def _heads(
    g: GraphBuilder, name: str, x: str, hidden: int, split: str, order: tuple[int, ...]
) -> str:
    """Project [1, tokens, hidden], split it into heads and order the axes for the product."""
    return split_heads(g, name, linear(g, name, x, (hidden, hidden)), split, order)


def _feed_forward(g: GraphBuilder, name: str, x: str, layout: Layout) -> str:
    """Two linear layers around a GELU, with their residual and LayerNormalization."""
    hidden, wide = layout.hidden, layout.feed_forward
    y = gelu(
        g,
        f"{name}.intermediate.gelu",
        linear(g, f"{name}.intermediate.dense", x, (hidden, wide)),
    )
    y = linear(g, f"{name}.output.dense", y, (wide, hidden))
    y = g.node("Add", f"{name}.output.residual", y, x)
    return layer_norm(g, f"{name}.output.LayerNorm", y, hidden)


def _shape(g: GraphBuilder, name: str, length: Length, *tail: int) -> str:
    """The int64 tensor [1, length, *tail]."""
    if isinstance(length, int):
        return g.constant(name, [1, length, *tail], "int64")
    one, rest = g.constant(f"{name}.one", [1], "int64"), g.constant(f"{name}.rest", tail, "int64")
    return g.node("Concat", name, one, length, rest, axis=0)
