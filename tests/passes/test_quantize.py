from itertools import combinations

import numpy as np
import pytest

from imccompiler.errors import PassError, UserInputError
from imccompiler.hardware.load import load, vary
from imccompiler.ir.decisions import Quant
from imccompiler.ir.dialect import DigitalOp, MatmulOp
from imccompiler.ir.store import WeightStore
from imccompiler.ir.text import parse_module, print_module
from imccompiler.passes.base import CompileContext
from imccompiler.passes.quantize import QuantizePass, affine_quant, coded_ops, integer_quant
from imccompiler.passes.quantize_weights import integer_weights
from imccompiler.passes.registry import parse
from imccompiler.passes.round_scales import rounded_scales
from imccompiler.simulator.float_model import run_float
from imccompiler.simulator.integer import AddParameters
from imccompiler.simulator.reference import dequantize_outputs, quantize_inputs, run_reference

MACHINE = load("pimcomp")
DEFAULT = QuantizePass()
GEOMETRY = "kernel = [3, 3], strides = [1, 1], pads = [1, 1, 1, 1], dilations = [1, 1]"
SAME = f"window = #imc.window<{GEOMETRY}>"
PLAIN = "window = #imc.window<kernel = [], strides = [], pads = [], dilations = []>"
MAPS = "tensor<1x16x8x8xf32>"
NETWORK = f"""
builtin.module {{
  %x = imc.input "x" : tensor<1x1x8x8xf32>
  %w1 = imc.weight "w1" : tensor<16x1x3x3xf32>
  %b1 = imc.weight "b1" : tensor<16xf32>
  %w2 = imc.weight "w2" : tensor<16x16x3x3xf32>
  %w3 = imc.weight "w3" : tensor<256x10xf32>
  %a = imc.matmul %x, %w1 bias %b1 {{activation = "relu", {SAME}}}
    : tensor<1x1x8x8xf32>, tensor<16x1x3x3xf32>, tensor<16xf32> -> {MAPS}
  %c = imc.matmul %a, %w2 {{activation = "none", {SAME}}}
    : {MAPS}, tensor<16x16x3x3xf32> -> {MAPS}
  %s = imc.digital "Add"(%c, %a) {{}} : ({MAPS}, {MAPS}) -> {MAPS}
  %r = imc.digital "Relu"(%s) {{}} : ({MAPS}) -> {MAPS}
  %p = imc.digital "MaxPool"(%r) {{kernel_shape = array<i64: 2, 2>, strides = array<i64: 2, 2>}}
    : ({MAPS}) -> tensor<1x16x4x4xf32>
  %f = imc.digital "Flatten"(%p) {{axis = 1 : i64}}
    : (tensor<1x16x4x4xf32>) -> tensor<1x256xf32>
  %y = imc.matmul %f, %w3 {{activation = "none", {PLAIN}}}
    : tensor<1x256xf32>, tensor<256x10xf32> -> tensor<1x10xf32>
  imc.output "y" %y : tensor<1x10xf32>
}}
"""


def weights(seed=0):
    rng = np.random.default_rng(seed)

    def draw(*shape, fan):
        return (rng.standard_normal(shape) * np.sqrt(2 / fan)).astype(np.float32)

    return WeightStore(
        {
            "w1": draw(16, 1, 3, 3, fan=9),
            "b1": draw(16, fan=200),
            "w2": draw(16, 16, 3, 3, fan=144),
            "w3": draw(256, 10, fan=256),
        }
    )


def images(count, seed=1):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((count, 1, 8, 8)).astype(np.float32)


def quantise(module, store, *, data=None, quantize=DEFAULT):
    context = CompileContext(machine=MACHINE, store=store, calibration=data)
    quantize.run(context, module)
    module.verify()
    return context


def sqnr_db(module, store, x):
    codes = run_reference(module, store, quantize_inputs(module, {"x": x}))
    got = dequantize_outputs(module, codes)["y"].reshape(len(x), -1)
    exact = run_float(module, store, {"x": x})["y"]
    return 10 * np.log10((exact**2).sum() / ((exact - got) ** 2).sum())


