from itertools import product

import numpy as np
import pytest

from imccompiler.errors import IRError, UserInputError
from imccompiler.ir.decisions import IntegerMatmul, Quant, Window
from imccompiler.ir.dialect import MatmulOp
from imccompiler.ir.store import WeightStore
from imccompiler.ir.text import parse_module
from imccompiler.simulator.float_model import run_float
from imccompiler.simulator.integer import MatmulRequant
from imccompiler.simulator.reference import (
    dequantize_outputs,
    quant_of,
    quantize_inputs,
    run_reference,
)

CONV = """
builtin.module {
  %x = imc.input "x" {quant = #imc.quant<scale = 0.02, zero_point = 9>} : tensor<1x4x7x6xf32>
  %w = imc.weight "w" : tensor<6x2x3x2xf32>
  %b = imc.weight "b" : tensor<6xf32>
  %y = imc.matmul %x, %w bias %b {activation = "none", window = #imc.window<kernel = [3, 2],
    strides = [2, 1], pads = [1, 0, 2, 1], dilations = [2, 1], groups = 2>,
    quant = #imc.quant<scale = 0.05, zero_point = -7>}
    : tensor<1x4x7x6xf32>, tensor<6x2x3x2xf32>, tensor<6xf32> -> tensor<1x6x3x6xf32>
  imc.output "y" %y : tensor<1x6x3x6xf32>
}
"""
rng = np.random.default_rng(2)


def quantised(module, store):
    """Integer forms for all products of a module that has quants."""
    for op in module.body.block.ops:
        if isinstance(op, MatmulOp):
            weight = store[op.weight.owner.key.data]
            real = weight.reshape(len(weight), -1) if op.window.kernel else weight.T
            scale = np.abs(real).max(axis=1) / 127
            ints = np.rint(real / scale[:, None]).astype(np.int8)
            bias = None if op.bias is None else store[op.bias.owner.key.data]
            r = MatmulRequant.from_quants(
                ints, scale, bias, quant_of(op.input), quant_of(op.result)
            )
            shaped = ints.reshape(weight.shape) if op.window.kernel else ints.T
            store.add("iw", np.ascontiguousarray(shaped))
            store.add("ib", r.bias)
            store.add("im", r.multiplier)
            store.add("is", r.shift)
            widths = (8, r.accumulator_bits, r.product_bits)
            op.integer = IntegerMatmul("iw", "ib", "im", "is", *widths)
    return module


def conv():
    weights = {
        "w": rng.standard_normal((6, 2, 3, 2)).astype(np.float32),
        "b": rng.standard_normal(6).astype(np.float32),
    }
    store = WeightStore(weights)
    return quantised(parse_module(CONV), store), store


def by_hand(x, store, window, zero_point):
    """The formula of `IntegerMatmul` in Python's integers, one output after the other."""
    weight = store["iw"].astype(object)
    channels, groups = weight.shape[0], window.groups
    n = len(window.kernel)
    padded = np.pad(
        x.astype(object),
        [(0, 0), *zip(window.pads[:n], window.pads[n:], strict=True)],
        constant_values=zero_point,
    )
    out = np.zeros((channels, 3, 6), dtype=object)
    for m, i, j in product(range(channels), range(3), range(6)):
        group = m // (channels // groups)
        total = int(store["ib"][m])
        for c, a, b in product(range(weight.shape[1]), range(3), range(2)):
            value = padded[group * weight.shape[1] + c, 2 * i + 2 * a, j + b]
            total += int(weight[m, c, a, b]) * int(value)
        quotient, rest = divmod(total * int(store["im"][m]), 2 ** int(store["is"][m]))
        half = 2 ** int(store["is"][m]) / 2
        quotient += rest > half or (rest == half and quotient % 2 == 1)
        out[m, i, j] = min(max(quotient, -128), 127)
    return out.astype(np.int64)


def test_a_grouped_dilated_convolution_equals_the_formula():
    module, store = conv()
    x = rng.integers(-128, 128, (2, 1, 4, 7, 6))
    y = run_reference(module, store, {"x": x})["y"]
    window = Window((3, 2), (2, 1), (1, 0, 2, 1), (2, 1), 2)
    for image in range(2):
        np.testing.assert_array_equal(y[image, 0], by_hand(x[image, 0], store, window, 9))


