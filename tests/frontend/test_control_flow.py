"""If, Loop, Scan, functions and sequences: flat and equal to ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from imccompiler.errors import ModelError
from imccompiler.frontend import load_onnx

node = helper.make_node
INT, BOOL, FLOAT = TensorProto.INT64, TensorProto.BOOL, TensorProto.FLOAT


def info(name: str, shape: Any = None, kind: int = FLOAT) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, kind, shape)


def tensor(name: str, value: Any, dtype: Any = np.int64) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value, dtype), name)


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape, np.float32)


def model(
    nodes: Sequence[onnx.NodeProto],
    inputs: Sequence[onnx.ValueInfoProto],
    outputs: Sequence[str],
    constants: Sequence[onnx.TensorProto] = (),
    functions: Sequence[onnx.FunctionProto] = (),
    opset: int = 17,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes, "flow", inputs, [info(name) for name in outputs], list(constants)
    )
    opsets = [
        helper.make_opsetid("", opset),
        *(helper.make_opsetid(f.domain, 1) for f in functions),
    ]
    return helper.make_model(
        graph,
        opset_imports=opsets,
        ir_version=8,
        functions=list({f.name: f for f in functions}.values()),
    )


@pytest.fixture
def same(difference, run_reference) -> Callable[..., Any]:
    """Import, run, compare with ONNX Runtime; the network."""

    def same(proto: onnx.ModelProto, *shapes: tuple[int, ...]) -> Any:
        inputs = {
            value.name: noise(*shape, seed=i)
            for i, (value, shape) in enumerate(zip(proto.graph.input, shapes, strict=True))
        }
        network = load_onnx(proto)
        plain = onnx.ModelProto.FromString(proto.SerializeToString())
        for each in plain.graph.node:  # ONNX Runtime, unlike ONNX, wants other names for each
            each.ClearField("name")
        assert difference(network, inputs, run_reference(plain, inputs)) < 1e-5
        return network

    return same


def recurrence(trips: int | None, *, weight: str = "w") -> onnx.ModelProto:
    """h = tanh(h @ w) over and over, and a list of all h; stops where i >= 3."""
    body = helper.make_graph(
        [
            node("MatMul", ["h", weight], ["p"], "step"),
            node("Tanh", ["p"], ["next"], "act"),
            node("Less", ["i", "last"], ["again"]),
            node("Identity", ["next"], ["seen"]),
        ],
        "body",
        [info("i", [], INT), info("going", [], BOOL), info("h", [1, 4])],
        [info("again", [], BOOL), info("next", [1, 4]), info("seen", [1, 4])],
        [tensor("last", 3)],
    )
    constants = [tensor("w", noise(4, 4, seed=9), np.float32)]
    if trips is not None:
        constants.append(tensor("n", trips))
    loop = node("Loop", ["n" if trips is not None else "", "", "x"], ["y", "all"], "rnn", body=body)
    return model([loop], [info("x", [1, 4])], ["y", "all"], constants)


@pytest.mark.parametrize(("trips", "times"), [(1, 1), (3, 3), (100, 4), (None, 4)])
def test_loop_is_unrolled(same, op_types, trips: int | None, times: int) -> None:
    network = same(recurrence(trips), (1, 4))
    assert op_types(network).count("matmul") == times
    assert list(network.store).count("w") == 1  # captured, not copied
    sources = [op.properties["source"].node for op in network.module.body.block.ops
               if op.name == "imc.matmul"]  # fmt: skip
    assert sources == [f"rnn/{i}/step" for i in range(times)]


def test_loop_over_data_is_refused() -> None:
    proto = recurrence(3)
    proto.graph.input.append(info("n", [], INT))
    del proto.graph.initializer[1]
    with pytest.raises(ModelError, match=r"node 'rnn' \(Loop\): which nodes run depends"):
        load_onnx(proto)
    assert load_onnx(proto, {"n": 2}).coverage.crossbar_macs == 2 * 16


def test_loops_are_bounded() -> None:
    body = helper.make_graph(
        [node("Tanh", ["h"], ["next"]), node("Identity", ["going"], ["again"])],
        "body",
        [info("i", [], INT), info("going", [], BOOL), info("h", [2])],
        [info("again", [], BOOL), info("next", [2])],
    )
    loop = node("Loop", ["n", "", "x"], ["y"], "endless", body=body)
    proto = model([loop], [info("x", [2])], ["y"], [tensor("n", 10**12)])
    with pytest.raises(ModelError, match=r"node 'endless' \(Loop\): runs more than 20,000 times"):
        load_onnx(proto)
    proto.graph.node[0].input[0] = ""
    with pytest.raises(ModelError, match="more than 20,000 times"):
        load_onnx(proto)


def test_loop_that_does_not_run_hands_its_state_on(op_types) -> None:
    proto = recurrence(0)
    del proto.graph.output[1]
    assert op_types(load_onnx(proto)) == []


@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_scan_is_unrolled(same, op_types, axis: int, reverse: int) -> None:
    body = helper.make_graph(
        [node("Add", ["s", "e"], ["t"]), node("Relu", ["t"], ["o"])],
        "body",
        [info("s", [3]), info("e", [3])],
        [info("t", [3]), info("o", [3])],
    )
    scan = node(
        "Scan", ["s0", "x"], ["final", "y"], "scan", body=body, num_scan_inputs=1,
        scan_input_axes=[axis % 2], scan_input_directions=[reverse], scan_output_axes=[axis],
        scan_output_directions=[1 - reverse],
    )  # fmt: skip
    proto = model([scan], [info("s0", [3]), info("x", [3, 3])], ["final", "y"])
    assert op_types(same(proto, (3,), (3, 3))).count("Relu") == 3


def test_names_of_bodies_may_clash_with_those_around_them(same) -> None:
    """Both branches and the graph call their tensors and nodes the same."""

    def branch(op: str) -> onnx.GraphProto:
        nodes = [node(op, ["x"], ["h"], "n"), node("Mul", ["h", "w"], ["o"], "n2")]
        weights = [tensor("w", noise(3, seed=len(op)), np.float32)]
        return helper.make_graph(nodes, "g", [], [info("o", [3])], weights)

    nodes = [
        node("If", ["yes"], ["a"], "n", then_branch=branch("Relu"), else_branch=branch("Abs")),
        node("If", ["no"], ["b"], "n", then_branch=branch("Tanh"), else_branch=branch("Neg")),
        node("Add", ["a", "b"], ["c"], "n"),
        node("Mul", ["c", "w"], ["y"], "n2"),
    ]
    constants = [
        tensor("yes", True, bool), tensor("no", False, bool), tensor("w", noise(3), np.float32)
    ]  # fmt: skip
    network = same(model(nodes, [info("x", [3])], ["y"], constants), (3,))
    assert len(set(network.store)) == 3


def test_loops_within_branches_within_loops(same, op_types) -> None:
    inner = helper.make_graph(
        [node("Add", ["v", "outer"], ["v2"]), node("Identity", ["d"], ["d2"])],
        "inner",
        [info("j", [], INT), info("d", [], BOOL), info("v", [2])],
        [info("d2", [], BOOL), info("v2", [2])],
    )
    loop = node("Loop", ["two", "", "h"], ["r"], "inner", body=inner)
    then = helper.make_graph([loop], "then", [], [info("r", [2])])
    other = helper.make_graph([node("Neg", ["h"], ["q"])], "other", [], [info("q", [2])])
    body = helper.make_graph(
        [
            node("Mod", ["i", "two"], ["odd"]),
            node("Cast", ["odd"], ["is_odd"], to=BOOL),
            node("If", ["is_odd"], ["n"], "choice", then_branch=then, else_branch=other),
            node("Identity", ["c"], ["c2"]),
        ],
        "body",
        [info("i", [], INT), info("c", [], BOOL), info("h", [2])],
        [info("c2", [], BOOL), info("n", [2])],
    )
    nodes = [node("Relu", ["x"], ["outer"]), node("Loop", ["four", "", "x"], ["y"], body=body)]
    proto = model(nodes, [info("x", [2])], ["y"], [tensor("two", 2), tensor("four", 4)])
    kinds = op_types(same(proto, (2,)))
    assert (kinds.count("Neg"), kinds.count("Add")) == (2, 4)


def twice(domain: str = "local", opset: int = 17) -> list[onnx.FunctionProto]:
    """Scale(x; by) = Mul(x, by); Twice calls it two times."""
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid(domain, 1)]
    constant = onnx.NodeProto(op_type="Constant", output=["by"])
    constant.attribute.add(name="value_float", ref_attr_name="by", type=onnx.AttributeProto.FLOAT)
    scale = helper.make_function(
        domain,
        "Scale",
        ["x"],
        ["y"],
        [constant, node("Mul", ["x", "by"], ["y"], "mul")],
        opsets,
        ["by"],
    )
    calls = [
        node("Scale", ["x"], ["y"], "first", domain=domain, by=3.0),
        node("Scale", ["y"], ["z"], "second", domain=domain, by=0.5),
    ]
    return [scale, helper.make_function(domain, "Twice", ["x"], ["z"], calls, opsets)]


def test_functions_within_functions_are_inlined(same, op_types) -> None:
    nodes = [
        node("Twice", ["x"], ["h"], "t", domain="local"),
        node("Twice", ["h"], ["y"], "t", domain="local"),
    ]
    network = same(model(nodes, [info("x", [3])], ["y"], functions=twice()), (3,))
    assert op_types(network) == ["Mul"] * 4
    assert sorted(float(v.item()) for v in network.store.entries.values()) == [0.5, 0.5, 3.0, 3.0]


def test_function_that_calls_itself_is_refused() -> None:
    function = helper.make_function(
        "local", "F", ["x"], ["y"], [node("F", ["x"], ["y"], "again", domain="local")],
        [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)],
    )  # fmt: skip
    proto = model(
        [node("F", ["x"], ["y"], domain="local")], [info("x", [3])], ["y"], functions=[function]
    )
    with pytest.raises(ModelError, match="does a function call itself"):
        load_onnx(proto)


def test_functions_that_multiply_are_bounded() -> None:
    """Each level calls the next ten times: 10^20 nodes."""
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    functions = [
        helper.make_function("local", "F0", ["x0"], ["y"], [node("Neg", ["x0"], ["y"])], opsets)
    ]
    for level in range(1, 20):
        calls = [node(f"F{level - 1}", [f"x{i}"], [f"x{i + 1}"], domain="local") for i in range(10)]
        functions.append(helper.make_function("local", f"F{level}", ["x0"], ["x10"], calls, opsets))
    proto = model(
        [node("F19", ["x"], ["y"], domain="local")], [info("x", [3])], ["y"], functions=functions
    )
    with pytest.raises(ModelError, match="unroll to more than 100,000 nodes"):
        load_onnx(proto)


def test_function_of_another_version_is_converted() -> None:
    """Softmax with axis 1 was flat before version 13: the conversion keeps that."""
    function = helper.make_function(
        "local", "Old", ["a"], ["b"], [node("Softmax", ["a"], ["b"], axis=1)],
        [helper.make_opsetid("", 11)],
    )  # fmt: skip
    proto = model(
        [node("Old", ["x"], ["y"], domain="local")], [info("x", [1, 2, 3])], ["y"],
        functions=[function],
    )  # fmt: skip
    network = load_onnx(proto)
    from imccompiler.simulator.float_model import run_float  # noqa: PLC0415

    found = run_float(network.module, network.store, {"x": noise(1, 2, 3)})["y"]
    assert found.sum() == pytest.approx(1, abs=1e-5)


def test_sequences_vanish(same) -> None:
    body = helper.make_graph(
        [
            node("Relu", ["h"], ["r"]),
            node("Neg", ["h"], ["n"]),
            node("SequenceInsert", ["s", "r"], ["t"]),
            node("Identity", ["c"], ["c2"]),
        ],
        "body",
        [info("i", [], INT), info("c", [], BOOL), info("h", [2, 2]),
         helper.make_tensor_sequence_value_info("s", FLOAT, None)],
        [info("c2", [], BOOL), info("n", [2, 2]),
         helper.make_tensor_sequence_value_info("t", FLOAT, None)],
    )  # fmt: skip
    nodes = [
        node("SequenceEmpty", [], ["s0"]),
        node("Loop", ["three", "", "x", "s0"], ["last", "s3"], body=body),
        node("SequenceAt", ["s3", "one"], ["second"]),
        node("SequenceErase", ["s3", "one"], ["s2"]),
        node("ConcatFromSequence", ["s2"], ["flat"], axis=1),
        node("ConcatFromSequence", ["s3"], ["stack"], axis=-1, new_axis=1),
        node("SequenceLength", ["s2"], ["length"]),
        node("SplitToSequence", ["x"], ["rows"], axis=0, keepdims=0),
        node("SequenceAt", ["rows", "minus"], ["row"]),
    ]
    constants = [tensor("three", 3), tensor("one", 1), tensor("minus", -1)]
    outputs = ["last", "second", "flat", "stack", "row"]
    same(model(nodes, [info("x", [2, 2])], outputs, constants), (2, 2))


def test_weights_in_bodies_and_functions(same) -> None:
    """Constants of bodies, large ones among them, are found and are there once."""
    weight = noise(4, 200 * 100, seed=3)
    then = helper.make_graph(
        [node("MatMul", ["x", "w"], ["o"], "m")], "g", [], [info("o", [1, 20_000])],
        [tensor("w", weight, np.float32)],
    )  # fmt: skip
    other = helper.make_graph([node("Neg", ["x"], ["o"])], "h", [], [info("o", [1, 4])])
    nodes = [node("If", ["yes"], ["y"], "if", then_branch=then, else_branch=other)]
    network = same(model(nodes, [info("x", [1, 4])], ["y"], [tensor("yes", True, bool)]), (1, 4))
    assert list(network.store) == ["if/w"]


def test_dead_nodes_do_not_matter(op_types) -> None:
    nodes = [node("NonZero", ["x"], ["unused"]), node("Relu", ["x"], ["y"])]
    assert op_types(load_onnx(model(nodes, [info("x", [3])], ["y"]))) == ["Relu"]
