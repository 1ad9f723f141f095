"""Digital functions in parts: the same codes as in one piece, on several cores."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imccompiler.frontend import load_onnx
from imccompiler.hardware.load import load, vary
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.boxes import offsets_of, table
from imccompiler.passes.geometry import Box, cut_rows_first, natural
from imccompiler.passes.shuffles import picks
from imccompiler.passes.taskgraph import Kind
from imccompiler.passes.views import reshaped
from imccompiler.simulator.digital import evaluate_float
from imccompiler.simulator.execute import Executor
from imccompiler.simulator.reference import run_reference

HIDDEN, TOKENS = 96, 24


def node(op, inputs, outputs, **attributes):
    return onnx.helper.make_node(op, inputs, outputs, name=f"{op}_{outputs[0]}", **attributes)


def noise(*shape):
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.fixture(scope="module")
def machine():
    """Crossbars of 16 x 16 whole weights, so that a product's outputs stand on several cores."""
    changes = {"chip.grid": [4, 4], "core.crossbars": 24, "crossbar.rows": 32}
    return vary(load("pimcomp"), changes)


W = {"w": noise(HIDDEN, HIDDEN) / 10}
CASES = {
    "normalised": (
        [
            ("Transpose", ["p"], ["t"], {"perm": [0, 2, 1]}),
            ("Reshape", ["t", "s"], ["i"], {}),
            ("Conv", ["i", "k"], ["c"], {"kernel_shape": [1, 1]}),
            ("Relu", ["c"], ["r"], {}),
            ("BatchNormalization", ["r", "g", "b", "m", "v"], ["y"], {}),
        ],
        {
            "s": np.array([1, HIDDEN, 4, 6]),
            "k": noise(32, HIDDEN, 1, 1) / 10,
            "g": noise(32),
            "b": noise(32),
            "m": noise(32) / 10,
            "v": np.abs(noise(32)) + 1,
        },
    ),
    "unary": ([("Sigmoid", ["p"], ["y"], {})], {}),
    "scale": ([("Mul", ["p", "c"], ["y"], {})], {"c": noise(HIDDEN)}),
    "scalar": ([("Pow", ["p", "c"], ["y"], {})], {"c": np.float32(2).reshape(())}),
    "table": ([("Mul", ["p", "c"], ["y"], {})], {"c": noise(1, TOKENS, HIDDEN)}),
    "tokens": ([("Mul", ["p", "c"], ["y"], {})], {"c": noise(TOKENS, 1)}),
    "softmax": ([("Softmax", ["p"], ["y"], {"axis": -1})], {}),
    "mean": (
        [
            ("ReduceMean", ["p"], ["m"], {"axes": [2], "keepdims": 1}),
            ("Sub", ["p", "m"], ["y"], {}),
        ],
        {},
    ),
    "slice": (
        [("Slice", ["p", "b", "e", "a"], ["y"], {})],
        {"b": np.array([32]), "e": np.array([80]), "a": np.array([2])},
    ),
    "some tokens": (
        [("Slice", ["p", "b", "e", "a"], ["y"], {})],
        {"b": np.array([5]), "e": np.array([20]), "a": np.array([1])},
    ),
    "heads": (
        [
            ("Reshape", ["p", "s"], ["h"], {}),
            ("Transpose", ["h"], ["t"], {"perm": [0, 2, 1, 3]}),
            ("Transpose", ["t"], ["u"], {"perm": [0, 1, 3, 2]}),
            ("MatMul", ["t", "u"], ["v"], {}),
            ("Softmax", ["v"], ["y"], {"axis": -1}),
        ],
        {"s": np.array([1, TOKENS, 6, 16])},
    ),
    "there and back": (
        [
            ("Reshape", ["p", "s"], ["h"], {}),
            ("Transpose", ["h"], ["t"], {"perm": [0, 2, 1, 3]}),
            ("Transpose", ["t"], ["b"], {"perm": [0, 2, 1, 3]}),
            ("Relu", ["b"], ["r"], {}),
            ("Reshape", ["r", "q"], ["y"], {}),
        ],
        {"s": np.array([1, TOKENS, 6, 16]), "q": np.array([1, TOKENS, HIDDEN])},
    ),
    "halves exchanged": (
        [
            ("Slice", ["p", "z", "m", "a"], ["l"], {}),
            ("Slice", ["p", "m", "e", "a"], ["r"], {}),
            ("Concat", ["r", "l"], ["y"], {"axis": 2}),
        ],
        {"z": np.array([0]), "m": np.array([48]), "e": np.array([96]), "a": np.array([2])},
    ),
    "cache": ([("Concat", ["x", "p"], ["y"], {"axis": 1})], {}),
}


