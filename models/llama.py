"""Llama-like decoders as exporters write them: RMSNorm, rotary embedding, grouped queries, SwiGLU.

A decoder is built as the prefill of its cache with some tokens, or as one step that takes the
cache and hands it on a token longer.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.models.builder import GraphBuilder
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.parameters import Seed, Weights
from imccompiler.models.transformer import (
    ATTENTION_GAIN,
    attend,
    linear,
    rms_norm,
    split_heads,
    swiglu,
)

if TYPE_CHECKING:
    from onnx import ModelProto

POSITIONS = 4096
ROTARY_BASE = 10_000.0
TOKENS = 128  # of a prefill, and of the cache after a step
SOURCE = (
    "Touvron et al., Llama 2, arXiv:2307.09288; LlamaForCausalLM of Hugging Face's transformers"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Sizes of a decoder.

    Attributes:
        layers: How many.
        hidden: Channels of a token.
        heads: Of queries.
        kv_heads: Of keys and values; each serves heads / kv_heads heads of queries.
        feed_forward: Channels within the feed-forward part.
        vocabulary: Entries of the embedding table.

    Raises:
        ModelError: The sizes are out of range or do not divide each other.
    """

    layers: int
    hidden: int
    heads: int
    kv_heads: int
    feed_forward: int
    vocabulary: int

    def __post_init__(self) -> None:
        for name in self.__slots__:
            check_range(name, getattr(self, name), 1)
        if self.hidden % (2 * self.heads) or self.heads % self.kv_heads:
            raise ModelError(
                f"{self.hidden} channels, {self.heads} heads of queries and {self.kv_heads} of "
                "keys do not divide each other",
                where="Layout",
                hint="hidden must be a multiple of 2 heads, and heads of kv_heads",
            )

    @property
    def head(self) -> int:
        """Channels of a head."""
        return self.hidden // self.heads


SMALL = Layout(layers=4, hidden=256, heads=8, kv_heads=2, feed_forward=688, vocabulary=4096)
LARGE = Layout(
    layers=32, hidden=4096, heads=32, kv_heads=32, feed_forward=11_008, vocabulary=32_000
)


@dataclass(frozen=True, slots=True)
class Cache:
    """What a layer needs to know of the sequence.

    Attributes:
        past: Tokens whose keys and values are inputs.
        new: Tokens that are computed.
        rotary: The tensors cos and sin of the new positions, [1, 1, new, head] each.
        mask: What is added to scores [1, heads, new, past + new]; None where all tokens count.
    """

    past: int
    new: int
    rotary: tuple[str, str]
    mask: str | None = None


