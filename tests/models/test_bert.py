from __future__ import annotations

import numpy as np

from imccompiler import models

IDS = np.random.default_rng(0).integers(0, 30522, (1, 24))


def test_dynamic_equals_static(run) -> None:
    dynamic = models.build("bert-tiny", dynamic=True)
    assert dynamic.graph.input[0].type.tensor_type.shape.dim[1].dim_param == "sequence"
    for tokens in (1, 24):
        feeds = {"input_ids": IDS[:, :tokens]}
        static = run(models.build("bert-tiny", tokens=tokens), feeds)
        np.testing.assert_allclose(run(dynamic, feeds)["logits"], static["logits"], rtol=1e-5)


def test_masked_tokens_do_not_count(run) -> None:
    short = run(models.build("bert-tiny", tokens=10), {"input_ids": IDS[:, :10]})
    mask = (np.arange(24) < 10).astype(np.int64)[None]
    model = models.build("bert-tiny", tokens=24, mask=True)
    padded = run(model, {"input_ids": IDS, "attention_mask": mask})
    np.testing.assert_allclose(padded["logits"], short["logits"], rtol=1e-5)


def test_base_gives_tokens_and_their_summary(run) -> None:
    model = models.build("bert-base", layers=1, tokens=24)
    found = run(model, {"input_ids": IDS, "attention_mask": np.ones_like(IDS)})
    assert list(found) == ["last_hidden_state", "pooler_output"]
    first = found["last_hidden_state"][:, 0]
    weights = {each.name: each for each in model.graph.initializer}
    import onnx  # noqa: PLC0415

    weight, bias = (
        onnx.numpy_helper.to_array(weights[f"pooler.dense.{part}"]) for part in ("weight", "bias")
    )
    np.testing.assert_allclose(found["pooler_output"], np.tanh(first @ weight.T + bias), atol=1e-5)
