"""A part-of-speech tagger: embedding, LSTM in both directions, one linear layer."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.info import ModelInfo, ModelInput, check_range
from imccompiler.models.parameters import Seed
from imccompiler.models.transformer import linear

if TYPE_CHECKING:
    from onnx import ModelProto

TOKENS, VOCABULARY, CHANNELS, HIDDEN = 32, 10_000, 128, 128
TAGS = 17  # of Universal Dependencies
DIRECTIONS, GATES = 2, 4

INFO = ModelInfo(
    name="lstm-tagger",
    description="Part-of-speech tagger of 32 tokens: embedding, bidirectional LSTM, 1.5 M "
    "parameters",
    inputs=(ModelInput("input_ids", (1, TOKENS), "int64"),),
    source="Plank et al., Multilingual Part-of-Speech Tagging with Bidirectional LSTMs, ACL 2016, "
    "without its characters",
)


def build(
    seed: Seed = 0, *, tokens: int = TOKENS, hidden: int = HIDDEN, vocabulary: int = VOCABULARY
) -> ModelProto:
    """Build the tagger: input_ids [1, tokens] int64 to logits [1, tokens, 17].

    Args:
        seed: Draws the parameters; None leaves them out.
        tokens: Sequence length.
        hidden: Features of the LSTM in each direction.
        vocabulary: Entries of the embedding table.

    Raises:
        ModelError: If an option is out of range.
    """
    for name, value in (("tokens", tokens), ("hidden", hidden), ("vocabulary", vocabulary)):
        check_range(name, value, 1)
    g = GraphBuilder(INFO.name, seed=seed)
    ids = g.input("input_ids", (1, tokens), "int64")
    x = g.node(
        "Gather", "embedding", g.parameter("embedding.weight", vocabulary, CHANNELS, std=1.0), ids
    )
    x = g.node("Transpose", "lstm.tokens_first", x, perm=[1, 0, 2])
    x = _lstm(g, "lstm", x, tokens, (CHANNELS, hidden))
    return g.finish(linear(g, "classifier", x, (DIRECTIONS * hidden, TAGS)), (1, tokens, TAGS))


def _lstm(g: GraphBuilder, name: str, x: str, tokens: int, channels: tuple[int, int]) -> str:
    """[tokens, 1, inner] to [1, tokens, 2 outer]; its weights as ONNX orders them."""
    inner, outer = channels
    weights = (
        g.parameter(f"{name}.W", DIRECTIONS, GATES * outer, inner, std=1 / math.sqrt(inner)),
        g.parameter(f"{name}.R", DIRECTIONS, GATES * outer, outer, std=1 / math.sqrt(outer)),
        g.parameter(f"{name}.B", DIRECTIONS, 2 * GATES * outer, std=0.1),
    )
    (y,) = g.nodes(
        "LSTM", name, x, *weights, parts=("Y",), direction="bidirectional", hidden_size=outer
    )
    y = g.node("Transpose", f"{name}.tokens", y, perm=[2, 0, 1, 3])
    shape = g.constant(f"{name}.shape", [1, tokens, DIRECTIONS * outer], "int64")
    return g.node("Reshape", f"{name}.joined", y, shape)
