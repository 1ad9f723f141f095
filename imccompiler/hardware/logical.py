"""Counting crossbars as PIMCOMP does: as columns of whole weights."""

from __future__ import annotations

from imccompiler.errors import HardwareError
from imccompiler.hardware.load import vary
from imccompiler.hardware.schema import Machine

_LARGEST_CELL_BITS = 8


def logical(machine: Machine) -> Machine:
    """The machine with cells that hold whole weights and `crossbar_count: logical`.

    For a like-for-like comparison with PIMCOMP only: times and energies stay those of the real
    cells, so the machine holds and computes `weight_bits / cell.bits` times too much.

    Raises:
        HardwareError: Weights are wider than the widest cell.
    """
    if machine.weight_bits > _LARGEST_CELL_BITS:
        raise HardwareError(
            f"weights of {machine.weight_bits} bits do not fit a cell",
            where="weight_bits",
            hint=f"logical crossbars need weight_bits of at most {_LARGEST_CELL_BITS}",
        )
    return vary(machine, {"cell.bits": machine.weight_bits, "crossbar_count": "logical"})