def by_type(module):
    return {op.op_type.data: op for op in module.body.block.ops if isinstance(op, DigitalOp)}


def test_a_small_network_stays_near_its_float_values():
    module, store = parse_module(NETWORK), weights()
    quantise(module, store, data={"x": images(64)}, quantize=QuantizePass(samples=64))
    assert sqnr_db(module, store, images(32, seed=9)) > 30


@pytest.mark.parametrize(
    ("options", "at_least", "at_most"),
    [
        ("weight_bits=4", 8, 25),
        ("activation_bits=16 weight_bits=16", 50, 200),
        ('method="percentile"', 25, 50),
        ('method="mse"', 25, 50),
        ("round_scales=false", 25, 50),
    ],
)
def test_options_say_how(options, at_least, at_most):
    module, store = parse_module(NETWORK), weights()
    (quantize,) = parse(f"quantize{{{options}}}")
    quantise(module, store, data={"x": images(8)}, quantize=quantize)
    assert at_least < sqnr_db(module, store, images(8)) < at_most


def test_one_code_on_both_sides_of_a_relu_a_pool_and_a_reshape():
    module, store = parse_module(NETWORK), weights()
    quantise(module, store)
    ops = by_type(module)
    assert ops["Add"].quant == ops["Relu"].quant == ops["MaxPool"].quant == ops["Flatten"].quant
    assert ops["Add"].quant.zero_point == -128
    relu = next(op for op in module.body.block.ops if isinstance(op, MatmulOp))
    assert relu.quant.zero_point == -128


def test_a_relu_on_a_value_that_others_use_keeps_its_negative_codes():
    text = NETWORK.replace("  %p =", '  imc.output "s" %s : tensor<1x16x8x8xf32>\n  %p =')
    module, store = parse_module(text), weights()
    quantise(module, store)
    ops = by_type(module)
    assert ops["Add"].quant == ops["Relu"].quant
    assert ops["Add"].quant.zero_point > -100


def test_what_stands_is_kept_and_serves_its_group():
    module, store = parse_module(NETWORK), weights()
    pinned = Quant(0.125, -100)
    by_type(module)["MaxPool"].quant = pinned
    quantise(module, store)
    assert by_type(module)["Add"].quant == pinned
    text = print_module(module)
    quantise(module, store)
    assert print_module(module) == text


def test_decisions_are_the_same_each_time():
    texts = set()
    for _ in range(2):
        module, store = parse_module(NETWORK), weights()
        quantise(module, store)
        texts.add(print_module(module))
    assert len(texts) == 1


def test_an_addition_gets_multipliers_as_narrow_as_codes():
    module, store = parse_module(NETWORK), weights()
    quantise(module, store, data={"x": images(8)})
    add = by_type(module)["Add"]
    quants = [v.owner.quant for v in add.operands_]
    assert AddParameters.from_quants(*quants, add.quant).multiplier_bits <= 8


@pytest.mark.parametrize("settled", [(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1)])
def test_rounded_scales_are_multiples_and_never_finer(settled):
    wanted = (0.0311, 0.0123, 0.0377)
    got = rounded_scales(wanted, [bool(s) for s in settled])
    for scale, want, keep in zip(got, wanted, settled, strict=True):
        assert scale == want if keep else want <= scale < want * 1.04
    steps = [128 * s / got[2] for s, keep in zip(got[:2], settled[:2], strict=True) if not keep]
    np.testing.assert_allclose(steps, np.rint(steps), atol=1e-6)


def test_nothing_is_rounded_where_all_is_settled():
    assert rounded_scales((0.03, 0.01, 0.04), [True, True, True]) == (0.03, 0.01, 0.04)
    assert rounded_scales((0.03, 0.01, 0.04), [True, True, False]) == (0.03, 0.01, 0.04)


