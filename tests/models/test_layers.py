"""What single layers compute, where the layers are not ONNX's own."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from imccompiler import models
from imccompiler.errors import ModelError
from imccompiler.models import swin, yolo
from imccompiler.models.builder import GraphBuilder
from imccompiler.models.transformer import gelu, gelu_tanh, rms_norm


def weights_of(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    return {each.name: numpy_helper.to_array(each) for each in model.graph.initializer}


def test_spelled_gelus_equal_the_operator(run) -> None:
    x = np.linspace(-5, 5, 101, dtype=np.float32)[None]
    g = GraphBuilder("gelu", opset=20)
    name = g.input("x", x.shape)
    pairs = {
        "exact": (gelu(g, "spelled", name), g.node("Gelu", "operator", name)),
        "tanh": (
            gelu_tanh(g, "spelled_tanh", name),
            g.node("Gelu", "operator_tanh", name, approximate="tanh"),
        ),
    }
    for pair in pairs.values():
        for each in pair:
            g.output(each, x.shape, name=each)
    found = run(g.model(), {"x": x})
    for spelled, operator in pairs.values():
        np.testing.assert_allclose(found[spelled], found[operator], atol=1e-6)
    assert np.abs(found["spelled"] - found["spelled_tanh"]).max() > 1e-5


def test_rms_norm(run) -> None:
    x = np.random.default_rng(0).standard_normal((1, 3, 8), np.float32)
    g = GraphBuilder("norm", weights={"norm.weight": np.arange(8, dtype=np.float32)})
    found = run(g.finish(rms_norm(g, "norm", g.input("x", x.shape), 8), x.shape), {"x": x})
    expected = x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * np.arange(8)
    np.testing.assert_allclose(found["logits"], expected, rtol=1e-5)


@pytest.mark.parametrize("chosen", [1, 2, 4])
def test_a_token_is_given_its_best_experts(chosen: int, run) -> None:
    sizes = {"tokens": 6, "hidden": 16, "feed_forward": 24, "experts": 4}
    model = models.build("moe", **sizes, chosen=chosen)
    x = np.random.default_rng(0).standard_normal((1, 6, 16), np.float32)
    w = weights_of(model)
    y = x[0] / np.sqrt((x[0] ** 2).mean(-1, keepdims=True) + 1e-5)
    y = y * w["post_attention_layernorm.weight"]
    expected = x[0].copy()
    for token, features in enumerate(y):
        scores = np.exp(features @ w["block_sparse_moe.gate.weight"])
        best = np.argsort(scores)[-chosen:]
        for expert in best:
            name = f"block_sparse_moe.experts.{expert}"
            gate = features @ w[f"{name}.w1.weight"]
            z = gate / (1 + np.exp(-gate)) * (features @ w[f"{name}.w3.weight"])
            expected[token] += scores[expert] / scores[best].sum() * (z @ w[f"{name}.w2.weight"])
    np.testing.assert_allclose(run(model, {"hidden_states": x})["output"][0], expected, atol=1e-4)


def test_relative_positions_of_a_window() -> None:
    index = swin.relative_positions().reshape(7, 7, 7, 7)
    assert set(index.reshape(-1)) == set(range(13 * 13))
    assert np.all(index[1:, :, 1:, :] == index[:-1, :, :-1, :])  # distance alone counts
    assert np.all(index[:, 1:, :, 1:] == index[:, :-1, :, :-1])


def test_masked_tokens_are_neighbours_by_the_shift_alone() -> None:
    mask = swin.shift_mask(14, 3)
    assert mask.shape == (4, 49, 49)
    assert not mask[0].any()  # the first window holds what was adjacent
    place = np.arange(14)
    wrapped = np.stack(np.meshgrid(place, place, indexing="ij"), -1) + 3 >= 14  # what came around
    corners = wrapped[7:, 7:].reshape(49, 2)
    together = (corners[:, None] == corners).all(-1)
    assert np.array_equal(mask[3] == 0, together)


def test_boxes_of_a_detector_without_signal(run) -> None:
    """Even distributions over 16 bins are 7.5 strides to every side of a pixel's centre."""
    seeded = models.build("yolo", image_size=64, classes=3)
    weights = {name: np.zeros_like(value) for name, value in weights_of(seeded).items()}
    model = models.build("yolo", image_size=64, classes=3, weights=weights)
    found = run(model)["detections"][0]
    assert found.shape == (7, 64 + 16 + 4)
    strides = np.repeat(yolo.STRIDES, [64, 16, 4])
    np.testing.assert_allclose(found[2:4], np.stack([15 * strides] * 2), rtol=1e-5)
    np.testing.assert_allclose(found[4:], 0.5)
    np.testing.assert_allclose(found[:2, :9].T[[0, 1, 8]], [[4, 4], [12, 4], [4, 12]], rtol=1e-5)
    np.testing.assert_allclose(found[:2, -1], [48, 48], rtol=1e-5)


@pytest.mark.parametrize(("name", "size"), [("unet", 40), ("yolo", 48)])
def test_sizes_that_cannot_be_halved(name: str, size: int) -> None:
    with pytest.raises(ModelError, match=f"image_size is {size}, and must be a multiple"):
        models.build(name, image_size=size)


def test_drawn_values_are_centred_over_all_but_their_axis() -> None:
    g = GraphBuilder("centred")
    g.conv("a", g.input("x", (1, 4, 8, 8)), (4, 6), 3)
    g.conv_transpose("b", "a", (6, 5), 2, stride=2)
    g.output("b", (1, 5, 12, 12), name="y")
    weights = weights_of(g.model())
    np.testing.assert_allclose(weights["a.weight"].mean(axis=(1, 2, 3)), 0, atol=1e-6)
    np.testing.assert_allclose(weights["b.weight"].mean(axis=(0, 2, 3)), 0, atol=1e-6)
    assert np.abs(weights["b.weight"].mean(axis=(1, 2, 3))).max() > 0.01
