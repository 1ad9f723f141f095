"""How many weights a crossbar holds side by side."""

from __future__ import annotations

from imccompiler.hardware.schema import CoreKind


def slices(kind: CoreKind, weight_bits: int) -> int:
    """Cells that the bits of one weight are cut into, ceil(weight_bits / cell bits)."""
    return -(-weight_bits // kind.cell.bits)


def outputs_per_crossbar(kind: CoreKind, weight_bits: int) -> int:
    """Whole weights side by side on one crossbar; 0 if not even one fits."""
    return kind.crossbar.columns // kind.columns_per_weight(weight_bits)
