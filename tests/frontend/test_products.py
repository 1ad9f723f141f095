"""Products with static weights and of activations, compared with ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from imccompiler.errors import ModelError
from imccompiler.frontend import load_onnx

node = helper.make_node


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


@pytest.mark.parametrize(
    ("x", "w", "attributes"),
    [
        ((1, 3, 8, 8), (4, 3, 3, 3), {}),
        ((1, 3, 8, 9), (4, 3, 3, 2), {"strides": [2, 3], "pads": [1, 0, 2, 1]}),
        ((1, 4, 9, 9), (6, 2, 3, 3), {"group": 2, "dilations": [2, 1]}),
        ((1, 4, 7, 7), (4, 1, 3, 3), {"group": 4, "auto_pad": "SAME_UPPER", "strides": [2, 2]}),
        ((1, 2, 7, 8), (3, 2, 4, 4), {"auto_pad": "SAME_LOWER"}),
        ((1, 2, 7, 8), (3, 2, 4, 4), {"auto_pad": "VALID", "kernel_shape": [4, 4]}),
        ((1, 3, 12), (5, 3, 4), {"strides": [2], "pads": [1, 1]}),
        ((1, 2, 5, 6, 5), (3, 2, 2, 3, 2), {"strides": [1, 2, 1]}),
    ],
)
@pytest.mark.parametrize("bias", [False, True])
def test_conv(check, x: Any, w: Any, attributes: dict[str, Any], bias: bool) -> None:
    weights = {"w": noise(*w, seed=1)} | ({"b": noise(w[0], seed=2)} if bias else {})
    conv = node("Conv", ["x", *weights], ["y"], **attributes)
    found = check(conv, {"x": noise(*x)}, weights)
    assert found.count("matmul") == (1 if len(x) < 5 else 4)
    assert len(x) == 5 or found == ["matmul"]


def test_conv_with_activations_as_weights_runs_on_the_host(make_model) -> None:
    inputs = {"x": noise(1, 2, 5, 5), "w": noise(3, 2, 3, 3)}
    network = load_onnx(make_model([node("Conv", ["x", "w"], ["y"])], inputs))
    (conv,) = [o for o in network.coverage.operators if o.op_type == "Conv"]
    assert conv.unit == "host"
    assert conv.macs == 3 * 3 * 3 * 2 * 3 * 3


@pytest.mark.parametrize(
    ("x", "w", "attributes"),
    [
        ((1, 3, 5, 5), (3, 4, 3, 3), {}),
        ((1, 3, 5, 4), (3, 4, 3, 2), {"strides": [2, 3], "pads": [1, 0, 1, 1]}),
        ((1, 4, 5, 5), (4, 3, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1], "group": 2}),
        ((1, 2, 5, 5), (2, 3, 3, 3), {"strides": [3, 2], "output_padding": [2, 1]}),
        ((1, 2, 5, 5), (2, 3, 3, 3), {"dilations": [2, 2], "strides": [2, 2]}),
        ((1, 2, 5, 5), (2, 3, 1, 1), {"pads": [1, 1, 1, 0]}),
        ((1, 2, 5, 5), (2, 3, 3, 3), {"strides": [2, 2], "output_shape": [10, 9]}),
        ((1, 2, 5, 5), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ((1, 2, 5, 5), (2, 3, 3, 3), {"strides": [2, 2], "auto_pad": "SAME_LOWER"}),
        ((1, 2, 9), (2, 3, 4), {"strides": [3]}),
    ],
)
def test_conv_transpose(check, x: Any, w: Any, attributes: dict[str, Any]) -> None:
    weights = {"w": noise(*w, seed=1), "b": noise(w[1] * attributes.get("group", 1), seed=2)}
    transposed = node("ConvTranspose", ["x", "w", "b"], ["y"], **attributes)
    assert check(transposed, {"x": noise(*x)}, weights).count("matmul") == 1


@pytest.mark.parametrize("flip_a", [0, 1])
@pytest.mark.parametrize("flip_b", [0, 1])
@pytest.mark.parametrize("c", [None, (6,), (1, 6), (1,), (), (4, 6), (4, 1)])
@pytest.mark.parametrize("constant", ["B", "A", ""])
def test_gemm(check, flip_a: int, flip_b: int, c: Any, constant: str) -> None:
    tensors = {
        "A": noise(*((5, 4) if flip_a else (4, 5))),
        "B": noise(*((6, 5) if flip_b else (5, 6)), seed=1),
    }
    weights = {k: v for k, v in tensors.items() if k == constant}
    inputs = {k: v for k, v in tensors.items() if k != constant}
    if c is not None:
        weights["C"] = np.float32(noise(*c, seed=2))
    names = ["A", "B", *(["C"] if c is not None else [])]
    gemm = node("Gemm", names, ["y"], transA=flip_a, transB=flip_b, alpha=0.5, beta=2.0)
    kinds = check(gemm, inputs, weights)
    assert kinds.count("matmul" if constant else "dynamic_matmul") == 1
    if constant == "B" and not flip_a and c not in {(4, 6), (4, 1)}:
        assert kinds == ["matmul"]


def test_gemm_that_adds_an_activation(check) -> None:
    gemm = node("Gemm", ["A", "B", "C"], ["y"], beta=3.0)
    inputs = {"A": noise(4, 5), "C": noise(4, 6, seed=2)}
    assert check(gemm, inputs, {"B": noise(5, 6, seed=1)}) == ["matmul", "Mul", "Add"]


@pytest.mark.parametrize(
    ("a", "b", "kinds"),
    [
        ((4, 5), (5, 6), ["matmul"]),
        ((2, 3, 4, 5), (5, 6), ["matmul"]),
        ((5,), (5, 6), ["matmul"]),
        ((4, 5), (5,), ["matmul", "Reshape"]),
        ((4, 5), (1, 5, 6), ["matmul", "Reshape"]),
        ((2, 4, 5), (2, 5, 6), ["Slice", "matmul", "Slice", "matmul", "Concat"]),
    ],
)
def test_matmul_with_a_constant_right(check, a: Any, b: Any, kinds: list[str]) -> None:
    matmul = node("MatMul", ["a", "b"], ["y"])
    assert check(matmul, {"a": noise(*a)}, {"b": noise(*b, seed=1)}) == kinds


@pytest.mark.parametrize(
    ("a", "b", "kinds"),
    [
        ((4, 5), (5, 6), ["Transpose", "matmul", "Transpose"]),
        ((4, 5), (2, 5, 6), ["Transpose", "matmul", "Transpose"]),
        ((4, 5), (5,), ["matmul"]),
        ((5,), (2, 5, 6), ["Transpose", "matmul", "Transpose", "Reshape"]),
    ],
)
def test_matmul_with_a_constant_left(check, a: Any, b: Any, kinds: list[str]) -> None:
    matmul = node("MatMul", ["a", "b"], ["y"])
    assert check(matmul, {"b": noise(*b)}, {"a": noise(*a, seed=1)}) == kinds


@pytest.mark.parametrize(
    ("a", "b"),
    [((4, 5), (5, 6)), ((2, 1, 4, 5), (3, 5, 6)), ((5,), (2, 5, 6)), ((2, 4, 5), (5,))],
)
def test_matmul_of_activations(check, a: Any, b: Any) -> None:
    matmul = node("MatMul", ["a", "b"], ["y"])
    assert "dynamic_matmul" in check(matmul, {"a": noise(*a), "b": noise(*b, seed=1)})


def test_weights_that_follow_from_constants(check) -> None:
    """Weights behind Transpose, DequantizeLinear or a product of constants are weights."""
    quantized = np.arange(-15, 15, dtype=np.int8).reshape(6, 5)
    weights = {
        "q": quantized,
        "scale": np.float32(0.1),
        "zero": np.int8(2),
        "left": noise(6, 6, seed=1),
    }
    nodes = [
        node("DequantizeLinear", ["q", "scale", "zero"], ["w"]),
        node("Transpose", ["w"], ["wt"], perm=[1, 0]),
        node("MatMul", ["wt", "left"], ["product"]),
        node("MatMul", ["x", "product"], ["y"]),
    ]
    assert check(nodes, {"x": noise(4, 5)}, weights) == ["matmul"]


def test_weights_of_constant_of_shape_take_no_memory(make_model) -> None:
    nodes = [
        node(
            "ConstantOfShape",
            ["shape"],
            ["w"],
            value=helper.make_tensor("v", 1, [1], [0.5]),
        ),
        node("MatMul", ["x", "w"], ["y"]),
    ]
    model = make_model(nodes, {"x": noise(1, 1000)}, {"shape": np.array([1000, 1000])})
    network = load_onnx(model)
    assert network.store["w"].strides == (0, 0)
    assert network.coverage.crossbar_macs == 10**6


def test_shared_weights_are_kept_once(make_model) -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"]), node("MatMul", ["h", "w"], ["y"])]
    network = load_onnx(make_model(nodes, {"x": noise(2, 5)}, {"w": noise(5, 5)}))
    assert list(network.store) == ["w"]


@pytest.mark.parametrize(
    ("op", "shape", "value"),
    [("Conv", (4, 3, 3, 3), np.inf), ("MatMul", (8, 4), -np.inf), ("Gemm", (8, 4), np.inf)],
)
def test_infinite_weights_are_refused(make_model, op: str, shape: Any, value: float) -> None:
    weight = noise(*shape)
    weight.flat[5] = value
    x = noise(1, 3, 8, 8) if op == "Conv" else noise(2, 8)
    model = make_model([node(op, ["x", "w"], ["y"], "layer")], {"x": x}, {"w": weight})
    with pytest.raises(ModelError, match=r"node 'layer' \(.*'w' is infinite"):
        load_onnx(model)


def test_wrong_kernel_shape(make_model) -> None:
    conv = node("Conv", ["x", "w"], ["y"], "layer", kernel_shape=[3, 3])
    model = make_model([conv], {"x": noise(1, 3, 8, 8)}, {"w": noise(4, 3, 3, 3)})
    model.graph.node[0].attribute[0].ints[:] = [2, 2]
    with pytest.raises(ModelError, match=r"shapes do not fit|kernel_shape"):
        load_onnx(model)
