"""Crossbar arithmetic: digits in, column sums, converters, shift-and-add.

The one implementation of `docs/program.md`, 'Matrix products on crossbars', written over the
array API: numpy in, numpy out; torch in, torch out. Batched over images.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from array_api_compat import array_namespace, device

from imccompiler.hardware.schema import Crossbar
from imccompiler.simulator.cells import (
    EXACT_FLOAT32,
    Array,
    CellScheme,
    ProgrammedTile,
    column_range,
)
from imccompiler.simulator.noise import ReadNoise

_BLOCK_VALUES = 1 << 17  # column sums held at once: 512 KiB in float32 stay in the cache


@dataclass(frozen=True, slots=True)
class Converter:
    """An ADC; `lsb` and `range_share` as in the hardware description."""

    bits: int
    lsb: Literal["unit", "full_range", "column_range"] = "unit"
    range_share: float = 1.0

    @staticmethod
    def of(crossbar: Crossbar) -> Converter | None:
        """The converter of a crossbar; None for digital ones, which count exactly."""
        if crossbar.digital:
            return None
        return Converter(crossbar.adc.bits, crossbar.adc.lsb, crossbar.adc.range_share)

    def codes(self, scheme: CellScheme) -> tuple[int, int]:
        """The lowest and the highest code, at which it saturates."""
        if scheme.signed_sums:
            half = 1 << (self.bits - 1)
            return -half, half - 1
        return 0, (1 << self.bits) - 1

    def step(self, scheme: CellScheme) -> float:
        """Column sum that one code stands for; never below 1, the smallest change of a sum."""
        if self.lsb == "unit":
            return 1.0
        return max(1.0, scheme.largest_sum * self._share(scheme))

    def steps(self, tile: ProgrammedTile) -> Any:
        """The step of each bit line, shape (P * outputs,), or one for all of a float."""
        if self.lsb != "column_range":
            return self.step(tile.scheme)
        xp, steps = array_namespace(tile.cells), column_range(tile) * self._share(tile.scheme)
        return xp.maximum(steps, xp.ones_like(steps))

    def _share(self, scheme: CellScheme) -> float:
        """What one code is of the range."""
        return self.range_share / max(1, self.codes(scheme)[1])

    def convert(self, sums: Array, scheme: CellScheme, step: Any, *, whole: bool) -> Array:
        """Codes of column sums; `whole` promises that the sums are integers."""
        xp = array_namespace(sums)
        if self.lsb != "unit":
            sums = xp.round(sums / step)
        elif not whole:
            sums = xp.round(sums)
        return xp.clip(sums, *self.codes(scheme))


def multiply(
    tile: ProgrammedTile,
    x: Array,
    input_bits: int,
    adc: Converter | None = None,
    *,
    noise: ReadNoise | None = None,
) -> Array:
    """Products of input codes with a tile's matrix, as its crossbars compute them.

    Args:
        tile: The programmed matrix.
        x: Input codes of `input_bits` bits, integers, shape (images, rows).
        input_bits: Bits of the inputs, given to the rows as digits.
        adc: The converter; None: as many bits as needed, which makes the product exact.
        noise: Read noise on every column sum.

    Returns:
        Sums, shape (images, outputs), int64.
    """
    xp = array_namespace(x)
    if tile.scheme.input_bits_per_cycle > 1:  # offset binary: inputs are raised above zero
        x = xp.astype(x, xp.int32 if input_bits < 31 else xp.int64) + (1 << (input_bits - 1))
    lines = tile.cells.shape[1] * -(-input_bits // tile.scheme.input_bits_per_cycle)
    block = max(1, _BLOCK_VALUES // lines)
    step = 1.0 if adc is None else adc.steps(tile)
    parts: list[Array] = []
    for first in range(0, max(1, x.shape[0]), block):
        part = x[first : first + block, :]
        digits, places = _digits(xp, part, input_bits, tile.scheme.input_bits_per_cycle)
        codes = _column_codes(tile, xp.astype(digits, tile.cells.dtype), adc, step, noise, first)
        parts.append(_shift_and_add(tile, codes, places, input_bits, step))
    sums = xp.concat(parts) if len(parts) > 1 else parts[0]
    sums = sums + _digital_part(tile, x, input_bits)
    return xp.astype(xp.round(sums), xp.int64)


def _digits(xp: Any, x: Array, input_bits: int, digit_bits: int) -> tuple[Array, list[float]]:
    """Digits of all inputs, least significant first, shape (digits, images, rows); places."""
    count = -(-input_bits // digit_bits)
    shifts = xp.arange(0, count * digit_bits, digit_bits, dtype=x.dtype, device=device(x))
    mask = xp.asarray((1 << digit_bits) - 1, dtype=x.dtype, device=device(x))
    digits = xp.bitwise_and(xp.bitwise_right_shift(x[None, :, :], shifts[:, None, None]), mask)
    places = [float(1 << (d * digit_bits)) for d in range(count)]
    if digit_bits == 1:
        places[-1] = -places[-1]
    return digits, places


def _column_codes(
    tile: ProgrammedTile,
    planes: Array,
    adc: Converter | None,
    step: Any,
    noise: ReadNoise | None,
    first: int,
) -> Array:
    """Converted column sums, added over the passes, shape (digits, images, bit lines).

    `first` is the number of the first image in its batch.
    """
    xp = array_namespace(planes)
    digits, images, _ = planes.shape
    flat = xp.reshape(planes, (digits * images, tile.rows))
    codes = None
    for row in range(0, tile.rows, tile.scheme.rows_active):
        rows = slice(row, row + tile.scheme.rows_active)
        sums = xp.reshape(xp.matmul(flat[:, rows], tile.cells[rows, :]), (digits, images, -1))
        if noise is not None:
            draws = xp.asarray(noise.draw(row, first, (images, digits, sums.shape[2])))
            draws = xp.permute_dims(draws, (1, 0, 2))
            power = xp.sum(planes[:, :, rows] ** 2, axis=2)[:, :, None]
            sums = sums + noise.sigma * xp.sqrt(power) * draws
        whole = tile.whole_levels and noise is None
        converted = sums if adc is None else adc.convert(sums, tile.scheme, step, whole=whole)
        codes = converted if codes is None else codes + converted
    return codes


def _shift_and_add(
    tile: ProgrammedTile, codes: Array, places: list[float], input_bits: int, step: Any
) -> Array:
    """Codes weighted with the places of digits and bit lines, shape (images, outputs), float64.

    `step` is what a code stands for, for each bit line or for all.
    """
    xp = array_namespace(codes)
    largest = tile.rows * ((1 << tile.scheme.cell_bits) - 1) << (input_bits + 1)
    exact = largest < EXACT_FLOAT32 and codes.dtype == xp.float32
    dtype = xp.float32 if exact else xp.float64
    weights = xp.asarray([places], dtype=dtype, device=device(codes))
    flat = xp.reshape(xp.astype(codes, dtype, copy=False), (len(places), -1))
    columns = xp.reshape(xp.matmul(weights, flat), (codes.shape[1], *tile.place.shape))
    place = tile.place
    if not isinstance(step, float):
        place = place * xp.reshape(xp.astype(step, xp.float64), place.shape)
    sums = xp.sum(xp.astype(columns, xp.float64) * place, axis=1)
    return sums * step if isinstance(step, float) else sums


def _digital_part(tile: ProgrammedTile, x: Array, input_bits: int) -> Array:
    """What the digital side adds: offsets of weights and of inputs, shape (images, outputs)."""
    xp = array_namespace(x)
    input_sums = xp.astype(xp.sum(x, axis=1, dtype=xp.int64), xp.float64)
    part = input_sums[:, None] * tile.input_weight
    if tile.scheme.input_bits_per_cycle > 1:
        part = part - float(1 << (input_bits - 1)) * tile.weight_sums
    return part


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
