"""`fold`: what becomes part of the weights, and what must not; compared with ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from imccompiler import models
from imccompiler.errors import PassError
from imccompiler.frontend import load_onnx
from imccompiler.ir.decisions import Quant
from imccompiler.ir.dialect import DigitalOp, MatmulOp

node = helper.make_node


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def norm_weights(channels: int) -> dict[str, np.ndarray]:
    return {
        "scale": noise(channels, seed=3),
        "shift": noise(channels, seed=4),
        "mean": noise(channels, seed=5),
        "variance": np.abs(noise(channels, seed=6)) + 0.1,
    }


def conv(output: str = "h", **attributes: Any) -> Any:
    return node("Conv", ["x", "w", "b"], [output], "conv", **attributes)


X = {"x": noise(1, 4, 6, 5)}
W = {"w": noise(6, 4, 3, 3, seed=1), "b": noise(6, seed=2)}
NORM = node("BatchNormalization", ["h", "scale", "shift", "mean", "variance"], ["y"], epsilon=0.01)


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("group", [1, 2])
def test_batch_norm_after_conv(check, bias: bool, group: int) -> None:
    weights = {"w": noise(6, 4 // group, 3, 3, seed=1)} | ({"b": W["b"]} if bias else {})
    nodes = [node("Conv", ["x", *weights], ["h"], group=group, pads=[1, 1, 1, 1]), NORM]
    assert check(nodes, X, weights | norm_weights(6), "fold") == ["matmul"]


def test_batch_norm_after_gemm(check) -> None:
    nodes = [node("Gemm", ["x", "w"], ["h"]), NORM]
    weights = {"w": noise(4, 6, seed=1)} | norm_weights(6)
    assert check(nodes, {"x": noise(3, 4)}, weights, "fold") == ["matmul"]


def test_batch_norm_over_another_axis_than_the_columns(check) -> None:
    nodes = [node("MatMul", ["x", "w"], ["h"]), NORM]
    weights = {"w": noise(5, 3, seed=1)} | norm_weights(6)
    kinds = check(nodes, {"x": noise(2, 6, 5)}, weights, "fold")
    assert kinds == ["matmul", "BatchNormalization"]


def test_batch_norm_before_an_unpadded_conv(check) -> None:
    norm = node("BatchNormalization", ["x", "scale", "shift", "mean", "variance"], ["h"])
    nodes = [norm, node("Conv", ["h", "w"], ["y"], group=2)]
    weights = {"w": noise(6, 2, 3, 3, seed=1)} | norm_weights(4)
    assert check(nodes, X, weights, "fold") == ["matmul"]
    nodes[1] = node("Conv", ["h", "w"], ["y"], group=2, pads=[1, 0, 0, 0])
    assert check(nodes, X, weights, "fold") == ["BatchNormalization", "matmul"]


@pytest.mark.parametrize(("shape", "kinds"), [((4, 1, 1), 1), ((), 1), ((6, 1), 3)])
def test_scale_and_shift_after_a_batch_norm(check, shape: Any, kinds: int) -> None:
    nodes = [
        node("BatchNormalization", ["x", "scale", "shift", "mean", "variance"], ["n"]),
        node("Mul", ["n", "gain"], ["s"]),
        node("Add", ["offset", "s"], ["y"]),
    ]
    weights = norm_weights(4) | {
        "gain": np.float32(noise(*shape, seed=7)),
        "offset": np.float32(noise(*shape, seed=8)),
    }
    assert len(check(nodes, X, weights, "fold")) == kinds


def test_what_two_ops_read_is_not_scaled_for_one(check) -> None:
    nodes = [conv("h"), NORM, node("Relu", ["h"], ["z"])]
    kinds = check(nodes, X, W | norm_weights(6), "fold", outputs=("y", "z"))
    assert kinds == ["matmul", "BatchNormalization", "Relu"]


def test_an_output_of_the_network_is_not_scaled(check) -> None:
    kinds = check([conv("h"), NORM], X, W | norm_weights(6), "fold", outputs=("h", "y"))
    assert kinds == ["matmul", "BatchNormalization"]


@pytest.mark.parametrize(
    ("op", "constant", "kinds"),
    [
        ("Mul", (6, 1, 1), ["matmul"]),
        ("Mul", (1, 6, 1, 1), ["matmul"]),
        ("Mul", (), ["matmul"]),
        ("Div", (6, 1, 1), ["matmul"]),
        ("Add", (6, 1, 1), ["matmul"]),
        ("Sub", (1,), ["matmul"]),
        ("Mul", (3,), ["matmul", "Mul"]),  # along the width
        ("Add", (1, 6, 4, 1), ["matmul", "Add"]),  # along the height as well
        ("Add", (2, 6, 1, 1), ["matmul", "Add"]),  # makes the result larger
    ],
)
@pytest.mark.parametrize("swapped", [False, True])
def test_constants_after_conv(check, op: str, constant: Any, kinds: Any, swapped: bool) -> None:
    weights = W | {"c": np.asarray(np.abs(noise(*constant, seed=7)) + 1, np.float32)}
    after = node(op, ["c", "h"] if swapped else ["h", "c"], ["y"])
    if swapped and op in {"Div", "Sub"}:
        kinds = ["matmul", op]
    # Quotients by results near 0 amplify the rounding of the convolution itself.
    assert check([conv(), after], X, weights, "fold", tolerance=1e-4) == kinds


def test_division_by_zero_stays(make_model, op_types, run_passes) -> None:
    nodes = [conv(), node("Div", ["h", "c"], ["y"])]
    network = load_onnx(make_model(nodes, X, W | {"c": np.zeros((6, 1, 1), np.float32)}))
    run_passes(network, "fold")
    assert op_types(network) == ["matmul", "Div"]


def test_constants_after_matmul_follow_the_last_axis(check) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["h"]),
        node("Add", ["b", "h"], ["a"]),
        node("Mul", ["a", "g"], ["y"]),
    ]
    weights = {"w": noise(5, 6), "b": noise(6, seed=1), "g": noise(1, 1, 6, seed=2)}
    assert check(nodes, {"x": noise(2, 3, 5)}, weights, "fold") == ["matmul"]


def test_constants_do_not_go_through_an_activation(check) -> None:
    nodes = [conv("a"), node("Relu", ["a"], ["h"]), NORM]
    kinds = check(nodes, X, W | norm_weights(6), "canonicalize,fold")
    assert kinds == ["matmul", "BatchNormalization"]


@pytest.mark.parametrize(
    ("pads", "value", "mode", "kinds"),
    [
        ([0, 0, 1, 2, 0, 0, 3, 0], 0.0, "constant", ["matmul"]),
        ([0, 0, 1, 2, 0, 0, 3, 0], 0.5, "constant", ["Pad", "matmul"]),
        ([0, 0, 1, 2, 0, 0, 3, 0], 0.0, "edge", ["Pad", "matmul"]),
        ([0, 1, 0, 0, 0, 1, 0, 0], 0.0, "constant", ["Pad", "matmul"]),
        ([0, 0, -1, 0, 0, 0, 1, 0], 0.0, "constant", ["Pad", "matmul"]),
    ],
)
def test_pad(check, pads: Any, value: float, mode: str, kinds: list[str]) -> None:
    channels = 4 + pads[1] + pads[5]
    weights = {
        "p": np.array(pads),
        "v": np.float32(value),
        "w": noise(6, channels, 3, 3, seed=1),
    }
    nodes = [
        node("Pad", ["x", "p", "v"], ["h"], mode=mode),
        node("Conv", ["h", "w"], ["y"], pads=[1, 0, 0, 0]),
    ]
    assert check(nodes, X, weights, "fold") == kinds


def test_operators_of_constants_are_computed(check) -> None:
    nodes = [
        node("Gather", ["table", "index"], ["g"], "lookup"),
        node("Exp", ["g"], ["e"]),
        node("Transpose", ["e"], ["t"], "turned"),
        node("Mul", ["x", "t"], ["y"]),
    ]
    weights = {"table": noise(5, 3), "index": np.array([4, 0])}
    inputs = {"x": noise(3, 2)}
    assert check(nodes, inputs, weights, "fold") == ["Mul"]


def test_constants_beyond_the_limit_are_not_computed(make_model, op_types, run_passes) -> None:
    nodes = [node("Expand", ["c", "shape"], ["e"]), node("Mul", ["x", "e"], ["y"])]
    weights = {"c": noise(1), "shape": np.array([600, 1000])}
    model = make_model(nodes, {"x": noise(600, 1000)}, weights)
    for limit, kinds in ((2, ["Expand", "Mul"]), (3, ["Mul"])):  # it takes 2.3 MiB
        network = load_onnx(model)
        run_passes(network, f"fold{{limit_mib={limit}}}")
        assert op_types(network) == kinds
    with pytest.raises(PassError, match="limit_mib must not be -1"):
        run_passes(load_onnx(model), "fold{limit_mib=-1}")


def test_additions_of_constants_are_merged(check) -> None:
    nodes = [node("Add", ["x", "a"], ["h"]), node("Add", ["b", "h"], ["y"])]
    weights = {"a": noise(3, 1), "b": noise(2, 1, 4, seed=1)}
    assert check(nodes, {"x": noise(2, 3, 4)}, weights, "fold") == ["Add"]


def test_decided_ops_stay(make_model, op_types, run_passes) -> None:
    model = make_model([conv(), NORM], X, W | norm_weights(6))
    for kind in (MatmulOp, DigitalOp):
        network = load_onnx(model)
        op = next(op for op in network.module.body.block.ops if isinstance(op, kind))
        op.properties["quant"] = Quant(scale=0.1, zero_point=0)
        run_passes(network, "fold")
        assert op_types(network) == ["matmul", "BatchNormalization"]
        assert "quant" in op.properties


def test_entries_of_the_store_are_added_never_changed(make_model, run_passes) -> None:
    network = load_onnx(make_model([conv(), NORM], X, W | norm_weights(6)))
    before = {name: array.copy() for name, array in network.store.entries.items()}
    run_passes(network, "fold")
    assert all(np.array_equal(network.store[name], array) for name, array in before.items())
    assert network.store.entries.keys() - before.keys() == {"w.folded", "b.folded"}


def test_shared_weights_are_folded_for_each_user(check) -> None:
    nodes = [
        node("MatMul", ["x", "w"], ["h"], "one"),
        node("Mul", ["h", "g"], ["a"]),
        node("MatMul", ["a", "w"], ["y"], "two"),
    ]
    weights = {"w": noise(5, 5), "g": noise(5, seed=1)}
    assert check(nodes, {"x": noise(2, 5)}, weights, "fold") == ["matmul", "matmul"]


@pytest.mark.parametrize(
    ("name", "gone"),
    [("resnet18", "BatchNormalization"), ("bert-tiny", None), ("squeezenet", None)],
)
def test_networks(name: str, gone: str | None, difference, run_reference, run_passes) -> None:
    model = models.build(name)
    rng = np.random.default_rng(0)
    inputs = {
        i.name: rng.integers(0, 30522, i.shape)
        if i.dtype == "int64"
        else rng.standard_normal(i.shape, np.float32)
        for i in models.describe(name).inputs
    }
    network = load_onnx(model)
    run_passes(network, "fold,canonicalize")
    assert difference(network, inputs, run_reference(model, inputs)) < 1e-4
    text = str(network.module)
    assert gone is None or gone not in text
    run_passes(network, "fold,canonicalize")  # again: nothing is left to do
    assert str(network.module) == text