def test_is_near_the_float_network():
    module, store = conv()
    x = rng.uniform(-2, 2, (5, 4, 7, 6)).astype(np.float32)
    codes = run_reference(module, store, quantize_inputs(module, {"x": x}))
    got = dequantize_outputs(module, codes)["y"][:, 0]
    exact = run_float(module, store, {"x": x})["y"]
    inside = np.abs(exact) < 0.05 * 115
    assert inside.mean() > 0.5
    assert np.abs(got - exact)[inside].max() < 0.05 * 4


def test_float32_and_float64_sums_agree():
    module, store = conv()
    x = rng.integers(-128, 128, (3, 1, 4, 7, 6))
    narrow = run_reference(module, store, {"x": x})["y"]
    for op in module.body.block.ops:
        if isinstance(op, MatmulOp):
            i = op.integer
            arrays = (i.weight, i.bias, i.multiplier, i.shift)
            op.integer = IntegerMatmul(*arrays, 8, 40, i.product_bits)
    np.testing.assert_array_equal(run_reference(module, store, {"x": x})["y"], narrow)


def test_every_value_can_be_observed():
    module, store = conv()
    seen = {}
    x = rng.integers(-128, 128, (2, 1, 4, 7, 6))
    y = run_reference(module, store, {"x": x}, lambda value, codes: seen.update({value: codes}))
    shapes = [codes.shape for codes in seen.values()]
    assert shapes == [(2, 1, 4, 7, 6), (2, 1, 6, 3, 6)]
    assert list(seen.values())[1] is y["y"]


MIXED = """
builtin.module {
  %x = imc.input "x" {quant = #imc.quant<scale = 0.02, zero_point = 0>} : tensor<2x8xf32>
  %c = imc.weight "c" : tensor<8xf32>
  %0 = imc.digital "Mul"(%c, %c) {} {quant = #imc.quant<scale = 0.03, zero_point = 0>}
    : (tensor<8xf32>, tensor<8xf32>) -> tensor<8xf32>
  %1 = imc.digital "Add"(%x, %0) {} {quant = #imc.quant<scale = 0.05, zero_point = 3>}
    : (tensor<2x8xf32>, tensor<8xf32>) -> tensor<2x8xf32>
  %2 = imc.digital "Transpose"(%1) {perm = array<i64: 1, 0>}
    {quant = #imc.quant<scale = 0.05, zero_point = 3>} : (tensor<2x8xf32>) -> tensor<8x2xf32>
  %3 = imc.dynamic_matmul %1, %2 {quant = #imc.quant<scale = 0.3, zero_point = 3>}
    : tensor<2x8xf32>, tensor<8x2xf32> -> tensor<2x2xf32>
  imc.output "y" %3 : tensor<2x2xf32>
}
"""


def test_digital_operators_constants_and_products_of_activations():
    module = parse_module(MIXED)
    store = WeightStore({"c": rng.uniform(-1, 1, 8).astype(np.float32)})
    x = rng.uniform(-2, 2, (6, 8)).astype(np.float32)
    codes = run_reference(module, store, quantize_inputs(module, {"x": x}))
    assert codes["y"].shape == (3, 2, 2)
    got = dequantize_outputs(module, codes)["y"].reshape(6, 2)
    np.testing.assert_allclose(got, run_float(module, store, {"x": x})["y"], atol=0.8)


def test_what_is_missing_is_named():
    module, store = conv()
    with pytest.raises(UserInputError, match="no input 'x'"):
        quantize_inputs(module, {"z": np.zeros((1, 4, 7, 6))})
    with pytest.raises(UserInputError, match="has shape"):
        quantize_inputs(module, {"x": np.zeros((1, 4, 7, 5))})
    with pytest.raises(UserInputError, match="have shape"):
        run_reference(module, store, {"x": np.zeros((1, 4, 7, 6), dtype=np.int64)})
    bare = parse_module(CONV)
    with pytest.raises(IRError, match="no integer form"):
        run_reference(bare, store, {"x": np.zeros((1, 1, 4, 7, 6), dtype=np.int64)})


def test_quant_of_an_undecided_value_is_an_error():
    module = parse_module(CONV.replace("quant = #imc.quant<scale = 0.02, zero_point = 9>", ""))
    with pytest.raises(IRError, match="has no quant"):
        quantize_inputs(module, {"x": np.zeros((1, 4, 7, 6))})


def test_quant_is_a_decision():
    module, _ = conv()
    values = [op.results[0] for op in module.body.block.ops if op.name == "imc.input"]
    assert quant_of(values[0]) == Quant(0.02, 9)
