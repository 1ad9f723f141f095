"""Every digital operator against ONNX Runtime."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from imccompiler.errors import UserInputError
from imccompiler.simulator import digital

rng = np.random.default_rng(7)


def normal(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def scalar(value):
    return np.array(value, dtype=np.float32)


def ints(*values):
    return np.array(values, dtype=np.int64)


def runtime(op_type, attributes, operands, opset):
    """The result of a model of one node."""
    names = ["" if v is None else f"x{i}" for i, v in enumerate(operands)]
    arrays = {n: v for n, v in zip(names, operands, strict=True) if n}
    node = helper.make_node(op_type, names, ["y"], **attributes)
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(v.dtype), v.shape)
        for n, v in arrays.items()
        if v.dtype == np.float32
    ]
    constants = [numpy_helper.from_array(v, n) for n, v in arrays.items() if v.dtype != np.float32]
    output = helper.make_empty_tensor_value_info("y")
    graph = helper.make_graph([node], "one", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {n: v for n, v in arrays.items() if v.dtype == np.float32})[0]


X = normal(1, 3, 6, 5)
POSITIVE = np.abs(X) + 0.1
IMAGE = normal(1, 4, 9, 8)

BOOLEANS = [np.array([True, False, True, False]), np.array([True, True, False, False])]
UNARY = (
    *("Abs", "Ceil", "Celu", "Cos", "Elu", "Erf", "Exp", "Floor", "HardSigmoid", "HardSwish"),
    *("Identity", "Dropout", "LeakyRelu", "Mish", "Neg", "Relu", "Round", "Selu", "Sigmoid"),
    *("Sign", "Sin", "Softplus", "Softsign", "Swish", "Tanh", "ThresholdedRelu"),
)

CASES = {
    **{op: (op, {}, [X]) for op in UNARY},
    **{op: (op, {}, [POSITIVE]) for op in ("Sqrt", "Reciprocal", "Log")},
    "leaky alpha": ("LeakyRelu", {"alpha": 0.3}, [X]),
    "hard sigmoid": ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}, [X]),
    "clip": ("Clip", {}, [X, scalar(-0.5), scalar(0.7)]),
    "clip max": ("Clip", {}, [X, None, scalar(0.7)]),
    "gelu": ("Gelu", {}, [X]),
    "gelu tanh": ("Gelu", {"approximate": "tanh"}, [X]),
    "cast": ("Cast", {"to": TensorProto.INT32}, [3 * X]),
    "cast bool": ("Cast", {"to": TensorProto.BOOL}, [np.float32([0, 1, 0.5])]),
    "pow": ("Pow", {}, [POSITIVE, scalar(1.7)]),
    "prelu": ("PRelu", {}, [X, normal(3, 1, 1)]),
    **{
        f"{op} broadcast": (op, {}, [X, normal(6, 1)])
        for op in ("Add", "Sub", "Mul", "Div", "Min", "Max", "Sum")
    },
    **{
        op: (op, {}, [X, np.round(X)])
        for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    },
    **{op: (op, {}, BOOLEANS) for op in ("And", "Or", "Xor")},
    "not": ("Not", {}, BOOLEANS[:1]),
    "max of three": ("Max", {}, [X, normal(5), normal(1)]),
    "mean": ("Mean", {}, [X, normal(5)]),
    "equal": ("Equal", {}, [np.float32([1, 2, 3]), np.float32([1, 0, 3])]),
    "where": ("Where", {}, [np.array([True, False, True, False, True]), X, normal(1)]),
    "softmax": ("Softmax", {}, [X]),
    "softmax axis": ("Softmax", {"axis": 1}, [X]),
    "log softmax": ("LogSoftmax", {"axis": 2}, [X]),
    "layer norm": ("LayerNormalization", {}, [X, normal(5), normal(5)]),
    "layer norm axis": (
        "LayerNormalization",
        {"axis": 2, "epsilon": 1e-3},
        [X, normal(6, 5), normal(6, 5)],
    ),
    "layer norm no bias": ("LayerNormalization", {}, [X, normal(5)]),
    "instance norm": ("InstanceNormalization", {}, [X, normal(3), normal(3)]),
    "batch norm": (
        "BatchNormalization",
        {},
        [X, normal(3), normal(3), normal(3), np.abs(normal(3))],
    ),
    "group norm": ("GroupNormalization", {"num_groups": 2}, [IMAGE, normal(4), normal(4)]),
    "rms norm": ("RMSNormalization", {"axis": 2}, [X, normal(6, 5)]),
    "lrn": ("LRN", {"size": 3, "alpha": 0.1, "beta": 0.6, "bias": 2.0}, [IMAGE]),
    "max pool": (
        "MaxPool",
        {"kernel_shape": [3, 2], "strides": [2, 1], "pads": [1, 0, 1, 1]},
        [IMAGE],
    ),
    "max pool ceil": (
        "MaxPool",
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        [IMAGE],
    ),
    "max pool dilated": ("MaxPool", {"kernel_shape": [2, 3], "dilations": [3, 2]}, [IMAGE]),
    "max pool 1d": ("MaxPool", {"kernel_shape": [3], "auto_pad": "SAME_UPPER"}, [normal(1, 2, 9)]),
    "max pool 3d": (
        "MaxPool",
        {"kernel_shape": [2, 2, 2], "strides": [2, 1, 2]},
        [normal(1, 2, 5, 4, 6)],
    ),
    "average pool": ("AveragePool", {"kernel_shape": [3, 2], "strides": [2, 2]}, [IMAGE]),
    "average pool pads": (
        "AveragePool",
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "strides": [2, 2]},
        [IMAGE],
    ),
    "average pool counts pads": (
        "AveragePool",
        {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
        [IMAGE],
    ),
    "average pool ceil": (
        "AveragePool",
        {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1},
        [IMAGE],
    ),
    "average pool same": (
        "AveragePool",
        {"kernel_shape": [2, 2], "strides": [2, 3], "auto_pad": "SAME_LOWER"},
        [IMAGE],
    ),
    "lp pool": ("LpPool", {"kernel_shape": [2, 2], "strides": [2, 2]}, [IMAGE]),
    "global average": ("GlobalAveragePool", {}, [IMAGE]),
    "global max": ("GlobalMaxPool", {}, [IMAGE]),
    **{
        f"{op} axes": (op, {"axes": [1, -1], "keepdims": 0}, [X])
        for op in (
            *("ReduceL1", "ReduceL2", "ReduceLogSumExp", "ReduceMax", "ReduceMean"),
            *("ReduceMin", "ReduceProd", "ReduceSumSquare"),
        )
    },
    "reduce all": ("ReduceMean", {}, [X]),
    "reduce log sum exp": ("ReduceLogSumExp", {"axes": [2]}, [X]),
    "reduce sum operand": ("ReduceSum", {}, [X, ints(1, 3)]),
    "matmul": ("MatMul", {}, [normal(2, 4, 5), normal(2, 5, 3)]),
    "reshape": ("Reshape", {}, [X, ints(0, -1, 10)]),
    "flatten": ("Flatten", {}, [X]),
    "flatten axis": ("Flatten", {"axis": -1}, [X]),
    "transpose": ("Transpose", {"perm": [0, 2, 3, 1]}, [X]),
    "transpose default": ("Transpose", {}, [X]),
    "squeeze": ("Squeeze", {}, [normal(1, 3, 1, 4), ints(0, 2)]),
    "squeeze all": ("Squeeze", {}, [normal(1, 3, 1, 4)]),
    "unsqueeze": ("Unsqueeze", {}, [X, ints(0, -1)]),
    "concat": ("Concat", {"axis": 1}, [X, normal(1, 2, 6, 5)]),
    "slice": ("Slice", {}, [X, ints(1, 5), ints(4, -7), ints(2, 3), ints(2, -2)]),
    "slice default axes": ("Slice", {}, [X, ints(0, 1), ints(1, 1000)]),
    "pad": ("Pad", {}, [X, ints(0, 1, 2, 0, 0, 0, 1, 3), scalar(1.5)]),
    "pad crops": ("Pad", {}, [X, ints(0, -1, 2, 0, 0, 0, -1, 3)]),
    "pad reflect": ("Pad", {"mode": "reflect"}, [X, ints(0, 0, 2, 1, 0, 0, 1, 3)]),
    "pad edge": ("Pad", {"mode": "edge"}, [X, ints(0, 0, 2, 1, 0, 0, 1, 3)]),
    "expand": ("Expand", {}, [normal(3, 1), ints(2, 3, 4)]),
    "gather": ("Gather", {"axis": 2}, [X, np.array([[0, -1], [3, 1]])]),
    "gather scalar": ("Gather", {"axis": 1}, [X, np.array(1)]),
    "gather elements": ("GatherElements", {"axis": 1}, [normal(2, 4), np.array([[0, -1], [3, 1]])]),
    "tile": ("Tile", {}, [normal(2, 3), ints(2, 1)]),
    "depth to space": ("DepthToSpace", {"blocksize": 2}, [IMAGE]),
    "depth to space crd": ("DepthToSpace", {"blocksize": 2, "mode": "CRD"}, [IMAGE]),
    "space to depth": ("SpaceToDepth", {"blocksize": 2}, [normal(1, 3, 4, 6)]),
}
OPSETS = {"Gelu": 20, "GroupNormalization": 21, "Mish": 18, "RMSNormalization": 23, "Swish": 24}


@pytest.mark.parametrize("case", CASES)
def test_equals_onnx_runtime(case):
    op_type, attributes, operands = CASES[case]
    expected = runtime(op_type, attributes, operands, OPSETS.get(op_type, 17))
    got = digital.evaluate_float(op_type, attributes, operands)
    assert digital.is_supported(op_type)
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.astype(np.float64), expected, rtol=2e-5, atol=2e-6)


def test_every_operator_is_tested():
    resized = {"Resize", "Upsample"}  # below; Upsample is Resize
    assert {op_type for op_type, _, _ in CASES.values()} | resized == digital.supported()


@pytest.mark.parametrize("mode", ["nearest", "linear"])
@pytest.mark.parametrize(
    "coordinates",
    ["half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric"],
)
@pytest.mark.parametrize("size", [(12, 10), (4, 3), (9, 1)])
def test_resize_to_sizes(mode, coordinates, size):
    attributes = {"mode": mode, "coordinate_transformation_mode": coordinates}
    operands = [X, None, None, ints(1, 3, *size)]
    expected = runtime("Resize", attributes, operands, 17)
    got = digital.evaluate_float("Resize", attributes, operands)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
def test_resize_by_scales(rounding):
    attributes = {"mode": "nearest", "nearest_mode": rounding}
    scales = np.array([1, 1, 1.5, 2.5], np.float32)
    expected = runtime("Resize", attributes, [X, None, scales], 17)
    as_attribute = {**attributes, "scales": (1.0, 1.0, 1.5, 2.5)}
    np.testing.assert_array_equal(digital.evaluate_float("Resize", as_attribute, [X]), expected)


def test_parameters_may_be_attributes():
    pairs = [
        ("Reshape", {"shape": (1, 90)}, [X, ints(1, 90)]),
        ("Clip", {"min": -0.5, "max": 0.5}, [X, scalar(-0.5), scalar(0.5)]),
        ("Unsqueeze", {"axes": (0,)}, [X, ints(0)]),
        ("Pad", {"pads": (0, 0, 1, 1, 0, 0, 1, 1)}, [X, ints(0, 0, 1, 1, 0, 0, 1, 1)]),
        (
            "Slice",
            {"starts": (1,), "ends": (3,), "axes": (2,), "steps": (1,)},
            [X, ints(1), ints(3), ints(2), ints(1)],
        ),
        ("ReduceMean", {"axes": (2, 3)}, [X, ints(2, 3)]),
        ("Clip", {"max": 0.5, "absent": (1,)}, [X, None, scalar(0.5)]),
    ]
    for op_type, attributes, operands in pairs:
        by_attribute = digital.evaluate_float(op_type, attributes, [X])
        by_operand = digital.evaluate_float(op_type, {}, operands)
        np.testing.assert_array_equal(by_attribute, by_operand)


def test_absent_operands_may_be_left_out():
    got = digital.evaluate_float("Clip", {"absent": (1,)}, [X, scalar(0.5)])
    np.testing.assert_array_equal(got, np.minimum(X, scalar(0.5)))


@pytest.mark.parametrize(
    ("op_type", "attributes"),
    [("NoSuchOperator", {}), ("MaxPool", {"kernel_shape": [2, 2], "output": 1})],
)
def test_an_unsupported_operator_says_so(op_type, attributes):
    with pytest.raises(UserInputError, match=op_type):
        digital.evaluate_float(op_type, attributes, [X])


def test_an_index_out_of_range_is_an_error():
    with pytest.raises(UserInputError, match="outside the 3 entries"):
        digital.evaluate_float("Gather", {"axis": 1}, [X, ints(3)])


@pytest.mark.parametrize("op_type", ["Softmax", "LogSoftmax", "LayerNormalization"])
@pytest.mark.parametrize("length", [1, 7, 128, 1000])
def test_a_row_does_not_depend_on_the_others(op_type, length):
    x = rng.standard_normal((17, length))
    rest = [np.ones(length), np.zeros(length)] if op_type == "LayerNormalization" else []
    whole = digital.evaluate_float(op_type, {"axis": -1}, [x, *rest])
    rows = [digital.evaluate_float(op_type, {"axis": -1}, [x[i : i + 1], *rest]) for i in range(17)]
    np.testing.assert_array_equal(whole, np.concatenate(rows))
