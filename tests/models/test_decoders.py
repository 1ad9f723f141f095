from __future__ import annotations

import numpy as np
import pytest

from imccompiler import models
from imccompiler.errors import ModelError
from imccompiler.models.llama import Layout

IDS = np.random.default_rng(0).integers(0, 500, (1, 12))


@pytest.mark.parametrize(
    ("name", "options"),
    [("gpt2", {"layers": 1, "vocabulary": 500}), ("llama-prefill", {})],
)
def test_later_tokens_do_not_count(name: str, options: dict[str, int], run) -> None:
    model = models.build(name, tokens=12, **options)
    changed = IDS.copy()
    changed[0, 8:] += 1
    one, other = (run(model, {"input_ids": ids})["logits"] for ids in (IDS, changed))
    np.testing.assert_allclose(one[:, :8], other[:, :8], atol=1e-5)
    assert np.abs(one[:, 8:] - other[:, 8:]).max(axis=-1).min() > 0.1


def test_gpt2_embeds_and_answers_by_one_table() -> None:
    model = models.build("gpt2", seed=None)
    names = [each.name for each in model.graph.initializer]
    assert len(names) == len(set(names))
    users = {node.name for node in model.graph.node if "wte.weight" in node.input}
    assert users == {"wte", "lm_head"}


@pytest.mark.parametrize("kv_heads", [1, 2, 8])
def test_steps_after_a_prefill_equal_a_longer_prefill(kv_heads: int, run) -> None:
    layout = Layout(
        layers=2, hidden=64, heads=8, kv_heads=kv_heads, feed_forward=96, vocabulary=500
    )
    whole = run(models.build("llama-prefill", tokens=12, layout=layout), {"input_ids": IDS})
    found = run(models.build("llama-prefill", tokens=10, layout=layout), {"input_ids": IDS[:, :10]})
    for past in (10, 11):
        feeds = {k.replace("present", "past_key_values"): v for k, v in found.items()}
        feeds.pop("logits")
        feeds["input_ids"] = IDS[:, past : past + 1]
        feeds["position_ids"] = np.array([[past]])
        found = run(models.build("llama-step", past=past, layout=layout), feeds)
        np.testing.assert_allclose(found["logits"][0, 0], whole["logits"][0, past], atol=1e-4)
    assert found.keys() == whole.keys()
    for name in found.keys() - {"logits"}:
        assert found[name].shape == (1, kv_heads, 12, 8)
        np.testing.assert_allclose(found[name], whole[name], atol=1e-4)


def test_position_matters(run) -> None:
    """Not to a lone token, but to the distances between tokens."""
    model = models.build("llama-step", past=3)
    rng = np.random.default_rng(0)
    feeds = {
        each.name: rng.standard_normal((1, 2, 3, 32), np.float32)
        for each in model.graph.input
        if each.name.startswith("past")
    }
    logits = [
        run(model, {**feeds, "input_ids": IDS[:, :1], "position_ids": np.array([[at]])})["logits"]
        for at in (3, 4)
    ]
    assert np.abs(logits[0] - logits[1]).max() > 0.01


@pytest.mark.parametrize(
    "sizes",
    [
        {"kv_heads": 3},
        {"heads": 7},
        {"kv_heads": 0},
        {"layers": 0},
        {"hidden": 68},
    ],
)
def test_sizes_that_do_not_fit(sizes: dict[str, int]) -> None:
    sound = {"layers": 2, "hidden": 64, "heads": 8, "kv_heads": 2, "feed_forward": 96}
    with pytest.raises(ModelError):
        Layout(**{**sound, "vocabulary": 500, **sizes})
