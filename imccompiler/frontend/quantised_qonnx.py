"""QONNX: Quant (IntQuant), BipolarQuant, Trunc and FloatQuant.

They map real values to real values that integers can stand for. The arithmetic is that of the
qonnx package's executor, in single precision.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Array
from imccompiler.frontend.graph import Node
from imccompiler.frontend.quantised import Lowering
from imccompiler.frontend.quantised_code import Code, ConstantCodes, integer_range
from imccompiler.frontend.quantised_linear import WIDEST
from imccompiler.simulator.integer import range_bits

SIGN_STEP = 2.0**-20
"""Step of a code that only holds a sign, to the scale: below half of it, signs are lost."""

FLOOR_MARGIN = 2.0**-10
"""By how much less than half a step a value is moved for rounding to the nearest to be a floor."""

ROUNDINGS: Mapping[str, Callable[[Array], Array]] = {
    "ROUND": np.rint,
    "HALF_EVEN": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + np.float32(0.5)),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - np.float32(0.5)),
}
_NEAREST = frozenset({"ROUND", "HALF_EVEN", "HALF_UP", "HALF_DOWN"})


def quant(g: Lowering, node: Node) -> None:
    """Quant: x, scale, zero point, bits."""
    x, bits = node.input(0), round(g.scalar(node.input(3), node))
    signed = bool(node.attributes.get("signed", 1))
    if bits == 1 and signed:
        bipolar_quant(g, node)
        return
    scale, zero = (_constant(g, node, i) for i in (1, 2))
    low, high = integer_range(bits, signed=signed, narrow=bool(node.attributes.get("narrow", 1)))
    rounding = _rounding(node, "ROUND")
    if g.is_constant(x):
        steps = g.array(x).astype(np.float32) / scale + zero
        codes = ROUNDINGS[rounding](np.clip(steps, low, high))
        values = ((codes - zero) * scale).astype(np.float32)
        _remember(
            g, node, values, scale, range_bits(low - round(zero.max()), high - round(zero.min()))
        )
        return
    zero_point = _whole(zero, node)
    if bits > WIDEST:
        g.note(f"{node.name!r} quantises to {bits} bits, which is finer than any code: left out")
        g.alias(node, node.outputs[0], x)
        return
    if scale.size == 1:
        code = Code(float(scale.reshape(())), zero_point, low, high)
        if rounding not in _NEAREST:  # which is done to a finer code of the values
            x = g.requantize(node, x, _finer(code, bits, signed=signed), part="finer")
        x = _moved_for(g, node, x, code.scale, rounding, FLOOR_MARGIN)
        g.requantize(node, x, code, out=node.outputs[0], part="")
        return
    steps = g.affine(node, "Div", x, scale, part="channels")
    steps = _moved_for(g, node, steps, 1.0, rounding, FLOOR_MARGIN)
    held = g.requantize(node, steps, Code(1.0, zero_point, low, high))
    gain = g.constant(f"{node.name}/scale", scale)
    g.emit(node, "Mul", [held, gain], out=node.outputs[0])


def bipolar_quant(g: Lowering, node: Node) -> None:
    """BipolarQuant: x, scale; gives scale where x is not negative, else -scale.

    Of activations: a code of one bit, -1 or 0, with a step so small that every negative number
    rounds to -1 or below; then a choice between the two values by that code.
    """
    x, scale = node.input(0), _constant(g, node, 1)
    if g.is_constant(x):
        values = np.where(g.array(x) >= 0, np.float32(1), np.float32(-1)) * scale
        _remember(g, node, values.astype(np.float32), scale, 2)
        return
    if scale.size != 1:
        raise ModelError(
            "scales activations by channel", where=node.where, hint="use one scale a tensor"
        )
    s = float(scale.reshape(()))
    negative = g.requantize(node, x, Code(s * SIGN_STEP, 0, -1, 0), part="sign")
    choices = [
        g.constant(f"{node.name}/{sign}", np.array(value, np.float32))
        for sign, value in (("below", -s), ("above", s))
    ]
    y = g.emit(node, "Where", [negative, *choices], part="values")
    g.requantize(node, y, Code(s, 0, -2, 1), out=node.outputs[0], part="")


def trunc(g: Lowering, node: Node) -> None:
    """Trunc: x, scale, zero point, bits, [scale of the result,] bits of the result.

    Drops the last bits of codes n: floor(n / 2^t) = round(n / 2^t - 1/2 + 2^-(t + 1)), never a tie.
    Without a scale of the result, the old form, it is that of x: the integers are made with the
    step of what is left, and then have the smaller one.
    """
    later = len(node.inputs) > 5
    x, scale = node.input(0), g.scalar(node.input(1), node)
    zero = g.scalar(node.input(2), node)
    bits = round(g.scalar(node.input(5 if later else 4), node))
    out_scale = g.scalar(node.input(4), node) if later else scale
    dropped = round(float(np.log2(out_scale / scale)))
    low, high = integer_range(bits + 1, signed=True)
    if later:
        signed, narrow = (
            bool(node.attributes.get(k, d)) for k, d in (("signed", 1), ("narrow", 0))
        )
        low, high = integer_range(bits, signed=signed, narrow=narrow)
    else:
        dropped = round(g.scalar(node.input(3), node)) - bits
    step, out_zero = scale * 2.0**dropped, zero * 2.0**-dropped if later else zero
    rounding = _rounding(node, "FLOOR")
    if g.is_constant(x):
        steps = np.rint(g.array(x).astype(np.float32) / np.float32(scale) + zero) / 2.0**dropped
        codes = ROUNDINGS[rounding](np.clip(steps, low, high) if later else steps)
        values = ((codes - out_zero) * np.float32(out_scale)).astype(np.float32)
        _remember(g, node, values, np.array(out_scale, np.float32), bits + 1)
        return
    if zero:
        x = g.affine(node, "Add", x, scale * zero, part="centred")
    x = _moved_for(g, node, x, step, rounding, 2.0 ** -(dropped + 1))
    held = Code(step, 0, low, high)
    if out_scale == step and not out_zero:
        g.requantize(node, x, held, out=node.outputs[0], part="")
        return
    x = g.requantize(node, x, held, part="steps")
    x = g.affine(node, "Mul", x, out_scale / step, part="scaled")
    x = g.requantize(node, x, Code(out_scale, 0, low, high), part="scaled/codes")
    if out_zero:
        zero_point = _whole(np.array(out_zero), node)
        x = g.affine(node, "Sub", x, out_scale * out_zero, part="shifted")
        x = g.requantize(node, x, Code(out_scale, zero_point, low, high), part="shifted/codes")
    g.alias(node, node.outputs[0], x)


def float_quant(g: Lowering, node: Node) -> None:
    """FloatQuant: x, scale, bits of exponent and mantissa, bias of the exponent, largest value.

    A minifloat is an integer number of its smallest steps. Where those integers take at most 8
    bits, they are a weight's codes; activations get codes of 16 bits with a step that is a power
    of two times the scale, and rounding to the minifloat is left to it.
    """
    x, scale = node.input(0), _constant(g, node, 1)
    exponent, mantissa = (g.scalar(node.input(i), node) for i in (2, 3))
    bias = g.scalar(node.input(4), node, 2.0 ** (exponent - 1) - 1)
    reach = (2 - 2.0**-mantissa) * 2.0 ** (2**exponent - 1 - bias)
    reach = min(reach, g.scalar(node.input(5), node, reach))
    step = 2.0 ** (1 - bias - mantissa)
    if g.is_constant(x):
        rounding = ROUNDINGS[_rounding(node, "ROUND")]
        values = minifloat(g.array(x) / scale, mantissa, step, reach, rounding) * scale
        bits = range_bits(-int(reach / step), int(reach / step))
        if bits <= 8:
            _remember(g, node, values.astype(np.float32), scale * np.float32(step), bits)
        else:
            g.constants.add(node.outputs[0], values.astype(np.float32))
            g.note(f"the minifloats of {node.name!r} take {bits} bits as integers: quantised anew")
        return
    if scale.size != 1:
        raise ModelError("scales activations by channel", where=node.where)
    wide = 2.0 ** np.ceil(np.log2(reach / (2 ** (WIDEST - 1) - 1)))
    code = Code(float(scale.reshape(())) * max(wide, step), 0, *integer_range(WIDEST, signed=True))
    g.note(f"activations of {node.name!r} are held in {WIDEST} bits instead of minifloats")
    limit = float(scale.reshape(())) * reach
    x = g.emit(node, "Clip", [x], {"min": -limit, "max": limit}, part="range")
    g.requantize(node, x, code, out=node.outputs[0], part="")


def minifloat(
    x: Array, mantissa: float, step: float, reach: float, rounding: Callable[[Array], Array]
) -> Array:
    """The values as floats with few bits of mantissa, saturated.

    Args:
        x: Real values.
        mantissa: Bits behind the leading one.
        step: Of the smallest numbers.
        reach: The largest number.
        rounding: To whole steps.
    """
    tiny = np.finfo(np.float32).tiny
    exponents = np.floor(np.log2(np.abs(x.astype(np.float32)) + tiny)) - mantissa
    steps = np.exp2(np.maximum(exponents, np.log2(step)))
    return np.clip(rounding(x / steps) * steps, -reach, reach)


def _moved_for(g: Lowering, node: Node, x: str, scale: float, rounding: str, margin: float) -> str:
    """Move values so that rounding to the nearest code does what another rounding would."""
    if rounding in _NEAREST:
        return x
    if rounding not in {"CEIL", "FLOOR"}:
        raise ModelError(
            f"rounds activations in mode {rounding}",
            where=node.where,
            hint="export the network with rounding_mode ROUND, FLOOR or CEIL",
        )
    shift = (0.5 - margin) * scale
    return g.affine(node, "Add", x, -shift if rounding == "FLOOR" else shift, part=rounding.lower())


def _finer(code: Code, bits: int, *, signed: bool) -> Code:
    """Codes of 16 bits, each step of the given code being many of them."""
    factor = 1 << (WIDEST - bits)
    low, high = integer_range(WIDEST, signed=signed)
    return Code(code.scale / factor, code.zero_point * factor, low, high)


def _remember(g: Lowering, node: Node, values: Array, scale: Array, bits: int) -> None:
    g.constants.add(node.outputs[0], values)
    g.codes[node.outputs[0]] = ConstantCodes(np.asarray(scale, np.float64), bits)


def _constant(g: Lowering, node: Node, position: int) -> Array:
    name = node.input(position)
    if not name or not g.is_constant(name):
        raise ModelError(
            f"input {name!r} is not known before the network runs",
            where=node.where,
            hint="export the network with constant scales and zero points",
        )
    return g.array(name).astype(np.float32)


def _whole(zero: Array, node: Node) -> int:
    """A zero point of activations as the integer that it has to be."""
    values = np.unique(zero)
    if values.size != 1 or values[0] != np.rint(values[0]):
        raise ModelError(f"has zero point {values.tolist()}, not one integer", where=node.where)
    return int(values[0])


def _rounding(node: Node, default: str) -> str:
    mode = str(node.attributes.get("rounding_mode", default)).upper()
    if mode not in ROUNDINGS:
        raise ModelError(
            f"has rounding_mode {mode!r}", where=node.where, hint=f"modes: {', '.join(ROUNDINGS)}"
        )
    return mode


QONNX_RULES = {
    "Quant": quant,
    "IntQuant": quant,
    "BipolarQuant": bipolar_quant,
    "Trunc": trunc,
    "FloatQuant": float_quant,
}