def test_noise_is_noted_and_data_is_not():
    module, store = parse_module(NETWORK), weights()
    assert "seeded noise" in quantise(module, store).notes[0]
    module = parse_module(NETWORK)
    assert not quantise(module, store, data={"x": images(2)}).notes


def test_what_quantisation_depends_on_is_told_apart_by_content():
    data = {"x": images(4)}
    context = CompileContext(MACHINE, weights(), calibration=data)
    told = QuantizePass().depends_on(context)
    same = CompileContext(MACHINE, weights(), calibration={"x": data["x"].copy()}, effort=0, seed=5)
    assert QuantizePass().depends_on(same) == told
    others = [
        CompileContext(MACHINE, weights(), calibration={"x": data["x"] + 1}),
        CompileContext(MACHINE, weights(), calibration={"z": data["x"]}),
        CompileContext(vary(MACHINE, {"weight_bits": 4}), weights(), calibration=data),
        CompileContext(vary(MACHINE, {"activation_bits": 4}), weights(), calibration=data),
        *(
            CompileContext(MACHINE, weights(), seed=seed, effort=e)
            for seed in (0, 1)
            for e in (0, 1)
        ),
    ]
    answers = [told, *(QuantizePass().depends_on(other) for other in others)]
    assert all(a != b for a, b in combinations(answers, 2))


def test_two_decisions_can_stand_in_one_store():
    store = weights()
    for options in (QuantizePass(), QuantizePass(weight_bits=4), QuantizePass()):
        module = parse_module(NETWORK)
        quantise(module, store, quantize=options)
        assert sqnr_db(module, store, images(4)) > 5
    assert {v.dtype for k, v in store.entries.items() if ".int" in k} == {np.dtype(np.int8)}


LOOKUP = """
builtin.module {
  %i = imc.input "ids" : tensor<1x6xi64>
  %t = imc.weight "table" : tensor<ROWSx8xf32>
  %e = imc.digital "Gather"(%t, %i) {axis = 0 : i64}
    : (tensor<ROWSx8xf32>, tensor<1x6xi64>) -> tensor<1x6x8xf32>
  imc.output "y" %e : tensor<1x6x8xf32>
}
"""