def prefill(
    info: ModelInfo,
    default: Layout,
    seed: Seed = 0,
    *,
    tokens: int = TOKENS,
    layout: Layout | None = None,
    weights: Weights | None = None,
) -> ModelProto:
    """Build the prefill: input_ids [1, tokens] int64 to logits [1, tokens, vocabulary].

    Further outputs are present.N.key and present.N.value [1, kv_heads, tokens, head] of layer N.

    Args:
        info: Of the network.
        default: Its sizes.
        seed: Draws the parameters; None leaves them out.
        tokens: Sequence length, 1 to 4096.
        layout: Other sizes.
        weights: A state dict of transformers' LlamaForCausalLM as numpy arrays, in place of drawn
            parameters.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    check_range("tokens", tokens, 1, POSITIONS)
    layout = layout or default
    g = GraphBuilder(info.name, seed=None if info.absent else seed, weights=weights)
    ids = g.input("input_ids", (1, tokens), "int64")
    tables = _rotary_tables(tokens, layout.head)
    cos, sin = (
        g.constant(f"rotary.{name}", table[None, None])
        for name, table in zip(("cos", "sin"), tables, strict=True)
    )
    later = np.triu(np.full((tokens, tokens), np.finfo(np.float32).min), 1)
    mask = g.constant("causal", later[None, None])
    return _decoder(g, layout, ids, Cache(past=0, new=tokens, rotary=(cos, sin), mask=mask))


def step(
    info: ModelInfo,
    default: Layout,
    seed: Seed = 0,
    *,
    past: int = TOKENS - 1,
    layout: Layout | None = None,
    weights: Weights | None = None,
) -> ModelProto:
    """Build one step: a token, its position and the cache to logits [1, 1, vocabulary].

    Inputs are input_ids and position_ids [1, 1] int64, past_key_values.N.key and
    past_key_values.N.value [1, kv_heads, past, head] of layer N; further outputs are present.N.key
    and present.N.value [1, kv_heads, past + 1, head].

    Args:
        info: Of the network.
        default: Its sizes.
        seed: Draws the parameters, those of `prefill` for the same seed; None leaves them out.
        past: Tokens in the cache, 1 to 4095.
        layout: Other sizes.
        weights: As in `prefill`.

    Raises:
        ModelError: If an option is out of range or `weights` does not fit.
    """
    check_range("past", past, 1, POSITIONS - 1)
    layout = layout or default
    g = GraphBuilder(info.name, seed=None if info.absent else seed, weights=weights)
    ids = g.input("input_ids", (1, 1), "int64")
    position = g.input("position_ids", (1, 1), "int64")
    for name, shape in _cache_shapes(layout, past):
        g.input(f"past_key_values.{name}", shape)
    tables = _rotary_tables(POSITIONS, layout.head)
    cos, sin = (
        _look_up(g, f"rotary.{name}", table, position)
        for name, table in zip(("cos", "sin"), tables, strict=True)
    )
    return _decoder(g, layout, ids, Cache(past=past, new=1, rotary=(cos, sin)))


def _decoder(g: GraphBuilder, layout: Layout, ids: str, cache: Cache) -> ModelProto:
    """Embedding, layers and head; keys and values are outputs."""
    vocabulary, hidden = layout.vocabulary, layout.hidden
    x = g.parameter("model.embed_tokens.weight", vocabulary, hidden, std=1.0)
    x = g.node("Gather", "model.embed_tokens", x, ids)
    for layer in range(layout.layers):
        x = _layer(g, layer, x, layout, cache)
    x = rms_norm(g, "model.norm", x, hidden)
    x = linear(g, "lm_head", x, (hidden, vocabulary), bias=False)
    g.output(x, (1, cache.new, vocabulary), name="logits")
    for name, shape in _cache_shapes(layout, cache.past + cache.new):
        g.output(f"cache.{name}", shape, name=f"present.{name}")
    return g.model()


def _layer(g: GraphBuilder, index: int, x: str, layout: Layout, cache: Cache) -> str:
    """Attention and gated feed-forward, each normalised first and added to what came in."""
    name = f"model.layers.{index}"
    y = rms_norm(g, f"{name}.input_layernorm", x, layout.hidden)
    y = _attention(g, index, y, layout, cache)
    x = g.node("Add", f"{name}.add_1", x, y)
    y = rms_norm(g, f"{name}.post_attention_layernorm", x, layout.hidden)
    part = f"{name}.mlp"
    layers = (f"{part}.gate_proj", f"{part}.up_proj", f"{part}.down_proj")
    y = swiglu(g, layers, y, (layout.hidden, layout.feed_forward))
    return g.node("Add", f"{name}.add_2", x, y)


def _attention(g: GraphBuilder, index: int, x: str, layout: Layout, cache: Cache) -> str:
    """Attention of the new tokens to all tokens up to themselves."""
    name = f"model.layers.{index}.self_attn"
    query = _project(g, f"{name}.q_proj", x, layout, layout.heads, cache.new)
    key = _project(g, f"{name}.k_proj", x, layout, layout.kv_heads, cache.new)
    value = _project(g, f"{name}.v_proj", x, layout, layout.kv_heads, cache.new)
    query = _rotate(g, f"{name}.q_rotary", query, layout.head, cache.rotary)
    key = _rotate(g, f"{name}.k_rotary", key, layout.head, cache.rotary)
    key = _extend(g, f"{index}.key", key, cache)
    value = _extend(g, f"{index}.value", value, cache)
    tokens = cache.past + cache.new
    key = _repeat(g, f"{name}.key", key, layout, tokens)
    value = _repeat(g, f"{name}.value", value, layout, tokens)
    key = g.node("Transpose", f"{name}.key.transpose", key, perm=[0, 1, 3, 2])

    def mask(scores: str) -> str:
        return g.node("Add", f"{name}.masked", scores, cache.mask) if cache.mask else scores

    x = attend(g, name, (query, key, value), layout.head, mask)
    x = g.node("Transpose", f"{name}.transpose", x, perm=[0, 2, 1, 3])
    merge = g.constant(f"{name}.merge", [1, cache.new, layout.hidden], "int64")
    x = g.node("Reshape", f"{name}.merged", x, merge)
    return linear(g, f"{name}.o_proj", x, (layout.hidden, layout.hidden), bias=False)


def _project(g: GraphBuilder, name: str, x: str, layout: Layout, heads: int, tokens: int) -> str:
    """[1, tokens, hidden] to [1, heads, tokens, head]."""
    channels = (layout.hidden, heads * layout.head)
    x = linear(g, name, x, channels, bias=False, gain=ATTENTION_GAIN)
    split = g.constant(f"{name}.shape", [1, tokens, heads, layout.head], "int64")
    return split_heads(g, name, x, split, (0, 2, 1, 3))


def _rotate(g: GraphBuilder, name: str, x: str, head: int, rotary: tuple[str, str]) -> str:
    """Turn each pair of channels i, i + head / 2 by the angle of its position and frequency."""
    axis = g.constant(f"{name}.axis", [3], "int64")
    bounds = [g.constant(f"{name}.at{at}", [at], "int64") for at in (0, head // 2, head)]
    first = g.node("Slice", f"{name}.first", x, bounds[0], bounds[1], axis)
    second = g.node("Slice", f"{name}.second", x, bounds[1], bounds[2], axis)
    turned = g.node("Neg", f"{name}.negated", second)
    turned = g.node("Concat", f"{name}.turned", turned, first, axis=-1)
    cos = g.node("Mul", f"{name}.cos", x, rotary[0])
    sin = g.node("Mul", f"{name}.sin", turned, rotary[1])
    return g.node("Add", name, cos, sin)


def _extend(g: GraphBuilder, name: str, x: str, cache: Cache) -> str:
    """Put keys or values behind those of the cache: the tensor `cache.name`."""
    if not cache.past:
        return g.node("Identity", f"cache.{name}", x)
    return g.node("Concat", f"cache.{name}", f"past_key_values.{name}", x, axis=2)


def _repeat(g: GraphBuilder, name: str, x: str, layout: Layout, tokens: int) -> str:
    """[1, kv_heads, tokens, head] to [1, heads, tokens, head]: each head for its queries."""
    times = layout.heads // layout.kv_heads
    if times == 1:
        return x
    wide = [1, layout.kv_heads, times, tokens, layout.head]
    x = g.node("Unsqueeze", f"{name}.group", x, g.constant(f"{name}.axis", [2], "int64"))
    x = g.node("Expand", f"{name}.expand", x, g.constant(f"{name}.wide", wide, "int64"))
    shape = g.constant(f"{name}.shape", [1, layout.heads, tokens, layout.head], "int64")
    return g.node("Reshape", f"{name}.repeated", x, shape)


def _rotary_tables(positions: int, head: int) -> tuple[np.ndarray, np.ndarray]:
    """Cosines and sines of positions times frequencies, each frequency twice: [positions, head].

    Su et al., RoFormer, arXiv:2104.09864, with the pairs of Hugging Face's implementation.
    """
    frequencies = ROTARY_BASE ** (-np.arange(0, head, 2) / head)
    angles = np.tile(np.arange(positions)[:, None] * frequencies, 2)
    return np.cos(angles), np.sin(angles)


def _look_up(g: GraphBuilder, name: str, table: np.ndarray, position: str) -> str:
    """The row of a table that `position` [1, 1] names: [1, 1, 1, columns]."""
    row = g.node("Gather", f"{name}.row", g.constant(f"{name}.table", table), position)
    return g.node("Unsqueeze", name, row, g.constant(f"{name}.axis", [1], "int64"))


def _cache_shapes(layout: Layout, tokens: int) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Name and shape of the keys and values of every layer."""
    shape = (1, layout.kv_heads, tokens, layout.head)
    return [(f"{n}.{kind}", shape) for n in range(layout.layers) for kind in ("key", "value")]


