"""Crossbar arithmetic: digits in, column sums, converters, shift-and-add.

The one implementation of `docs/program.md`, 'Matrix products on crossbars', written over the
array API: numpy in, numpy out; torch in, torch out. Batched over images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from array_api_compat import array_namespace, device

from imccompiler.hardware.schema import Crossbar
from imccompiler.simulator.cells import EXACT_FLOAT32, Array, CellScheme, ProgrammedTile

_EXACT_FLOAT64 = 1 << 53
_BLOCK_VALUES = 1 << 17  # column sums held at once: 512 KiB in float32 stay in the cache


@dataclass(frozen=True, slots=True)
class Converter:
    """An ADC; `lsb` as in the hardware description."""

    bits: int
    lsb: Literal["unit", "full_range"] = "unit"

    @staticmethod
    def of(crossbar: Crossbar) -> Converter | None:
        """The converter of a crossbar; None for digital ones, which count exactly."""
        if crossbar.style == "digital" or crossbar.adc.kind == "none":
            return None
        return Converter(crossbar.adc.bits, crossbar.adc.lsb)

    @property
    def largest_code(self) -> int:
        """The code at which it saturates."""
        return (1 << self.bits) - 1

    def step(self, scheme: CellScheme) -> float:
        """Column sum that one code stands for; never below 1, the smallest change of a sum."""
        if self.lsb == "unit":
            return 1.0
        return max(1.0, scheme.largest_sum / self.largest_code)


def multiply(
    tile: ProgrammedTile, x: Array, input_bits: int, adc: Converter | None = None
) -> Array:
    """Products of input codes with a tile's matrix, as its crossbars compute them.

    Args:
        tile: The programmed matrix.
        x: Input codes of `input_bits` bits, integers, shape (images, rows).
        input_bits: Bits of the inputs, given to the rows as digits.
        adc: The converter; None: as many bits as needed, which makes the product exact.

    Returns:
        Sums, shape (images, outputs), int64.
    """
    xp = array_namespace(x)
    digits = -(-input_bits // tile.scheme.input_bits_per_cycle)
    block = max(1, _BLOCK_VALUES // (digits * tile.cells.shape[1]))
    if x.shape[0] <= block:
        return _multiply_block(xp, tile, x, input_bits, adc)
    starts = range(0, x.shape[0], block)
    blocks = [_multiply_block(xp, tile, x[i : i + block, :], input_bits, adc) for i in starts]
    return xp.concat(blocks)


def _multiply_block(
    xp: Any, tile: ProgrammedTile, x: Array, input_bits: int, adc: Converter | None
) -> Array:
    scheme = tile.scheme
    step = 1.0 if adc is None else adc.step(scheme)
    if scheme.input_bits_per_cycle > 1:  # offset binary: inputs are raised to be non-negative
        x = xp.astype(x, xp.int32 if input_bits < 31 else xp.int64) + (1 << (input_bits - 1))
    digits, places = _digits(xp, x, input_bits, scheme.input_bits_per_cycle)
    planes = xp.astype(digits, tile.cells.dtype)
    sums = None
    for row in range(0, tile.rows, scheme.rows_active):
        rows = slice(row, row + scheme.rows_active)
        columns = xp.matmul(planes[:, rows], tile.cells[rows, :])
        converted = _convert(xp, columns, adc, step)
        sums = converted if sums is None else sums + converted
    shifted = _shift_and_add(xp, sums, places, tile, x.shape[0], input_bits)
    y = shifted if step == 1.0 else step * shifted
    input_sums = xp.astype(xp.sum(x, axis=1, dtype=xp.int64), xp.float64)
    y = y + input_sums[:, None] * tile.input_weight
    if scheme.input_bits_per_cycle > 1:
        y = y - float(1 << (input_bits - 1)) * tile.weight_sums
    return xp.astype(y if step == 1.0 else xp.round(y), xp.int64)


def _digits(xp: Any, x: Array, input_bits: int, digit_bits: int) -> tuple[Array, list[float]]:
    """Digits of all inputs, least significant first, shape (digits * images, rows), and places."""
    count = -(-input_bits // digit_bits)
    where = device(x)
    shifts = xp.arange(0, count * digit_bits, digit_bits, dtype=x.dtype, device=where)
    mask = xp.asarray((1 << digit_bits) - 1, dtype=x.dtype, device=where)
    digits = xp.bitwise_and(xp.bitwise_right_shift(x[None, :, :], shifts[:, None, None]), mask)
    places = [float(1 << (d * digit_bits)) for d in range(count)]
    if digit_bits == 1:
        places[-1] = -places[-1]
    return xp.reshape(digits, (count * x.shape[0], x.shape[1])), places


def _convert(xp: Any, columns: Array, adc: Converter | None, step: float) -> Array:
    """Codes of column sums (integers, not negative)."""
    if adc is None:
        return columns
    if step != 1.0:
        columns = xp.round(columns / step)
    return xp.clip(columns, 0, adc.largest_code)


def _shift_and_add(
    xp: Any, sums: Array, places: list[float], tile: ProgrammedTile, images: int, input_bits: int
) -> Array:
    """Codes weighted with the places of digits and bit lines, shape (images, outputs), float64."""
    largest = tile.rows * ((1 << tile.scheme.cell_bits) - 1) << (input_bits + 1)
    exact = largest < EXACT_FLOAT32 and tile.cells.dtype == xp.float32
    dtype = xp.float32 if exact else xp.float64
    weights = xp.asarray([places], dtype=dtype, device=device(sums))
    flat = xp.reshape(xp.astype(sums, dtype, copy=False), (len(places), -1))
    columns = xp.reshape(xp.matmul(weights, flat), (images, *tile.place.shape))
    return xp.sum(xp.astype(columns, xp.float64) * tile.place, axis=1)


def multiply_exact(weights: Array, x: Array) -> Array:
    """The plain integer product, for callers that need its value and not the way to it.

    Args:
        weights: Weight codes as floats (see `exact_dtype`), shape (rows, outputs).
        x: Input codes, integers, shape (images, rows).

    Returns:
        Sums, shape (images, outputs), int64.
    """
    xp = array_namespace(x)
    return xp.astype(xp.matmul(xp.astype(x, weights.dtype), weights), xp.int64)


def exact_dtype(xp: Any, rows: int, weight_bits: int, input_bits: int) -> Any:
    """The float type in which `multiply_exact` makes no error."""
    exact = rows << (weight_bits + input_bits - 2) < EXACT_FLOAT32
    return xp.float32 if exact else xp.float64