@pytest.mark.parametrize(("rows", "bits"), [(100, 8), (30_522, 16), (40_000, 32)])
def test_token_numbers_are_their_own_codes(rows, bits):
    table = np.random.default_rng(0).standard_normal((rows, 8)).astype(np.float32)
    module, store = parse_module(LOOKUP.replace("ROWS", str(rows))), WeightStore({"table": table})
    quantise(module, store)
    ids, looked_up = coded_ops(module)
    assert ids.quant == Quant(1.0, 0, bits)
    assert looked_up.quant == affine_quant(float(table.min()), float(table.max()), 8)
    numbers = np.array([[0, 1, rows - 1, 5, rows // 2, 7]])
    codes = quantize_inputs(module, {"ids": numbers})
    np.testing.assert_array_equal(codes["ids"][0], numbers)
    got = dequantize_outputs(module, run_reference(module, store, codes))["y"]
    np.testing.assert_allclose(got[0], table[numbers], atol=looked_up.quant.scale * 0.51)


MASKED = """
builtin.module {
  %x = imc.input "x" : tensor<1x4x8xf32>
  %m = imc.input "m" : tensor<1x1x8xi64>
  %f = imc.digital "Cast"(%m) {to = 1 : i64} : (tensor<1x1x8xi64>) -> tensor<1x1x8xf32>
  %one = imc.weight "one" : tensor<f32>
  %low = imc.weight "low" : tensor<f32>
  %0 = imc.digital "Sub"(%one, %f) {} : (tensor<f32>, tensor<1x1x8xf32>) -> tensor<1x1x8xf32>
  %1 = imc.digital "Mul"(%0, %low) {} : (tensor<1x1x8xf32>, tensor<f32>) -> tensor<1x1x8xf32>
  %2 = imc.digital "Add"(%x, %1) {}
    : (tensor<1x4x8xf32>, tensor<1x1x8xf32>) -> tensor<1x4x8xf32>
  %3 = imc.digital "Softmax"(%2) {axis = 2 : i64} : (tensor<1x4x8xf32>) -> tensor<1x4x8xf32>
  imc.output "y" %3 : tensor<1x4x8xf32>
}
"""


def test_a_mask_of_huge_negative_numbers_leaves_codes_for_the_rest():
    low = np.float32(np.finfo(np.float32).min)
    store = WeightStore({"one": np.array(1, np.float32), "low": np.array(low)})
    rng = np.random.default_rng(4)
    data = {
        "x": rng.standard_normal((8, 4, 8)).astype(np.float32),
        "m": rng.integers(0, 2, (8, 1, 8)) | (np.arange(8) == 0),
    }
    module = parse_module(MASKED)
    quantise(module, store, data=data)
    assert by_type(module)["Add"].quant.scale < 0.1
    codes = run_reference(module, store, quantize_inputs(module, data))
    got = dequantize_outputs(module, codes)["y"][:, 0]
    np.testing.assert_allclose(got, run_float(module, store, data)["y"], atol=0.03)


def test_ranges_always_hold_zero():
    assert affine_quant(0.0, 25.5, 8) == Quant(0.1, -128)
    assert affine_quant(2.0, 25.5, 8) == Quant(0.1, -128)
    assert affine_quant(-25.5, -3.0, 8) == Quant(0.1, 127)
    assert affine_quant(0.0, 0.0, 8) == Quant(1.0, -128)
    assert affine_quant(-1.0, 1.0, 4).zero_point in {-1, 0}


def test_integers_take_whole_bytes():
    assert [integer_quant(0, high).bits for high in (1, 127, 128, 40_000)] == [8, 8, 16, 32]


def test_weights_are_symmetric_and_narrow():
    weight = np.random.default_rng(1).standard_normal((5, 30)).astype(np.float32)
    ints, scale = integer_weights(weight, 8, 1e-9)
    assert np.abs(ints).max(axis=1).tolist() == [127] * 5
    np.testing.assert_allclose(ints * scale[:, None], weight, atol=scale.max() * 0.501)
    ints, scale = integer_weights(weight * np.array([[0], [1e-12], [1], [1], [1]]), 4, 1e-6)
    assert np.abs(ints).max(axis=1).tolist() == [0, 0, 7, 7, 7]
    assert scale[:2].tolist() == [1e-6, 1e-6]


def test_mse_cuts_off_rare_outliers():
    x = images(64)
    x[0, 0, 0, 0] = 20.0
    scales = {}
    for method in ("minmax", "percentile", "mse"):
        module = parse_module(NETWORK)
        quantize = QuantizePass(method=method, activation_bits=4, percentile=99.9, samples=64)
        quantise(module, weights(), data={"x": x}, quantize=quantize)
        scales[method] = coded_ops(module)[0].quant.scale
    assert scales["mse"] < 0.7 * scales["minmax"]
    assert scales["percentile"] < 0.7 * scales["minmax"]


@pytest.mark.parametrize(
    "quantize",
    [
        QuantizePass(weight_bits=1),
        QuantizePass(activation_bits=17),
        QuantizePass(percentile=50),
        QuantizePass(samples=0),
    ],
)
def test_options_out_of_range(quantize):
    with pytest.raises(PassError, match="must be"):
        quantise(parse_module(NETWORK), weights(), quantize=quantize)


def test_an_unknown_method_is_an_error():
    with pytest.raises(PassError, match="quantize"):
        parse('quantize{method="best"}')


def test_calibration_data_must_fit():
    with pytest.raises(UserInputError, match="input 'x'"):
        quantise(parse_module(NETWORK), weights(), data={"x": np.zeros((4, 1, 8, 9))})