def _prefill_info(name: str, description: str, *, absent: bool = False) -> ModelInfo:
    inputs = (ModelInput("input_ids", (1, TOKENS), "int64"),)
    return ModelInfo(
        name, f"{description}, prefill of {TOKENS} tokens", inputs, SOURCE, absent=absent
    )


def _step_info(name: str, description: str, layout: Layout, *, absent: bool = False) -> ModelInfo:
    token = (ModelInput(each, (1, 1), "int64") for each in ("input_ids", "position_ids"))
    shapes = _cache_shapes(layout, TOKENS - 1)
    past = (ModelInput(f"past_key_values.{each}", shape) for each, shape in shapes)
    text = f"{description}, one step with its KV cache of {TOKENS - 1} tokens"
    return ModelInfo(name, text, (*token, *past), SOURCE, absent=absent)


SMALL_TEXT = "Llama-like decoder: 4 layers, 8 heads of queries on 2 of keys, 4.9 M parameters"
LARGE_TEXT = "Llama 2 7B without its weights, for --shapes-only"

NETWORKS = tuple(
    (info, partial(builder, info, layout))
    for info, layout, builder in (
        (_prefill_info("llama-prefill", SMALL_TEXT), SMALL, prefill),
        (_step_info("llama-step", SMALL_TEXT, SMALL), SMALL, step),
        (_prefill_info("llama-7b", LARGE_TEXT, absent=True), LARGE, prefill),
        (_step_info("llama-7b-step", LARGE_TEXT, LARGE, absent=True), LARGE, step),
    )
)
