# ruff: noqa: E501 (one case a line reads better)
"""Digital operators on codes: integer forms, batches of images, movement."""

from dataclasses import dataclass

import numpy as np
import pytest

from imccompiler.simulator.digital import evaluate_codes, evaluate_float, integer_form
from imccompiler.simulator.digital_forms import movement_indices
from imccompiler.simulator.integer import dequantize, quantize

IMAGES = 3


@dataclass(frozen=True)
class Code:
    scale: float
    zero_point: int
    bits: int = 8


A, B, OUT = Code(0.03, 5), Code(0.05, -20), Code(0.07, -3)
RELU = Code(0.03, -128)
POOL = {"kernel_shape": (3, 3), "strides": (2, 2)}
PADDED = {**POOL, "pads": (1, 1, 1, 1)}
rng = np.random.default_rng(11)


def codes(*shape):
    return rng.integers(-128, 128, (IMAGES, *shape))


IMAGE = codes(1, 4, 9, 7)
VECTORS = codes(1, 6, 8)
GAMMA = rng.standard_normal(8).astype(np.float32)

# op type, attributes, operands (codes have images, arrays of floats do not), quants, result, form
CASES = {
    "add": ("Add", {}, [VECTORS, codes(1, 6, 8)], [A, B], OUT, "add"),
    "sub": ("Sub", {}, [VECTORS, codes(1, 6, 8)], [A, B], OUT, "add"),
    "add broadcast": ("Add", {}, [VECTORS, codes(6, 1)], [A, B], OUT, "function"),
    "add constant": ("Add", {}, [VECTORS, GAMMA], [A, None], OUT, "function"),
    "max": ("Max", {}, [VECTORS, codes(1, 6, 8)], [A, A], A, "max"),
    "max of two codes": ("Max", {}, [VECTORS, codes(1, 6, 8)], [A, B], OUT, "function"),
    "max pool": ("MaxPool", POOL, [IMAGE], [A], A, "maxpool"),
    "max pool padded": ("MaxPool", PADDED, [IMAGE], [A], A, "maxpool"),
    "max pool recoded": ("MaxPool", PADDED, [IMAGE], [A], OUT, "function"),
    "global max": ("GlobalMaxPool", {}, [IMAGE], [A], A, "maxpool"),
    "average": ("AveragePool", POOL, [IMAGE], [A], OUT, "average"),
    "average padded": ("AveragePool", PADDED, [IMAGE], [A], OUT, "function"),
    "average ceil": ("AveragePool", {**POOL, "ceil_mode": 1}, [codes(1, 2, 8, 8)], [A], OUT, "function"),
    "global average": ("GlobalAveragePool", {}, [IMAGE], [A], OUT, "average"),
    "relu": ("Relu", {}, [VECTORS], [A], A, "relu"),
    "relu of lowest zero": ("Relu", {}, [VECTORS], [RELU], RELU, "move"),
    "relu recoded": ("Relu", {}, [VECTORS], [A], RELU, "function"),
    "clip": ("Clip", {"min": 0.0, "max": 1.0}, [VECTORS], [A], A, "function"),
    "clip that saturates": ("Clip", {"min": 0.0, "max": 7.65}, [VECTORS], [RELU], RELU, "move"),
    "sigmoid": ("Sigmoid", {}, [VECTORS], [A], Code(1 / 255, -128), "function"),
    "sigmoid of wide codes": ("Sigmoid", {}, [VECTORS], [Code(0.03, 5, 16)], B, "function"),
    "mul broadcast": ("Mul", {}, [VECTORS, codes(8)], [A, B], OUT, "function"),
    "mul constant": ("Mul", {}, [np.float32(0.3).reshape(()), VECTORS], [None, A], OUT, "function"),
    "softmax": ("Softmax", {"axis": 2}, [VECTORS], [A], Code(1 / 255, -128), "function"),
    "softmax axis": ("Softmax", {"axis": 1}, [VECTORS], [A], Code(1 / 255, -128), "function"),
    "layer norm": ("LayerNormalization", {"axis": 2}, [VECTORS, GAMMA, GAMMA], [A, None, None], B, "function"),
    "batch norm": ("BatchNormalization", {}, [IMAGE, *[np.abs(GAMMA[:4])] * 4], [A, *[None] * 4], B, "function"),
    "reduce": ("ReduceMean", {"axes": (2,)}, [VECTORS], [A], OUT, "function"),
    "matmul": ("MatMul", {}, [codes(2, 5, 8), codes(2, 8, 3)], [A, B], Code(1.3, 2), "function"),
    "matmul broadcast": ("MatMul", {}, [codes(2, 5, 8), codes(8, 3)], [A, B], Code(1.3, 2), "function"),
    "transpose": ("Transpose", {"perm": (0, 2, 3, 1)}, [IMAGE], [A], A, "move"),
    "transpose recoded": ("Transpose", {"perm": (0, 2, 3, 1)}, [IMAGE], [A], OUT, "function"),
    "flatten": ("Flatten", {"axis": 1}, [IMAGE], [A], A, "move"),
    "concat": ("Concat", {"axis": 1}, [IMAGE, codes(1, 2, 9, 7)], [A, A], A, "move"),
    "concat recoded": ("Concat", {"axis": 1}, [IMAGE, codes(1, 2, 9, 7)], [A, B], A, "function"),
    "pad": ("Pad", {"pads": (0, 0, 1, 2, 0, 0, 0, 1), "constant_value": 0.9}, [IMAGE], [A], A, "move"),
    "slice": ("Slice", {"starts": (1,), "ends": (9,), "axes": (2,), "steps": (3,)}, [IMAGE], [A], A, "move"),
    "gather": ("Gather", {"axis": 1}, [VECTORS, np.array(0)], [A, None], A, "move"),
    "lookup": ("Gather", {"axis": 0}, [GAMMA.reshape(4, 2), rng.integers(0, 4, (IMAGES, 1, 5))], [None, Code(1.0, 0, 16)], OUT, "function"),
    "resize": ("Resize", {"scales": (1.0, 1.0, 2.0, 2.0), "nearest_mode": "floor"}, [IMAGE], [A], A, "move"),
    "resize linear": ("Resize", {"mode": "linear", "scales": (1.0, 1.0, 2.0, 2.0)}, [IMAGE], [A], A, "function"),
}  # fmt: skip
EXACT_TO_ONE_STEP = {"add", "average"}  # forms whose rounding differs from float64's at ties


