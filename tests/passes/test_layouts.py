"""Which tensors lie channels last."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from imccompiler.frontend import load_onnx
from imccompiler.passes.build import layer_name
from imccompiler.passes.geometry import channels_last, natural
from imccompiler.passes.layouts import assign_layouts


@pytest.fixture(scope="module")
def layouts(make_model):
    """A convolution, a pool, elementwise work, a flattening and a product."""
    rng = np.random.default_rng(0)
    weights = {
        "w": rng.standard_normal((5, 3, 3, 3)).astype(np.float32),
        "m": rng.standard_normal((80, 6)).astype(np.float32),
    }
    nodes = [
        helper.make_node("Sigmoid", ["x"], ["a"], "before"),
        helper.make_node("Conv", ["a", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("MaxPool", ["c"], ["p"], "pool", kernel_shape=[2, 2], strides=[2, 2]),
        helper.make_node("Tanh", ["p"], ["t"], "after"),
        helper.make_node("Flatten", ["t"], ["f"], "flatten"),
        helper.make_node("MatMul", ["f", "m"], ["y"], "product"),
    ]
    network = load_onnx(make_model(nodes, {"x": np.zeros((1, 3, 8, 8), np.float32)}, weights))
    found = assign_layouts(network.module)
    return {layer_name(value.owner): layout for value, layout in found.items()}


@pytest.mark.parametrize("layer", ["x", "before", "conv", "pool", "after"])
def test_around_windows_channels_are_innermost(layouts, layer):
    assert layouts[layer] == channels_last(layouts[layer].shape)


@pytest.mark.parametrize("layer", ["flatten", "product"])
def test_elsewhere_the_order_is_that_of_onnx(layouts, layer):
    assert layouts[layer] == natural(layouts[layer].shape)


def test_transformers_keep_the_order_of_onnx(mapped):
    module = mapped("bert-tiny", "pimcomp", 0).module
    for value, layout in assign_layouts(module).items():
        assert layout == natural(layout.shape), layer_name(value.owner)
