"""`canonicalize`: each rewrite, and what must stay; compared with ONNX Runtime."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from onnx import helper

from imccompiler.frontend import load_onnx
from imccompiler.ir.decisions import Placement
from imccompiler.ir.dialect import DigitalOp, MatmulOp

node = helper.make_node
PASSES = "canonicalize"


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def scalars(**values: float) -> dict[str, np.ndarray]:
    return {name: np.array(value, np.float32) for name, value in values.items()}


X = {"x": noise(1, 4, 6, 6)}
W = {"w": noise(6, 4, 3, 3, seed=1), "b": noise(6, seed=2)}
CONV = node("Conv", ["x", "w", "b"], ["h"], "conv")
MATMUL = node("MatMul", ["x", "w"], ["h"], "matmul")


@pytest.mark.parametrize(
    ("after", "weights", "kinds"),
    [
        (node("Relu", ["h"], ["y"]), {}, ["matmul"]),
        (node("Clip", ["h", "zero"], ["y"]), scalars(zero=0), ["matmul"]),
        (node("Max", ["h", "zero"], ["y"]), scalars(zero=0), ["matmul"]),
        (node("Max", ["zero", "h"], ["y"]), scalars(zero=0), ["matmul"]),
        (node("Clip", ["h", "zero", "six"], ["y"]), scalars(zero=0, six=6), ["matmul", "Clip"]),
        (node("Clip", ["h", "zero"], ["y"]), scalars(zero=0.5), ["matmul", "Clip"]),
        (node("Max", ["h", "zero"], ["y"]), scalars(zero=0.5), ["matmul", "Max"]),
        (node("LeakyRelu", ["h"], ["y"]), {}, ["matmul", "LeakyRelu"]),
    ],
)
def test_relu_becomes_an_activation(check, after: Any, weights: Any, kinds: list[str]) -> None:
    assert check([CONV, after], X, W | weights, PASSES) == kinds


def test_relu_of_a_shared_result_stays(check) -> None:
    nodes = [CONV, node("Relu", ["h"], ["y"]), node("Neg", ["h"], ["z"])]
    assert check(nodes, X, W, PASSES, outputs=("y", "z")) == ["matmul", "Relu", "Neg"]


def test_relu_of_relu(check) -> None:
    nodes = [CONV, node("Relu", ["h"], ["r"]), node("Relu", ["r"], ["y"])]
    assert check(nodes, X, W, PASSES) == ["matmul", "Relu"]


def test_bias_before_relu(check) -> None:
    nodes = [
        node("Conv", ["x", "w"], ["c"], "conv"),
        node("Add", ["c", "bias"], ["h"]),
        node("Relu", ["h"], ["y"]),
    ]
    weights = {"w": W["w"], "bias": noise(1, 6, 1, 1)}
    assert check(nodes, X, weights, PASSES) == ["matmul"]


@pytest.mark.parametrize("factor", [0.125, -3.0])
@pytest.mark.parametrize("op", ["Mul", "Div"])
def test_scalar_before_and_after_a_matmul(check, op: str, factor: float) -> None:
    nodes = [
        node(op, ["x", "c"], ["s"]),
        node("Conv", ["s", "w", "b"], ["h"], pads=[1, 1, 1, 1]),
        node("Transpose", ["h"], ["t"], perm=[0, 2, 3, 1]),
        node(op, ["t", "c"], ["y"]),
    ]
    assert check(nodes, X, W | scalars(c=factor), PASSES) == ["matmul", "Transpose"]


def test_channel_scales_before_a_grouped_conv(check) -> None:
    weights = {"w": noise(6, 2, 3, 3, seed=1), "s": noise(4, 1, 1, seed=2)}
    nodes = [node("Mul", ["x", "s"], ["h"]), node("Conv", ["h", "w"], ["y"], group=2)]
    assert check(nodes, X, weights, PASSES) == ["matmul"]


@pytest.mark.parametrize(("pads", "kinds"), [(0, ["matmul"]), (1, ["Sub", "matmul"])])
def test_shift_before_a_conv_only_without_padding(check, pads: int, kinds: Any) -> None:
    weights = {"w": noise(6, 2, 3, 3, seed=1), "s": noise(4, 1, 1, seed=2)}
    conv = node("Conv", ["h", "w"], ["y"], group=2, pads=[pads] * 4)
    assert check([node("Sub", ["x", "s"], ["h"]), conv], X, weights, PASSES) == kinds


def test_shift_and_scale_before_a_matmul(check) -> None:
    nodes = [
        node("Sub", ["x", "mean"], ["c"]),
        node("Div", ["c", "deviation"], ["d"]),
        node("MatMul", ["d", "w"], ["y"]),
    ]
    weights = {
        "w": noise(5, 6),
        "mean": noise(5, seed=1),
        "deviation": np.abs(noise(5, seed=2)) + 1,
    }
    assert check(nodes, {"x": noise(3, 5)}, weights, PASSES) == ["matmul"]


def test_scores_are_scaled_in_the_weights_of_the_query(check) -> None:
    """softmax(q k' / sqrt d) costs no division: it goes through the product to q's weights."""
    nodes = [
        node("MatMul", ["x", "wq"], ["q"]),
        node("MatMul", ["x", "wk"], ["k"]),
        node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        node("MatMul", ["q", "kt"], ["scores"]),
        node("Div", ["scores", "root"], ["scaled"]),
        node("Softmax", ["scaled"], ["y"], axis=-1),
    ]
    weights = {"wq": noise(8, 8), "wk": noise(8, 8, seed=1)} | scalars(root=math.sqrt(8))
    kinds = check(nodes, {"x": noise(1, 4, 8)}, weights, PASSES)
    assert kinds == ["matmul", "matmul", "Transpose", "dynamic_matmul", "Softmax"]


def test_a_scalar_does_not_pass_an_activation_or_a_shared_result(check) -> None:
    weights = {"w": noise(8, 8)} | scalars(c=-2.0)
    nodes = [MATMUL, node("Relu", ["h"], ["r"]), node("Mul", ["r", "c"], ["y"])]
    assert check(nodes, {"x": noise(3, 8)}, weights, PASSES) == ["matmul", "Mul"]
    nodes = [MATMUL, node("Neg", ["h"], ["z"]), node("Mul", ["h", "c"], ["y"])]
    kinds = check(nodes, {"x": noise(3, 8)}, weights, PASSES, outputs=("y", "z"))
    assert kinds == ["matmul", "Neg", "Mul"]


def test_division_of_a_scalar_by_a_product_stays(check) -> None:
    nodes = [MATMUL, node("Div", ["c", "h"], ["y"])]
    weights = {"w": np.abs(noise(8, 8))} | scalars(c=2.0)
    kinds = check(nodes, {"x": np.abs(noise(3, 8)) + 1}, weights, PASSES)
    assert kinds == ["matmul", "Div"]


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


@pytest.mark.parametrize(
    ("nodes", "weights", "kinds"),
    [
        ([node("Flatten", ["x"], ["y"])], {}, ["Reshape"]),
        ([node("Unsqueeze", ["x", "a"], ["y"])], {"a": ints(0)}, ["Reshape"]),
        ([node("Squeeze", ["x", "a"], ["y"])], {"a": ints(0)}, ["Reshape"]),
        (
            [node("Flatten", ["x"], ["h"]), node("Reshape", ["h", "s"], ["y"])],
            {"s": ints(1, 4, 36)},
            ["Reshape"],
        ),
        (
            [
                node("Reshape", ["x", "s"], ["h"]),
                node("Reshape", ["h", "t"], ["r"]),
                node("Exp", ["r"], ["y"]),
            ],
            {"s": ints(4, 36), "t": ints(1, 4, 6, 6)},
            ["Exp"],
        ),
        (
            [
                node("Transpose", ["x"], ["h"], perm=[0, 2, 3, 1]),
                node("Transpose", ["h"], ["r"], perm=[0, 3, 1, 2]),
                node("Exp", ["r"], ["y"]),
            ],
            {},
            ["Exp"],
        ),
        (
            [
                node("Transpose", ["x"], ["h"], perm=[0, 2, 3, 1]),
                node("Transpose", ["h"], ["y"], perm=[0, 2, 3, 1]),
            ],
            {},
            ["Transpose"],
        ),
        ([node("Transpose", ["x"], ["y"], perm=[1, 0, 2, 3])], {}, ["Reshape"]),
        ([node("Transpose", ["x"], ["y"], perm=[0, 1, 3, 2])], {}, ["Transpose"]),
        ([node("ReduceMean", ["x"], ["y"], axes=[2, 3])], {}, ["GlobalAveragePool"]),
        (
            [node("ReduceMean", ["x"], ["y"], axes=[2, 3], keepdims=0)],
            {},
            ["GlobalAveragePool", "Reshape"],
        ),
        ([node("ReduceMean", ["x"], ["y"], axes=[1, 2])], {}, ["ReduceMean"]),
        (
            [node("AveragePool", ["x"], ["y"], kernel_shape=[6, 6])],
            {},
            ["GlobalAveragePool"],
        ),
        (
            [node("AveragePool", ["x"], ["y"], kernel_shape=[6, 6], pads=[0, 0, 1, 0])],
            {},
            ["AveragePool"],
        ),
        ([node("AveragePool", ["x"], ["y"], kernel_shape=[6, 5])], {}, ["AveragePool"]),
    ],
)
def test_shapes(check, nodes: Any, weights: Any, kinds: list[str]) -> None:
    assert check(nodes, X, weights, PASSES) == kinds


def gelu(form: str) -> tuple[list[Any], dict[str, np.ndarray]]:
    """Gelu of h as exporters write it, with its constants."""
    constants = scalars(root=math.sqrt(2), inverse=math.sqrt(0.5), one=1, half=0.5)
    inner = (
        node("Mul", ["h", "inverse"], ["i"]) if form == "mul" else node("Div", ["h", "root"], ["i"])
    )
    gate = [inner, node("Erf", ["i"], ["e"]), node("Add", ["e", "one"], ["g"])]
    products = {
        "last": [node("Mul", ["h", "g"], ["p"]), node("Mul", ["p", "half"], ["y"])],
        "mul": [node("Mul", ["half", "h"], ["p"]), node("Mul", ["g", "p"], ["y"])],
        "gate": [node("Mul", ["g", "half"], ["p"]), node("Mul", ["h", "p"], ["y"])],
    }[form]
    return gate + products, constants


@pytest.mark.parametrize("form", ["last", "mul", "gate"])
@pytest.mark.parametrize("passes", ["canonicalize", "fold,canonicalize"])
def test_gelu(check, form: str, passes: str) -> None:
    """Also between two matmuls, into which its constants could have gone."""
    nodes, constants = gelu(form)
    nodes = [
        MATMUL,
        *nodes[:-1],
        node(nodes[-1].op_type, list(nodes[-1].input), ["last"]),
        node("MatMul", ["last", "v"], ["y"]),
    ]
    weights = {"w": noise(8, 8), "v": noise(8, 3)} | constants
    kinds = check(nodes, {"x": noise(2, 8)}, weights, passes)
    assert kinds == ["matmul", "Gelu", "matmul"]


@pytest.mark.parametrize("cube", ["pow", "mul"])
def test_gelu_by_tanh(check, cube: str) -> None:
    constants = scalars(three=3, c=0.044715, root=math.sqrt(2 / math.pi), one=1, half=0.5)
    power = (
        [node("Pow", ["x", "three"], ["cube"])]
        if cube == "pow"
        else [node("Mul", ["x", "x"], ["square"]), node("Mul", ["square", "x"], ["cube"])]
    )
    nodes = [
        *power,
        node("Mul", ["cube", "c"], ["scaled"]),
        node("Add", ["x", "scaled"], ["sum"]),
        node("Mul", ["sum", "root"], ["inner"]),
        node("Tanh", ["inner"], ["t"]),
        node("Add", ["t", "one"], ["g"]),
        node("Mul", ["x", "half"], ["hx"]),
        node("Mul", ["hx", "g"], ["y"]),
    ]
    assert check(nodes, {"x": noise(3, 5)}, constants, PASSES) == ["Gelu"]


@pytest.mark.parametrize(
    "change", [{"root": 1.5}, {"one": 0.9}, {"half": 0.4}, {"half": np.full((8,), 0.5, np.float32)}]
)
def test_what_is_not_quite_gelu_stays(check, change: dict[str, Any]) -> None:
    nodes, constants = gelu("last")
    changed = {k: np.asarray(v, np.float32) for k, v in change.items()}
    nodes = [node("Exp", ["x"], ["h"]), *nodes]
    kinds = check(nodes, {"x": noise(2, 8)}, constants | changed, PASSES)
    assert "Erf" in kinds
    assert "Gelu" not in kinds


def test_gelu_with_a_shared_step_stays(check) -> None:
    nodes, constants = gelu("last")
    nodes = [node("Exp", ["x"], ["h"]), *nodes, node("Neg", ["e"], ["z"])]
    kinds = check(nodes, {"x": noise(2, 8)}, constants, PASSES, outputs=("y", "z"))
    assert "Gelu" not in kinds


def layer_norm(square: str = "pow", axes: tuple[int, ...] = (-1,)) -> list[Any]:
    variance = (
        node("Pow", ["d", "two"], ["s"]) if square == "pow" else node("Mul", ["d", "d"], ["s"])
    )
    return [
        node("ReduceMean", ["x"], ["m"], axes=axes),
        node("Sub", ["x", "m"], ["d"]),
        variance,
        node("ReduceMean", ["s"], ["v"], axes=axes),
        node("Add", ["v", "epsilon"], ["ve"]),
        node("Sqrt", ["ve"], ["r"]),
        node("Div", ["d", "r"], ["n"]),
        node("Mul", ["n", "gain"], ["a"]),
        node("Add", ["a", "shift"], ["y"]),
    ]


CONSTANTS = scalars(two=2, epsilon=1e-5) | {"gain": noise(5, seed=1), "shift": noise(5, seed=2)}


@pytest.mark.parametrize("square", ["pow", "mul"])
def test_layer_norm(check, make_model, run_passes, square: str) -> None:
    inputs = {"x": noise(2, 3, 5)}
    assert check(layer_norm(square), inputs, CONSTANTS, PASSES) == ["LayerNormalization"]
    network = load_onnx(make_model(layer_norm(square), inputs, CONSTANTS))
    run_passes(network, PASSES)
    (norm,) = [op for op in network.module.body.block.ops if isinstance(op, DigitalOp)]
    attributes = norm.python_attributes()
    assert attributes["axis"] == 2
    assert attributes["epsilon"] == pytest.approx(1e-5)
    assert len(norm.operands_) == 3


def test_layer_norm_over_two_axes(check) -> None:
    constants = CONSTANTS | {"gain": noise(3, 5, seed=1), "shift": noise(1, 3, 5, seed=2)}
    kinds = check(layer_norm(axes=(1, 2)), {"x": noise(2, 3, 5)}, constants, PASSES)
    assert kinds == ["LayerNormalization"]


@pytest.mark.parametrize(
    ("axes", "change"),
    [
        ((1,), {}),
        ((-1,), {"two": np.float32(3)}),
        ((-1,), {"epsilon": np.full((3, 1), 1e-5, np.float32)}),
    ],
)
def test_what_is_not_quite_layer_norm_stays(check, axes: Any, change: Any) -> None:
    inputs = {"x": np.abs(noise(2, 3, 5))}
    nodes = layer_norm(axes=axes)
    constants = CONSTANTS | change
    if "two" in change:  # the third moment can be negative: no root of it
        root = [node("Abs", ["ve"], ["abs"]), node("Sqrt", ["abs"], ["r"])]
        nodes = [*nodes[:5], *root, *nodes[6:]]
    assert "LayerNormalization" not in check(nodes, inputs, constants, PASSES)


def test_a_gain_that_varies_over_other_axes_stays(check) -> None:
    constants = CONSTANTS | {"gain": noise(3, 1, seed=1)}
    kinds = check(layer_norm(), {"x": noise(2, 3, 5)}, constants, PASSES)
    assert kinds == ["LayerNormalization", "Mul", "Add"]


def test_decided_ops_stay(make_model, op_types, run_passes) -> None:
    model = make_model([CONV, node("Relu", ["h"], ["y"])], X, W)
    network = load_onnx(model)
    relu = next(op for op in network.module.body.block.ops if isinstance(op, DigitalOp))
    relu.properties["placement"] = Placement(cores=(0,))
    run_passes(network, PASSES)
    assert op_types(network) == ["matmul", "Relu"]


def test_sources_lead_back_to_the_network(make_model, run_passes) -> None:
    nodes = [CONV, node("ReduceMean", ["h"], ["y"], "pool", axes=[2, 3], keepdims=0)]
    network = load_onnx(make_model(nodes, X, W))
    run_passes(network, PASSES)
    sources = [
        op.source for op in network.module.body.block.ops if isinstance(op, (MatmulOp, DigitalOp))
    ]
    assert [(s.node, s.op_type) for s in sources if s is not None] == [
        ("conv", "Conv"),
        ("pool", "ReduceMean"),
        ("pool/shape", "ReduceMean"),
    ]
