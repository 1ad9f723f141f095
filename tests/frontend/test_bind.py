"""Binding of dynamic dimensions and scalar inputs, and folding of what follows from them."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from imccompiler import models
from imccompiler.errors import ModelError
from imccompiler.frontend import load_onnx

node = helper.make_node


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def dynamic(*dims: int | str | None, extra: Any = ()) -> onnx.ModelProto:
    """Relu of an input with these dimensions, plus `extra` inputs that nothing uses."""
    graph = helper.make_graph(
        [node("Relu", ["x"], ["y"])],
        "dynamic",
        [helper.make_tensor_value_info("x", 1, dims), *extra],
        [helper.make_tensor_value_info("y", 1, dims)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def input_shape(network: Any) -> tuple[int, ...]:
    return next(iter(network.module.body.block.ops)).result.type.get_shape()


def test_all_unbound_dimensions_are_listed() -> None:
    with pytest.raises(ModelError, match=r"dimensions batch, length, x\.2 (.|\n)*--bind x\.2=N"):
        load_onnx(dynamic("batch", "length", None))


def test_binding_by_name_and_by_axis() -> None:
    network = load_onnx(dynamic("batch", "length", None), {"batch": 2, "length": 5, "x.2": 7})
    assert input_shape(network) == (2, 5, 7)
    assert dict(network.bindings) == {"batch": 2, "length": 5, "x.2": 7}
    assert network.notes == ()


def test_batch_of_images_is_one_and_noted() -> None:
    network = load_onnx(dynamic("N", 3, 8, 8))
    assert input_shape(network) == (1, 3, 8, 8)
    assert network.notes == ("dimension N was bound to 1",)
    assert input_shape(load_onnx(dynamic("N", 3, 8, 8), {"N": 4})) == (4, 3, 8, 8)


def test_sizes_of_images_have_no_default() -> None:
    with pytest.raises(ModelError, match="dimensions h, w are not bound"):
        load_onnx(dynamic("N", 3, "h", "w"))


@pytest.mark.parametrize("value", [0, -1, 2.5, True])
def test_impossible_sizes(value: Any) -> None:
    with pytest.raises(ModelError, match=f"dimension 'n': cannot be {value}"):
        load_onnx(dynamic("n"), {"n": value})


def test_unknown_names() -> None:
    with pytest.raises(ModelError, match=r"'m' to bind(.|\n)*there are n, x"):
        load_onnx(dynamic("n"), {"n": 1, "m": 1})


def scaled(mode_shape: list[int], kind: int) -> onnx.ModelProto:
    """x * s with an input s."""
    graph = helper.make_graph(
        [node("Mul", ["x", "s"], ["y"])],
        "scaled",
        [
            helper.make_tensor_value_info("x", kind, [2]),
            helper.make_tensor_value_info("s", kind, mode_shape),
        ],
        [helper.make_tensor_value_info("y", kind, None)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize("shape", [[], [1]])
def test_scalar_inputs_become_constants(shape: list[int]) -> None:
    network = load_onnx(scaled(shape, TensorProto.FLOAT), {"s": 2.5})
    assert network.store["s"].tolist() == (2.5 if not shape else [2.5])
    ports = [op.port.data for op in network.module.body.block.ops if op.name == "imc.input"]
    assert ports == ["x"]


def test_only_scalars_of_the_right_type_can_be_bound() -> None:
    with pytest.raises(ModelError, match="only a scalar"):
        load_onnx(scaled([2], TensorProto.FLOAT), {"s": 1.0})
    with pytest.raises(ModelError, match=r"cannot be 2\.5: its elements are int64"):
        load_onnx(scaled([], TensorProto.INT64), {"s": 2.5})


def test_dynamic_bert_equals_static(difference, run_reference) -> None:
    model = models.build("bert-tiny", dynamic=True, mask=True)
    network = load_onnx(model, {"sequence": 12})
    rng = np.random.default_rng(0)
    inputs = {
        "input_ids": rng.integers(0, 30522, (1, 12)),
        "attention_mask": (np.arange(12) < 9).astype(np.int64)[None],
    }
    assert difference(network, inputs, run_reference(model, inputs)) < 1e-5
    kinds = {o.op_type for o in network.coverage.operators}
    assert not kinds & {"Shape", "Slice", "Concat", "ConstantOfShape"}


def branching(condition_input: bool) -> onnx.ModelProto:
    """If(rank-dependent or given condition): Relu or Neg."""

    def branch(op: str, name: str) -> onnx.GraphProto:
        out = helper.make_tensor_value_info(name, 1, None)
        return helper.make_graph([node(op, ["x"], [name])], op, [], [out])

    condition = (
        []
        if condition_input
        else [
            node("Shape", ["x"], ["shape"]),
            node("ReduceProd", ["shape"], ["size"], keepdims=0),
            node("Greater", ["size", "ten"], ["c"]),
        ]
    )
    inputs = [helper.make_tensor_value_info("x", 1, ["n", 3])]
    if condition_input:
        inputs.append(helper.make_tensor_value_info("c", TensorProto.BOOL, []))
    graph = helper.make_graph(
        [
            *condition,
            node(
                "If",
                ["c"],
                ["y"],
                "choice",
                then_branch=branch("Relu", "a"),
                else_branch=branch("Neg", "b"),
            ),
        ],
        "branching",
        inputs,
        [helper.make_tensor_value_info("y", 1, ["n", 3])],
        [helper.make_tensor("ten", TensorProto.INT64, [], [10])],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.mark.parametrize(("n", "kind"), [(2, "Neg"), (5, "Relu")])
def test_branches_are_decided_by_shapes(op_types, n: int, kind: str) -> None:
    assert op_types(load_onnx(branching(False), {"n": n})) == [kind]


@pytest.mark.parametrize(("c", "kind"), [(0, "Neg"), (1, "Relu")])
def test_branches_are_decided_by_a_bound_input(op_types, c: int, kind: str) -> None:
    assert op_types(load_onnx(branching(True), {"n": 1, "c": c})) == [kind]


def test_branches_that_depend_on_data_are_refused() -> None:
    with pytest.raises(ModelError, match=r"node 'choice' \(If\): which nodes run depends"):
        load_onnx(branching(True), {"n": 1})


def test_functions_are_inlined(check_function) -> None:
    assert check_function == ["Relu", "Neg"]


@pytest.fixture
def check_function(op_types) -> list[str]:
    model = dynamic(2, 3)
    model.graph.node[0].CopyFrom(node("Twice", ["x"], ["y"], domain="local"))
    body = [node("Relu", ["a"], ["h"]), node("Neg", ["h"], ["b"])]
    opsets = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("local", "Twice", ["a"], ["b"], body, opsets))
    model.opset_import.append(helper.make_opsetid("local", 1))
    return op_types(load_onnx(model))


def test_folding_is_bounded(make_model) -> None:
    nodes = [
        node("ConstantOfShape", ["huge"], ["c"]),
        node("Neg", ["c"], ["w"]),
        node("MatMul", ["x", "w"], ["y"], "layer"),
    ]
    weights = {"huge": np.array([2**20, 2**10])}
    model = make_model(nodes, {"x": noise(1, 2**20)}, weights)
    with pytest.raises(ModelError, match="too large"):
        load_onnx(model)
