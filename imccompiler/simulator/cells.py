"""Weights as cells: how a crossbar stores a matrix, and what its digital side must know.

Written over the array API: numpy in, numpy out; torch in, torch out.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from array_api_compat import array_namespace, device

from imccompiler.hardware.schema import CoreKind

Array = Any  # of any namespace of the array API

EXACT_FLOAT32 = 1 << 24
"""Below this, sums of integers in float32 are exact."""


@dataclass(frozen=True, slots=True)
class CellScheme:
    """How a crossbar stores and reads weights; fields as in the hardware description."""

    weight_bits: int
    cell_bits: int
    signed_weights: Literal["offset", "differential", "differential_cell", "twos_complement"]
    input_bits_per_cycle: int
    rows_active: int
    flip_encoding: bool = False

    @staticmethod
    def of(kind: CoreKind, weight_bits: int) -> CellScheme:
        """The scheme of a kind of core."""
        return CellScheme(
            weight_bits=weight_bits,
            cell_bits=kind.cell.bits,
            signed_weights=kind.crossbar.signed_weights,
            input_bits_per_cycle=kind.crossbar.input_bits_per_cycle,
            rows_active=kind.crossbar.rows_active,
            flip_encoding=kind.crossbar.flip_encoding,
        )

    @property
    def slices(self) -> int:
        """Cells that one weight is cut into."""
        return -(-self.weight_bits // self.cell_bits)

    @property
    def columns_per_weight(self) -> int:
        """Bit lines that one weight takes."""
        return self.slices * (2 if self.signed_weights == "differential" else 1)

    @property
    def signed_sums(self) -> bool:
        """Whether column sums can be negative: both devices of a pair work on one bit line."""
        return self.signed_weights == "differential_cell"

    @property
    def largest_digit(self) -> int:
        """Largest input of one cycle."""
        return (1 << self.input_bits_per_cycle) - 1

    @property
    def largest_sum(self) -> int:
        """Column sum when every active row is driven fully on cells that conduct fully."""
        return self.rows_active * self.largest_digit * ((1 << self.cell_bits) - 1)

    def slice_bits(self, index: int) -> int:
        """Bits of a slice; the last one may have fewer than the cell."""
        return min(self.cell_bits, self.weight_bits - index * self.cell_bits)


class ProgrammedTile(NamedTuple):
    """A matrix on crossbars that share their driven rows.

    A weight takes P = `columns_per_weight` bit lines. With x the inputs (raised to be
    non-negative where a digit has several bits) and c the converted column sums, an output is

        y[j] = sum_p place[p, j] c[p, j] + input_weight[j] sum_k x[k]

    Attributes:
        scheme: How the weights are stored.
        cells: Cell levels (of pairs their difference), bit lines ordered by P and then output,
            shape (rows, P * outputs); float32 where a column's sum is exact in it, else float64.
        place: Signed place value of each bit line, shape (P, outputs), float64.
        input_weight: Digital weight of the sum of the inputs, shape (outputs,), float64.
        weight_sums: Sums of the matrix's columns, shape (outputs,), float64.
        whole_levels: Whether all levels are integers, as they are before noise.
    """

    scheme: CellScheme
    cells: Array
    place: Array
    input_weight: Array
    weight_sums: Array
    whole_levels: bool = True

    @property
    def rows(self) -> int:
        """Driven rows."""
        return self.cells.shape[0]

    @property
    def outputs(self) -> int:
        """Columns of the matrix."""
        return self.place.shape[1]


def program_tile(weights: Array, scheme: CellScheme) -> ProgrammedTile:
    """Store a matrix of weight codes (integers, shape (rows, outputs)) in cells.

    Codes must lie within `scheme.weight_bits` bits.
    """
    xp = array_namespace(weights)
    w = xp.astype(weights, xp.int64)
    planes, places, offset = _signed_planes(xp, w, scheme)
    place = xp.stack([xp.full_like(planes[0][0, :], p, dtype=xp.float64) for p in places])
    input_weight = xp.full_like(place[0, :], -offset)
    if scheme.flip_encoding and not scheme.signed_sums:
        slices = [i % scheme.slices for i in range(len(planes))]
        full = [(1 << scheme.slice_bits(s)) - 1 for s in slices]
        flips = [_flips(xp, p, f, scheme.rows_active) for p, f in zip(planes, full, strict=True)]
        planes = [xp.where(flip, f - p, p) for p, f, flip in zip(planes, full, flips, strict=True)]
        flipped = xp.astype(xp.stack(flips), xp.float64)
        fulls = xp.asarray(full, dtype=xp.float64, device=device(weights))
        input_weight = input_weight + xp.sum(flipped * place * fulls[:, None], axis=0)
        place = place * (1 - 2 * flipped)
    dtype = xp.float32 if scheme.largest_sum < EXACT_FLOAT32 else xp.float64
    return ProgrammedTile(
        scheme=scheme,
        cells=xp.astype(xp.concat(planes, axis=1), dtype),
        place=place,
        input_weight=input_weight,
        weight_sums=xp.astype(xp.sum(w, axis=0), xp.float64),
    )


def _signed_planes(xp: Any, w: Array, scheme: CellScheme) -> tuple[list[Array], list[float], float]:
    """Cell levels of each bit line, their places, and the offset they carry.

    Levels are non-negative, but for those of pairs, which are differences.
    """
    bits = scheme.weight_bits
    base = [float(1 << (s * scheme.cell_bits)) for s in range(scheme.slices)]
    if scheme.signed_weights == "differential":
        zero = xp.zeros_like(w)
        halves = (xp.maximum(w, zero), xp.maximum(-w, zero))
        planes = [p for half in halves for p in _slices(xp, half, scheme)]
        return planes, base + [-p for p in base], 0.0
    if scheme.signed_sums:
        return [xp.sign(w) * p for p in _slices(xp, xp.abs(w), scheme)], base, 0.0
    if scheme.signed_weights == "twos_complement" and scheme.slice_bits(scheme.slices - 1) == 1:
        planes = _slices(xp, xp.where(w < 0, w + (1 << bits), w), scheme)
        return planes, [*base[:-1], -base[-1]], 0.0
    # `offset`; and two's complement whose top cell has several bits: that cell cannot count one
    # of them negative, so it holds its digit plus half its range, which is the same levels
    half = 1 << (bits - 1)
    return _slices(xp, w + half, scheme), base, float(half)


def _slices(xp: Any, levels: Array, scheme: CellScheme) -> list[Array]:
    mask = (1 << scheme.cell_bits) - 1
    shifts = [xp.full_like(levels, s * scheme.cell_bits) for s in range(scheme.slices)]
    masks = xp.full_like(levels, mask)
    return [xp.bitwise_and(xp.bitwise_right_shift(levels, s), masks) for s in shifts]


def _flips(xp: Any, plane: Array, full: int, rows_active: int) -> Array:
    """Columns whose largest sum gets smaller by storing `full - level`."""
    return _largest_sums(xp, full - plane, rows_active) < _largest_sums(xp, plane, rows_active)


def _largest_sums(xp: Any, levels: Array, rows_active: int) -> Array:
    """Largest sum of levels over the rows of one pass, for each column."""
    starts = range(0, levels.shape[0], rows_active)
    sums = [xp.sum(levels[r : r + rows_active, :], axis=0) for r in starts]
    return xp.max(xp.stack(sums), axis=0)


def column_range(tile: ProgrammedTile) -> Array:
    """Largest sum of each bit line's own cells without its sign, shape (P * outputs,)."""
    xp, scheme, cells = array_namespace(tile.cells), tile.scheme, tile.cells
    if not scheme.signed_sums:
        return _largest_sums(xp, cells, scheme.rows_active) * scheme.largest_digit
    zero = xp.zeros_like(cells)
    halves = (xp.maximum(cells, zero), xp.maximum(-cells, zero))
    sums = [_largest_sums(xp, half, scheme.rows_active) for half in halves]
    return xp.maximum(sums[0], sums[1]) * scheme.largest_digit


def adc_bits_needed(tile: ProgrammedTile) -> Array:
    """Converter bits with which each bit line is exact for every input.

    The bits of the column's largest possible sum, at least 1, and one more for the sign where
    sums have one; shape (P, outputs), int64.
    """
    xp = array_namespace(tile.cells)
    sums = column_range(tile)
    # for an integer s > 0, bits(s) = ceil(log2(s + 1)), exact in float64 below 2^52
    bits = xp.ceil(xp.log2(xp.astype(sums, xp.float64) + 1))
    bits = xp.maximum(xp.astype(bits, xp.int64), xp.ones_like(bits, dtype=xp.int64))
    bits = bits + int(tile.scheme.signed_sums)
    return xp.reshape(bits, tile.place.shape)
