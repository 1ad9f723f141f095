"""Products with static weights end to end: batches, three axes of space, weights on either side."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

import imccompiler

ENOUGH_DB = 35.0


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def check(
    node: onnx.NodeProto, inputs: dict[str, np.ndarray], weights: dict[str, np.ndarray]
) -> Any:
    """The report of a model of one node, after what all of them must fulfil."""
    graph = helper.make_graph(
        [node],
        "products",
        [helper.make_tensor_value_info(n, 1, a.shape) for n, a in inputs.items()],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(a, n) for n, a in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    compiled = imccompiler.compile(model, "isaac", calibration=inputs, check=True, effort=0)
    found = compiled.report.check
    assert found is not None
    assert found.bit_exact
    assert found.onnxruntime_sqnr_db is not None
    assert found.onnxruntime_sqnr_db > ENOUGH_DB
    return compiled.report


CONVOLUTIONS: list[tuple[str, tuple[int, ...], tuple[int, ...], dict[str, Any]]] = [
    ("Conv", (2, 4, 6, 6), (3, 4, 3, 3), {"pads": [1, 1, 1, 1]}),
    ("Conv", (3, 4, 9), (6, 2, 3), {"pads": [1, 1], "group": 2}),
    ("Conv", (1, 2, 5, 6, 5), (3, 2, 2, 3, 2), {"strides": [1, 2, 1]}),
    (
        "Conv",
        (2, 4, 5, 6, 5),
        (4, 2, 3, 3, 3),
        {"strides": [2, 1, 2], "pads": [1, 1, 1, 1, 1, 0], "group": 2},
    ),
    (
        "Conv",
        (1, 4, 7, 7, 7),
        (4, 1, 3, 3, 3),
        {"dilations": [2, 1, 2], "pads": [2, 1, 2, 2, 1, 2], "group": 4},
    ),
    ("ConvTranspose", (1, 3, 6), (3, 4, 3), {"strides": [2], "output_padding": [1]}),
    (
        "ConvTranspose",
        (1, 4, 4, 4, 3),
        (4, 3, 3, 2, 2),
        {"strides": [2, 2, 1], "group": 2, "pads": [1, 0, 0, 1, 0, 0]},
    ),
    (
        "ConvTranspose",
        (1, 4, 3, 4, 3),
        (4, 3, 3, 3, 3),
        {"strides": [2, 2, 2], "output_padding": [1, 0, 1], "dilations": [1, 2, 1]},
    ),
    ("ConvTranspose", (2, 4, 5, 5), (4, 3, 3, 3), {"strides": [2, 2], "group": 2}),
]


@pytest.mark.parametrize(("op_type", "x", "w", "attributes"), CONVOLUTIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_convolutions(
    op_type: str, x: tuple[int, ...], w: tuple[int, ...], attributes: dict[str, Any], bias: bool
) -> None:
    weights = {"w": noise(*w, seed=1)}
    channels = w[0] if op_type == "Conv" else w[1] * attributes.get("group", 1)
    if bias:
        weights["b"] = noise(channels, seed=2)
    report = check(
        helper.make_node(op_type, ["x", *weights], ["y"], **attributes), {"x": noise(*x)}, weights
    )
    assert report.coverage.crossbar_share == 1.0
    assert report.coverage.host_elements == 0


@pytest.mark.parametrize(
    ("x", "w"),
    [
        ((2, 3, 4), (2, 4, 5)),
        ((3, 4), (2, 4, 5)),
        ((2, 1, 3, 4), (1, 3, 4, 5)),
        ((4,), (2, 4, 5)),
        ((4,), (4, 5)),
        ((3, 4), (1, 1, 4, 5)),
    ],
)
@pytest.mark.parametrize("left", [False, True])
def test_constants_on_either_side(x: tuple[int, ...], w: tuple[int, ...], left: bool) -> None:
    a, b = noise(*x), noise(*w, seed=1)
    if left:
        turned = np.swapaxes(b, -1, -2).copy()
        a = a if a.ndim == 1 else np.swapaxes(a, -1, -2).copy()
        report = check(helper.make_node("MatMul", ["w", "x"], ["y"]), {"x": a}, {"w": turned})
    else:
        report = check(helper.make_node("MatMul", ["x", "w"], ["y"]), {"x": a}, {"w": b})
    assert report.coverage.crossbar_share == 1.0


@pytest.mark.parametrize(
    ("equation", "x", "w"),
    [
        ("bij,jk->bik", (2, 3, 4), (4, 5)),
        ("abc,cd->abd", (2, 3, 4), (4, 5)),
        ("nhwc,hkc->nhwk", (1, 2, 3, 4), (2, 5, 4)),
        ("...j,jk->...k", (2, 3, 4), (4, 5)),
        ("ij,jk", (3, 4), (4, 5)),
        ("ij,kj->ki", (3, 4), (5, 4)),
        ("bij,kji->bk", (2, 3, 4), (5, 4, 3)),
    ],
)
@pytest.mark.parametrize("constant", ["x", "w", ""])
def test_einsum(equation: str, x: tuple[int, ...], w: tuple[int, ...], constant: str) -> None:
    arrays = {"x": noise(*x), "w": noise(*w, seed=1)}
    weights = {n: a for n, a in arrays.items() if n == constant}
    inputs = {n: a for n, a in arrays.items() if n != constant}
    report = check(
        helper.make_node("Einsum", ["x", "w"], ["y"], equation=equation), inputs, weights
    )
    share = report.coverage.crossbar_share if constant else report.coverage.dynamic_share
    assert share == 1.0


@pytest.mark.parametrize("equation", ["ij,ij->", "ii,ij->j", "ij,k->j"])
def test_einsum_that_is_no_product_runs_on_the_host(equation: str) -> None:
    left, right = (tuple(3 for _ in t) for t in equation.partition("->")[0].split(","))
    node = helper.make_node("Einsum", ["x", "w"], ["y"], equation=equation)
    weights = {"w": noise(*right, seed=1)}
    graph_inputs = {"x": noise(*left)}
    graph = helper.make_graph(
        [node],
        "einsum",
        [helper.make_tensor_value_info("x", 1, left)],
        [onnx.ValueInfoProto(name="y")],
        [numpy_helper.from_array(weights["w"], "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    report = imccompiler.compile(
        model, "isaac", calibration=graph_inputs, check=True, effort=0
    ).report
    assert report.check is not None
    assert report.check.bit_exact
    assert {o.unit for o in report.coverage.operators} == {"host"}
