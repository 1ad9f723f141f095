"""Digital operators in their one form, compared with ONNX Runtime; several opsets each."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from onnx import helper

from imccompiler.errors import ModelError
from imccompiler.frontend import load_onnx
from imccompiler.ir.dialect import DigitalOp

node = helper.make_node


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def ints(*values: int) -> np.ndarray:
    return np.array(values, np.int64)


def only_attributes(network: Any) -> dict[str, Any]:
    (op,) = [o for o in network.module.body.block.ops if isinstance(o, DigitalOp)]
    return op.python_attributes()


UNARY = (
    *("Abs", "Ceil", "Cos", "Erf", "Exp", "Floor", "HardSwish", "Mish", "Neg", "Reciprocal"),
    *("Relu", "Round", "Selu", "Sigmoid", "Sign", "Sin", "Softplus", "Softsign", "Tanh"),
)


@pytest.mark.parametrize("op", UNARY)
def test_unary(check, op: str) -> None:
    opset = 22 if op in {"Mish", "HardSwish"} else 17
    assert check(node(op, ["x"], ["y"]), {"x": noise(2, 3, 4)}, opset=opset) == [op]


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("Celu", {"alpha": 0.7}),
        ("Elu", {"alpha": 0.7}),
        ("HardSigmoid", {}),
        ("LeakyRelu", {"alpha": 0.3}),
        ("ThresholdedRelu", {"alpha": 0.4}),
        ("Gelu", {"approximate": "tanh"}),
        ("Gelu", {}),
    ],
)
def test_unary_with_attributes(check, op: str, attributes: dict[str, Any]) -> None:
    opset = 20 if op == "Gelu" else 17
    assert check(node(op, ["x"], ["y"], **attributes), {"x": noise(2, 9)}, opset=opset) == [op]


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow"])
def test_binary_broadcasts(check, op: str) -> None:
    inputs = {"a": np.abs(noise(2, 3, 1, 4)) + 0.1, "b": np.abs(noise(3, 5, 1, seed=1)) + 0.1}
    assert check(node(op, ["a", "b"], ["y"]), inputs) == [op]


def test_sum_is_a_chain_of_additions(check) -> None:
    inputs = {"a": noise(3, 1), "b": noise(3, 4, seed=1), "c": noise(1, 4, seed=2)}
    assert check(node("Sum", ["a", "b", "c"], ["y"]), inputs) == ["Add", "Add"]


@pytest.mark.parametrize(
    ("op", "attributes"),
    [
        ("MaxPool", {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]}),
        ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
        ("MaxPool", {"kernel_shape": [3, 3], "dilations": [2, 1]}),
        ("MaxPool", {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_UPPER"}),
        ("MaxPool", {"kernel_shape": [2, 3], "strides": [2, 2], "auto_pad": "SAME_LOWER"}),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
        ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1}),
        ("LpPool", {"kernel_shape": [2, 2], "p": 2}),
        ("GlobalAveragePool", {}),
        ("GlobalMaxPool", {}),
    ],
)
def test_pools(check, op: str, attributes: dict[str, Any]) -> None:
    assert check(node(op, ["x"], ["y"], **attributes), {"x": noise(1, 3, 7, 7)}) == [op]


def test_pool_attributes_are_spelled_out(make_model) -> None:
    pool = node("MaxPool", ["x"], ["y"], kernel_shape=[2, 3], auto_pad="SAME_UPPER")
    network = load_onnx(make_model([pool], {"x": noise(1, 3, 7, 7)}))
    assert only_attributes(network) == {
        "kernel_shape": (2, 3),
        "strides": (1, 1),
        "dilations": (1, 1),
        "pads": (0, 1, 1, 1),
        "ceil_mode": 0,
    }


@pytest.mark.parametrize(
    ("op", "attributes", "weights"),
    [
        ("BatchNormalization", {"epsilon": 0.01}, [(3,), (3,), (3,), (3,)]),
        ("InstanceNormalization", {"epsilon": 0.01}, [(3,), (3,)]),
        ("LayerNormalization", {"axis": -1}, [(5,), (5,)]),
        ("LayerNormalization", {"axis": 2}, [(4, 5)]),
        ("LRN", {"size": 3}, []),
    ],
)
def test_normalisations(check, op: str, attributes: Any, weights: Any) -> None:
    tensors = {f"w{i}": np.abs(noise(*shape, seed=i)) + 0.1 for i, shape in enumerate(weights)}
    norm = node(op, ["x", *tensors], ["y"], **attributes)
    assert check(norm, {"x": noise(1, 3, 4, 5)}, tensors) == [op]


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("axis", [None, 0, 1, -1])
@pytest.mark.parametrize("opset", [11, 17])
def test_softmax_before_and_since_version_13(check, op: str, axis: Any, opset: int) -> None:
    attributes = {} if axis is None else {"axis": axis}
    kinds = check(node(op, ["x"], ["y"], **attributes), {"x": noise(2, 3, 4)}, opset=opset)
    assert kinds.count(op) == 1


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceMax", "ReduceSum", "ReduceL2"])
@pytest.mark.parametrize(("axes", "keepdims"), [([1], 1), ([-1, 0], 0), (None, 1)])
def test_reductions(check, op: str, opset: int, axes: Any, keepdims: int) -> None:
    as_input = opset == 18 and axes is not None
    attributes = {"keepdims": keepdims} | ({} if as_input or axes is None else {"axes": axes})
    weights = {"axes": ints(*axes)} if as_input else {}
    reduce = node(op, ["x", *weights], ["y"], **attributes)
    inputs = {"x": noise(2, 3, 4)}
    assert check(reduce, inputs, weights, opset=opset) == [op]


@pytest.mark.parametrize(("axes", "expected"), [([-1, 0], (0, 2)), (None, (0, 1, 2))])
def test_axes_of_reductions(make_model, axes: Any, expected: Any) -> None:
    attributes = {} if axes is None else {"axes": axes}
    reduce = node("ReduceMean", ["x"], ["y"], **attributes)
    network = load_onnx(make_model([reduce], {"x": noise(2, 3, 4)}))
    assert only_attributes(network) == {"axes": expected, "keepdims": 1}


@pytest.mark.parametrize(
    ("starts", "ends", "axes", "steps"),
    [
        ([1], [3], [0], None),
        ([-3, 0], [2**62, -1], [-1, 1], [1, 2]),
        ([-1], [-(2**62)], [2], [-1]),
        ([3, 1, 0], [0, 2, 4], None, [-2, 1, 3]),
    ],
)
def test_slice(check, starts: Any, ends: Any, axes: Any, steps: Any) -> None:
    weights = {"starts": ints(*starts), "ends": ints(*ends)}
    weights |= {} if axes is None else {"axes": ints(*axes)}
    weights |= {} if steps is None else {"steps": ints(*steps)}
    names = [name if name in weights else "" for name in ("starts", "ends", "axes", "steps")]
    while not names[-1]:
        names.pop()
    assert check(node("Slice", ["x", *names], ["y"]), {"x": noise(4, 5, 6)}, weights) == ["Slice"]


def test_slice_of_everything_vanishes(check) -> None:
    nodes = [
        node("Slice", ["x", "starts", "ends"], ["h"]),
        node("Relu", ["h"], ["y"]),
    ]
    weights = {"starts": ints(0), "ends": ints(99)}
    assert check(nodes, {"x": noise(4, 5)}, weights) == ["Relu"]


@pytest.mark.parametrize("opset", [11, 13, 18])
def test_split_is_slices(check, opset: int) -> None:
    inputs = {"x": noise(2, 7)}
    if opset == 11:
        split, weights = node("Split", ["x"], ["y", "z"], axis=1, split=[3, 4]), {}
    elif opset == 13:
        split = node("Split", ["x", "split"], ["y", "z"], axis=-1)
        weights = {"split": ints(3, 4)}
    else:
        split, weights = node("Split", ["x"], ["y", "z"], axis=1, num_outputs=2), {}
    kinds = check(split, inputs, weights, opset=opset, outputs=("y", "z"))
    assert kinds == ["Slice", "Slice"]


@pytest.mark.parametrize("opset", [11, 17])
def test_squeeze_and_unsqueeze(check, opset: int) -> None:
    attributes, weights, names = {"axes": [0, -1]}, {}, []
    if opset == 17:
        attributes, weights, names = {}, {"axes": ints(0, -1)}, ["axes"]
    unsqueeze = node("Unsqueeze", ["x", *names], ["y"], **attributes)
    assert check(unsqueeze, {"x": noise(3, 4)}, weights, opset=opset) == ["Unsqueeze"]
    squeeze = node("Squeeze", ["x", *names], ["y"], **attributes)
    assert check(squeeze, {"x": noise(1, 3, 1)}, weights, opset=opset) == ["Squeeze"]
    every = node("Squeeze", ["x"], ["y"])
    assert check(every, {"x": noise(1, 3, 1)}, opset=opset) == ["Squeeze"]


@pytest.mark.parametrize("mode", ["constant", "reflect", "edge"])
@pytest.mark.parametrize("opset", [7, 17, 19])
def test_pad(check, mode: str, opset: int) -> None:
    x = {"x": noise(1, 2, 4, 5)}
    if opset == 7:
        pad = node("Pad", ["x"], ["y"], mode=mode, pads=[0, 0, 1, 2, 0, 0, 0, 1], value=0.5)
        weights = {}
    elif opset == 17:
        weights = {"pads": ints(0, 0, 1, 2, 0, 0, 0, 1), "value": np.float32(0.5)}
        pad = node("Pad", ["x", "pads", "value"], ["y"], mode=mode)
    else:
        weights = {"pads": ints(2, 1, 1, 0), "axes": ints(-1, 2)}
        pad = node("Pad", ["x", "pads", "", "axes"], ["y"], mode=mode)
    assert check(pad, x, weights, opset=opset) == ["Pad"]


@pytest.mark.parametrize(
    "attributes",
    [{"min": -0.5, "max": 0.5}, {"min": 0.0}, {"max": 6.0}, {}],
)
@pytest.mark.parametrize("opset", [7, 13])
def test_clip(check, make_model, attributes: Any, opset: int) -> None:
    bounds = {name: np.float32(value) for name, value in attributes.items()}
    if opset == 7:
        clip = node("Clip", ["x"], ["y"], **{k: float(v) for k, v in bounds.items()})
        weights = {}
    else:
        clip = node("Clip", ["x", *(k if k in bounds else "" for k in ("min", "max"))], ["y"])
        weights = bounds
    inputs = {"x": 5 * noise(3, 4)}
    assert check(clip, inputs, weights, opset=opset) == ["Clip"]
    network = load_onnx(make_model([clip], inputs, weights, opset=opset))
    assert only_attributes(network) == attributes


@pytest.mark.parametrize(
    ("attributes", "weights"),
    [
        ({"mode": "nearest"}, {"scales": np.float32([1, 1, 2, 1.5])}),
        ({"mode": "linear"}, {"scales": np.float32([1, 1, 2, 0.6])}),
        ({"mode": "linear", "coordinate_transformation_mode": "align_corners"}, {}),
        ({"mode": "nearest", "coordinate_transformation_mode": "asymmetric"}, {}),
        ({"mode": "nearest", "nearest_mode": "floor"}, {}),
    ],
)
def test_resize(check, attributes: Any, weights: Any) -> None:
    weights = weights or {"sizes": ints(1, 2, 7, 9)}
    names = ["x", "", "scales" if "scales" in weights else "", *(["sizes"] * ("sizes" in weights))]
    assert check(node("Resize", names, ["y"], **attributes), {"x": noise(1, 2, 5, 4)}, weights) == [
        "Resize"
    ]


def test_upsample_is_resize(check) -> None:
    upsample = node("Upsample", ["x", "scales"], ["y"], mode="nearest")
    scales = {"scales": np.float32([1, 1, 2, 3])}
    assert check(upsample, {"x": noise(1, 2, 5, 4)}, scales, opset=9) == ["Resize"]


@pytest.mark.parametrize(
    ("op", "shape", "attributes", "weights"),
    [
        ("Reshape", (2, 3, 4), {}, {"shape": ints(0, -1)}),
        ("Flatten", (2, 3, 4), {"axis": -1}, {}),
        ("Transpose", (2, 3, 4), {"perm": [2, 0, 1]}, {}),
        ("Transpose", (2, 3, 4), {}, {}),
        ("Expand", (3, 1), {}, {"shape": ints(2, 1, 4)}),
        ("Tile", (2, 3), {}, {"repeats": ints(2, 1)}),
        ("Gather", (4, 3), {"axis": -1}, {"indices": ints(2, 0, -1)}),
        ("DepthToSpace", (1, 8, 2, 3), {"blocksize": 2}, {}),
        ("DepthToSpace", (1, 8, 2, 3), {"blocksize": 2, "mode": "CRD"}, {}),
        ("SpaceToDepth", (1, 2, 4, 6), {"blocksize": 2}, {}),
    ],
)
def test_movements(check, op: str, shape: Any, attributes: Any, weights: Any) -> None:
    moved = node(op, ["x", *weights], ["y"], **attributes)
    assert check(moved, {"x": noise(*shape)}, weights) == [op]


def test_concat(check) -> None:
    inputs = {"a": noise(2, 3), "b": noise(2, 4, seed=1)}
    assert check(node("Concat", ["a", "b"], ["y"], axis=-1), inputs) == ["Concat"]


def test_what_does_nothing_vanishes(check) -> None:
    nodes = [
        node("Identity", ["x"], ["a"]),
        node("Dropout", ["a"], ["b"]),
        node("Cast", ["b"], ["c"], to=1),
        node("Concat", ["c"], ["d"], axis=0),
        node("Relu", ["d"], ["y"]),
        node("Exp", ["x"], ["unused"]),
    ]
    assert check(nodes, {"x": noise(2, 3)}) == ["Relu"]


def test_second_output_is_told_by_an_attribute(make_model) -> None:
    pool = node("MaxPool", ["x"], ["y", "indices"], kernel_shape=[2, 2])
    network = load_onnx(make_model([pool], {"x": noise(1, 1, 4, 4)}, outputs=["indices"]))
    assert only_attributes(network)["output"] == 1


def test_floats_are_the_shortest_that_mean_the_same(make_model) -> None:
    relu = node("LeakyRelu", ["x"], ["y"], alpha=0.1)
    network = load_onnx(make_model([relu], {"x": noise(3)}))
    assert only_attributes(network) == {"alpha": 0.1}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (node("RandomNormalLike", ["x"], ["y"], "n"), "random"),
        (node("Reshape", ["x", "shape"], ["y"], "n"), "shape of tensor 'y' is not known"),
        (node("NonZero", ["x"], ["y"], "n"), "elements its result 'y' has depends on data"),
    ],
)
def test_what_depends_on_data_is_refused(make_model, wrong: Any, message: str) -> None:
    inputs = {"x": noise(2, 3), "shape": ints(3, 2), "low": np.float32(0.0)}
    with pytest.raises(ModelError, match=f"node 'n'.*{message}"):
        load_onnx(make_model([wrong], inputs))