@pytest.mark.parametrize("name", CASES)
def test_parts_mean_what_the_whole_means(map_nodes, machine, name):
    nodes, weights = CASES[name]
    nodes = [node("MatMul", ["x", "w"], ["p"]), *(node(o, i, r, **a) for o, i, r, a in nodes)]
    mapping = map_nodes(nodes, {"x": (1, TOKENS, HIDDEN)}, {**W, **weights}, machine)
    assert mapping.differing() == 0
    graph, built = mapping.plan.built.graph, mapping.plan.built
    digital = graph.kind == Kind.DIGITAL
    layers = {int(layer) for layer in graph.layer[digital]}
    for layer in layers:
        if built.layers[layer] in {"Transpose_t", "Reshape_i"} and name == "normalised":
            continue  # from tokens to an image: as a whole
        cores = set(graph.core[digital & (graph.layer == layer)].tolist())
        assert len(cores) > 1, (name, built.layers[layer])


def test_an_embedding_is_looked_up_on_several_cores(map_network, machine):
    nodes = [node("Gather", ["table", "x"], ["e"]), node("MatMul", ["e", "w"], ["y"])]
    weights = {**W, "table": noise(50, HIDDEN)}
    graph = onnx.helper.make_graph(
        nodes,
        "lookup",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.INT64, (1, TOKENS))],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, (1, TOKENS, HIDDEN))],
        [onnx.numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    opset = [onnx.helper.make_opsetid("", 13)]
    small = vary(machine, {"local_memory.kib": 24})
    model = onnx.helper.make_model(graph, opset_imports=opset, ir_version=8)
    mapping = map_network(load_onnx(model), small)
    codes = {"x": np.random.default_rng(0).integers(0, 50, (2, 1, TOKENS))}
    expected = run_reference(mapping.module, mapping.context.store, codes)
    found = Executor(mapping.program, small, mode="exact").run(codes)
    assert (found["y"] == expected["y"]).all()
    graph = mapping.plan.built.graph
    looked_up = (graph.kind == Kind.DIGITAL) & (graph.layer == graph.layer[graph.kind == 3].min())
    assert len(set(graph.core[looked_up].tolist())) > 1


def test_concatenations_move_nothing(map_nodes, machine):
    nodes = [
        node("MatMul", ["x", "w"], ["p"]),
        node("Concat", ["p", "x"], ["c"], axis=2),
        node("MatMul", ["c", "v"], ["y"]),
    ]
    weights = {**W, "v": noise(2 * HIDDEN, 16) / 10}
    mapping = map_nodes(nodes, {"x": (1, TOKENS, HIDDEN)}, weights, machine)
    assert mapping.differing() == 0
    graph, layers = mapping.plan.built.graph, mapping.plan.built.layers
    joined = [i for i, name in enumerate(layers) if name.startswith("Concat")]
    assert not np.isin(graph.layer, joined).any()


# ---- boxes of the same bytes in another shape


@st.composite
def boxes_within(draw, grid):
    ranges = [sorted(draw(st.tuples(st.integers(0, n), st.integers(0, n)))) for n in grid]
    (y0, y1), (x0, x1), (c0, c1) = ranges
    return Box(y0, max(y1, y0 + 1), x0, max(x1, x0 + 1), c0, max(c1, c0 + 1))


@settings(max_examples=300, deadline=None)
@given(st.data(), st.integers(1, 3), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_reshaped_boxes_have_the_same_bytes(data, rows, columns, heads, size):
    """Every element of a box has its place in the other shape's box, in the same order."""
    flat, split = natural((rows, columns, heads * size)), natural((rows, columns, heads, size))
    for source, result in ((flat, split), (split, flat)):
        box = data.draw(boxes_within(source.grid))
        if any(box[2 * i + 1] > source.grid[i] for i in range(3)):
            continue
        found = reshaped(table([box]), source, result)
        number = np.arange(rows * columns * heads * size)
        inside = number.reshape(source.grid)[box.y0 : box.y1, box.x0 : box.x1, box.c0 : box.c1]
        if found is None:
            continue
        y0, y1, x0, x1, c0, c1 = found[0].tolist()
        other = number.reshape(result.grid)[y0:y1, x0:x1, c0:c1]
        assert other.ravel().tolist() == inside.ravel().tolist()


def test_offsets_follow_the_box():
    outer, part = table([Box(2, 6, 1, 4, 0, 5)]), table([Box(3, 4, 2, 3, 4, 5)])
    assert offsets_of(outer, part, 2).tolist() == [((1 * 3 + 1) * 5 + 4) * 2]


# ---- products with the same weights


def test_products_of_one_weight_share_crossbars(map_nodes, machine):
    nodes = [
        node("MatMul", ["x", "w"], ["a"]),
        node("Tanh", ["a"], ["t"]),
        node("MatMul", ["t", "w"], ["b"]),
        node("Tanh", ["b"], ["u"]),
        node("MatMul", ["u", "w"], ["y"]),
    ]
    mapping = map_nodes(nodes, {"x": (1, 4, HIDDEN)}, W, machine)
    assert mapping.differing() == 0
    placements = {op.placement for op in mapping.module.ops if isinstance(op, MatmulOp)}
    assert len(placements) == 1
    once = map_nodes(nodes[:1], {"x": (1, 4, HIDDEN)}, W, machine, outputs=("a",))
    assert len(mapping.program.groups) == len(once.program.groups)
    assert len(mapping.program.tiles) == len(once.program.tiles)


# ---- movements of any kind


@pytest.mark.parametrize(
    ("op_type", "attributes", "shape", "result"),
    [
        ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}, (1, 16, 12, 12), (1, 4, 24, 24)),
        ("Reshape", {"shape": [24, 96]}, (96, 24), (24, 96)),
        ("Transpose", {"perm": [0, 3, 1, 4, 2, 5]}, (1, 6, 4, 6, 4, 3), (1, 6, 6, 4, 4, 3)),
        ("Slice", {"axes": [1], "starts": [0], "ends": [40], "steps": [2]}, (8, 40), (8, 20)),
    ],
)
def test_any_movement_is_picked_from_boxes(op_type, attributes, shape, result):
    source, target = natural(shape), natural(result)
    parts = cut_rows_first(target.whole, 4)
    found = picks(op_type, attributes, [shape], source, target, parts)
    if found is None:
        assert op_type == "Reshape"  # its parts need all rows
        return
    data = np.random.default_rng(0).integers(-100, 100, shape)
    expected = evaluate_float(op_type, attributes, [data]).reshape(target.grid)
    for part, (box, places) in zip(parts, found, strict=True):
        held = data.reshape(source.grid)[box.y0 : box.y1, box.x0 : box.x1, box.c0 : box.c1]
        wanted = expected[part.y0 : part.y1, part.x0 : part.x1, part.c0 : part.c1]
        assert (held.ravel()[places] == wanted.ravel()).all()


def test_a_large_movement_is_done_in_parts(map_nodes, machine):
    nodes = [
        node("Conv", ["x", "k"], ["c"], kernel_shape=[1, 1]),
        node("DepthToSpace", ["c"], ["y"], blocksize=2, mode="CRD"),
    ]
    small = vary(machine, {"local_memory.kib": 24})
    mapping = map_nodes(nodes, {"x": (1, 8, 24, 24)}, {"k": noise(16, 8, 1, 1)}, small)
    assert mapping.differing() == 0
    graph = mapping.plan.built.graph
    assert len(set(graph.core[graph.kind == Kind.DIGITAL].tolist())) > 1