@pytest.mark.parametrize("case", CASES)
def test_equals_float_image_by_image(case):
    op_type, attributes, operands, quants, result, form = CASES[case]
    shapes = [v.shape if q is None else v.shape[1:] for v, q in zip(operands, quants, strict=True)]
    assert integer_form(op_type, attributes, shapes, quants, result) == form
    got = evaluate_codes(op_type, attributes, operands, quants, result)
    assert got.dtype == np.int64
    near = form in EXACT_TO_ONE_STEP or op_type in {"Add", "MatMul"}
    for image in range(IMAGES):
        real = [
            v if q is None else dequantize(v[image], q)
            for v, q in zip(operands, quants, strict=True)
        ]
        expected = quantize(evaluate_float(op_type, attributes, real), result)
        assert got[image].shape == expected.shape
        assert np.abs(got[image] - expected).max() <= (1 if near else 0)
        assert np.mean(got[image] != expected) < 0.05


@pytest.mark.parametrize("case", CASES)
def test_an_image_does_not_depend_on_the_others(case):
    op_type, attributes, operands, quants, result, _ = CASES[case]
    together = evaluate_codes(op_type, attributes, operands, quants, result)
    alone = [v if q is None else v[1:2] for v, q in zip(operands, quants, strict=True)]
    np.testing.assert_array_equal(
        evaluate_codes(op_type, attributes, alone, quants, result), together[1:2]
    )


def test_a_broadcast_addition_equals_the_addition_of_its_pieces():
    a, b = codes(2, 6, 8), codes(6, 1)
    whole = evaluate_codes("Add", {}, [a, b], [A, B], OUT)
    spread = np.ascontiguousarray(np.broadcast_to(b[:, None], a.shape))
    np.testing.assert_array_equal(evaluate_codes("Add", {}, [a, spread], [A, B], OUT), whole)


def test_padding_of_a_maximum_never_wins():
    lowest = np.full((1, 1, 1, 4, 4), -128)
    assert (evaluate_codes("MaxPool", PADDED, [lowest], [A], A) == -128).all()


def test_movement_indices_number_operands_one_after_the_other():
    index = movement_indices("Concat", {"axis": 1}, [(1, 2, 2), (1, 1, 2)])
    assert index.tolist() == [[[0, 1], [2, 3], [4, 5]]]
    index = movement_indices("Pad", {"pads": (0, 1, 0, 0)}, [(1, 2)])
    assert index.tolist() == [[-1, 0, 1]]
    assert movement_indices("Relu", {}, [(2, 2)]).tolist() == [[0, 1], [2, 3]]


def test_absent_operands_are_left_out():
    attributes = {"absent": (1,)}
    operands, quants = [VECTORS, np.array(1.0, np.float32)], [A, None]
    got = evaluate_codes("Clip", attributes, operands, quants, OUT)
    np.testing.assert_array_equal(got, quantize(np.minimum(dequantize(VECTORS, A), 1.0), OUT))


def test_constants_alone_give_one_image():
    got = evaluate_codes("Add", {}, [GAMMA, GAMMA], [None, None], OUT)
    np.testing.assert_array_equal(got, quantize(2 * GAMMA.astype(np.float64), OUT)[None])
