"""Integer weights of a product, one scale a channel, and their fixed-point requantisation."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from xdsl.ir import SSAValue

from imccompiler.errors import PassError
from imccompiler.ir.absent import absent, is_absent
from imccompiler.ir.decisions import IntegerMatmul
from imccompiler.ir.dialect import MatmulOp, WeightOp
from imccompiler.ir.store import WeightStore
from imccompiler.simulator.integer import AffineCode, MatmulRequant, range_bits

Array = NDArray[Any]

SMALLEST_RATIO = 2.0**-14
"""Of a product's step (one weight step times one input step) to a step of the result.

Finer steps gain nothing: rounding n weights at this ratio moves the result by about
sqrt(n / 12) 2^(bits - 2) SMALLEST_RATIO steps, a thirteenth of a step for 4,608 rows and 8 bits.
They would cost wide accumulators in channels whose weights are all tiny.
"""

CODE_TOLERANCE = 0.05
"""By which given integers may be missed; single precision misses by 2^-8 at 16 bits."""


def integer_weights(
    weight: Array, bits: int, smallest_scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Symmetric integer weights in the narrow range +-(2^(bits-1) - 1), and their scales.

    Args:
        weight: Real weights, shape (channels, rows).
        bits: Width of a weight.
        smallest_scale: No channel's scale is below.

    Returns:
        Integers (held in float32) of the same shape, and scales of shape (channels,).
    """
    largest = (1 << (bits - 1)) - 1
    reach = np.abs(weight).max(axis=1, initial=0.0).astype(np.float64)
    scale = np.maximum(reach / largest, smallest_scale)
    steps = np.asarray(weight, dtype=np.float32) * (1.0 / scale).astype(np.float32)[:, None]
    np.rint(steps, out=steps)
    return np.clip(steps, -largest, largest, out=steps), scale


def given_weights(
    op: MatmulOp, matrix: Array, peaks: Array, smallest_scale: float
) -> tuple[NDArray[np.float32], NDArray[np.float64], int]:
    """The integers that a quantised network brings, and their scales.

    A channel whose scale is below `smallest_scale` is so weak that coarser integers do as well.

    Args:
        op: With `codes`.
        matrix: Real weights, shape (channels, rows).
        peaks: Largest magnitude of each channel's integers, shape (channels,).
        smallest_scale: No channel's scale is below.

    Returns:
        Integers (held in float32), scales of shape (channels,), and the width of the integers.

    Raises:
        PassError: The weights are no such integers any more.
    """
    reach = np.abs(matrix).max(axis=1, initial=0.0).astype(np.float64)
    scale = np.maximum(reach / np.maximum(peaks, 1), smallest_scale)
    steps = matrix / scale[:, None]
    codes = np.rint(steps)
    strong = scale > smallest_scale
    if np.abs(steps - codes)[strong].max(initial=0.0) > CODE_TOLERANCE:
        raise PassError(
            "its weights are not the integers that are decided for them",
            where=op.source.node if op.source is not None else op.name,
            hint="remove the decision `codes`, or undo what changed the weights",
        )
    bits = op.codes.bits if op.codes is not None else 1
    bits = max(bits, range_bits(int(codes.min(initial=0)), int(codes.max(initial=0))))
    return codes.astype(np.float32), scale, bits


def decide_integer(
    op: MatmulOp, store: WeightStore, bits: int, input_code: AffineCode, output_code: AffineCode
) -> IntegerMatmul:
    """The integer form of a product; its arrays are added to the store.

    Keys name the weight, the array and a hash of its content, so that other decisions on the
    same network can stand in the same store.

    Raises:
        PassError: The weight or the bias is not a constant.
    """
    name = _key(op.weight)
    weight = store[name]
    matrix = weight.reshape(weight.shape[0], -1) if op.window.kernel else weight.T
    smallest = SMALLEST_RATIO * output_code.scale / input_code.scale
    if op.codes is not None:
        bits = op.codes.bits
    if is_absent(weight):
        codes, scale = _unknown_weights(matrix.shape, bits, smallest)
        stored = absent(weight.shape, np.int8 if bits <= 8 else np.int16)
    else:
        if op.codes is None:
            codes, scale = integer_weights(matrix, bits, smallest)
        else:
            codes, scale, bits = given_weights(op, matrix, store[op.codes.peaks], smallest)
        stored = codes.astype(np.int8 if bits <= 8 else np.int16)
        stored = stored.reshape(weight.shape) if op.window.kernel else stored.T
    bias = None if op.bias is None else store[_key(op.bias)]
    requant = MatmulRequant.from_quants(codes, scale, bias, input_code, output_code)

    def put(part: str, array: Array) -> str:
        if is_absent(array):
            return store.add(f"{name}.{part}", array)
        array = np.ascontiguousarray(array)
        digest = hashlib.blake2b(array.data, digest_size=6).hexdigest()
        return store.add(f"{name}.{part}.{digest}", array)

    return IntegerMatmul(
        weight=put(f"int{bits}", stored),
        bias=put("bias", requant.bias),
        multiplier=put("multiplier", requant.multiplier),
        shift=put("shift", requant.shift),
        weight_bits=bits,
        accumulator_bits=requant.accumulator_bits,
        product_bits=requant.product_bits,
    )


def _unknown_weights(
    shape: tuple[int, ...], bits: int, smallest_scale: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """In place of integer weights one column with the largest sum that they can have; and scales.

    Weights whose values are not known are between -1 and 1.
    """
    largest = (1 << (bits - 1)) - 1
    channels, rows = shape
    scale = np.full(channels, max(1 / largest, smallest_scale))
    return np.full((channels, 1), float(largest * rows)), scale


def _key(value: SSAValue) -> str:
    if not isinstance(value.owner, WeightOp):
        raise PassError("the weight and the bias of imc.matmul must be imc.weight")
    return value.owner.key.data
