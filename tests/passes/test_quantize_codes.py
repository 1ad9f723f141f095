"""Integers that a network brings: kept, checked, and given up only where that is said."""

from __future__ import annotations

import numpy as np
import pytest

from imccompiler.errors import PassError
from imccompiler.hardware.load import load
from imccompiler.ir.decisions import Quant
from imccompiler.ir.dialect import MatmulOp
from imccompiler.ir.store import WeightStore
from imccompiler.ir.text import parse_module
from imccompiler.passes.base import CompileContext, XdslContext
from imccompiler.passes.registry import DEFAULT_PIPELINE, parse
from imccompiler.simulator.integer import MatmulRequant, multiplier_width

PLAIN = "window = #imc.window<kernel = [], strides = [], pads = [], dilations = []>"
INT4 = "quant = #imc.quant<scale = 0.1, zero_point = 1, bits = 4>"
RNG = np.random.default_rng(0)
CODES = RNG.integers(-7, 8, (12, 5))
SCALES = RNG.uniform(0.1, 0.5, 5)


def network(activation="none", bits=4, zero_bits=0):
    zero = f", zero_bits = {zero_bits}" if zero_bits else ""
    return parse_module(f"""
    builtin.module {{
      %x = imc.input "x" {{{INT4}}} : tensor<1x12xf32>
      %w = imc.weight "w" : tensor<12x5xf32>
      %m = imc.matmul %x, %w {{activation = "{activation}", {PLAIN},
        codes = #imc.codes<peaks = "peaks", bits = {bits}{zero}>}}
        : tensor<1x12xf32>, tensor<12x5xf32> -> tensor<1x5xf32>
      %i = imc.digital "Identity"(%m) {{}} {{{INT4}}} : (tensor<1x5xf32>) -> tensor<1x5xf32>
      imc.output "y" %i : tensor<1x5xf32>
    }}
    """)


def store(codes=CODES, peaks=None):
    held = np.abs(CODES).max(axis=0) if peaks is None else peaks
    return WeightStore({"w": (codes * SCALES).astype(np.float32), "peaks": held.astype(np.int32)})


def run(module, weights, pipeline="canonicalize,quantize"):
    context = CompileContext(load("pimcomp"), weights)
    for each in parse(pipeline):
        each.apply(XdslContext(context), module)
    (op,) = [o for o in module.body.block.ops if isinstance(o, MatmulOp)]
    return op, context


def test_integers_and_codes_are_kept():
    op, context = run(network(), store())
    np.testing.assert_array_equal(context.store[op.integer.weight], CODES)
    assert op.integer.weight_bits == 4
    assert op.quant == Quant(0.1, 1, 4)
    assert not context.notes  # nothing had to be calibrated


def test_options_do_not_change_them():
    op, context = run(network(), store(), "canonicalize,quantize{weight_bits=3 activation_bits=6}")
    np.testing.assert_array_equal(context.store[op.integer.weight], CODES)
    assert op.quant.bits == 4


def test_scales_may_change_and_signs():
    factors = np.array([0.2, -3.0, 1.0, 40.0, -0.01])
    op, context = run(network(), store(CODES * factors))
    np.testing.assert_array_equal(context.store[op.integer.weight], CODES * np.sign(factors))


def test_other_weights_are_an_error():
    changed = CODES * RNG.uniform(0.5, 2, (12, 1))
    with pytest.raises(PassError, match="not the integers that are decided"):
        run(network(), store(changed))


def test_too_wide_by_zero_points_only():
    wide = RNG.integers(-200, 56, (12, 5))
    peaks = np.abs(wide).max(axis=0)
    op, context = run(network(bits=9, zero_bits=1), store(wide, peaks))
    assert (op.codes, op.integer.weight_bits) == (None, 8)
    assert any("quantised anew" in note for note in context.notes)
    op, context = run(network(bits=9), store(wide, peaks))
    assert op.integer.weight_bits == 9  # partition says that it does not fit
    assert not context.notes


def test_relu_inside_codes_stands_apart():
    """A relu at a zero point that is not the lowest code is no saturation."""
    module = network("relu")
    op, _ = run(module, store())
    assert op.activation.data == "none"
    kinds = [o.op_type.data for o in module.body.block.ops if o.name == "imc.digital"]
    assert kinds == ["Relu"]


def test_one_bit_is_the_sign_of_the_sum():
    weight = RNG.choice([-1, 1], (6, 33))
    bias = np.array([0.0, 0.3, -0.3, 2.0, -2.0, 0.51])
    code = Quant(2.0**-20, 0, 1)
    requant = MatmulRequant.from_quants(weight, np.ones(6), bias, Quant(1.0, 0, 2), code)
    x = RNG.choice([-1, 1], (500, 33))
    x[:, 0] = 0
    sums = x @ weight.T
    np.testing.assert_array_equal(requant.apply(sums, 1), np.where(sums + bias >= 0, 0, -1))


def test_wide_codes_have_wide_multipliers():
    assert multiplier_width(28) == 12
    assert multiplier_width(28, 16) == 15
    assert multiplier_width(20, 4) == 12


@pytest.mark.parametrize("bits", [2, 5, 12, 16])
@pytest.mark.parametrize("name", ["digits-cnn", "lenet"])
def test_programs_equal_the_reference_at_any_width(named_network, map_network, name, bits):
    pipeline = DEFAULT_PIPELINE.replace("quantize", f"quantize{{activation_bits={bits}}}", 1)
    mapped = map_network(named_network(name), "pimcomp", pipeline=pipeline)
    assert mapped.differing() == 0
