"""BERT-tiny as exporters write it: every reshape, transpose and GELU step a node of its own."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from imccompiler.models.builder import GraphBuilder
from imccompiler.models.info import ModelInfo, ModelInput, check_at_least

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


def build(
    seed: int = 0, *, tokens: int = 128, dynamic: bool = False, mask: bool = False
) -> ModelProto:
    """Build BERT-tiny: input_ids [1, tokens] int64 to logits [1, 2].

    Args:
        seed: Draws the parameters.
        tokens: Sequence length, 1 to 512.
        dynamic: Leave the sequence length open as the dimension `sequence`; shapes are then
            computed in the graph, and `tokens` is not used.
        mask: Add the input attention_mask [1, tokens] int64, 0 where a token is padding.

    Raises:
        ModelError: If `tokens` is out of range.
    """
    check_in_range(tokens=(tokens, 1, POSITIONS))
    return _Bert(seed, "sequence" if dynamic else tokens).build(mask=mask)


class _Bert:
    def __init__(self, seed: int, sequence: int | str) -> None:
        self.g = GraphBuilder(INFO.name, seed=seed)
        self.sequence = sequence

    def build(self, *, mask: bool) -> ModelProto:
        g = self.g
        ids = g.input("input_ids", (1, self.sequence), "int64")
