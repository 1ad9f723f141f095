"""How many cells and columns a weight takes on a kind of core."""

from __future__ import annotations

from imccompiler.hardware.schema import CoreKind


def slices(kind: CoreKind, weight_bits: int) -> int:
    """Cells that the bits of one weight are cut into, ceil(weight_bits / cell bits)."""
    return -(-weight_bits // kind.cell.bits)


def columns_per_weight(kind: CoreKind, weight_bits: int) -> int:
    """Bit lines of one weight: its slices, twice as many in column pairs."""
    pairs = 2 if kind.crossbar.signed_weights == "differential" else 1
    return slices(kind, weight_bits) * pairs


def outputs_per_crossbar(kind: CoreKind, weight_bits: int) -> int:
    """Whole weights side by side on one crossbar; 0 if not even one fits."""
    return kind.crossbar.columns // columns_per_weight(kind, weight_bits)
