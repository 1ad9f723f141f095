"""What a machine computes at most: every crossbar multiplying whole matrices without a pause.

Both figures are those that publications give: an operation is a multiplication or an addition.
"""

from __future__ import annotations

from imccompiler.cost.energy import mvm_pj, total_pj
from imccompiler.cost.timing import cycle_ns, input_cycles
from imccompiler.hardware.schema import CoreKind, Machine
from imccompiler.hardware.weights import outputs_per_crossbar


def peak_tops(machine: Machine) -> float:
    """Tera-operations a second of all crossbars, at the machine's widths of weights and inputs."""
    bits, width = machine.activation_bits, machine.weight_bits
    per_ns = sum(
        cores.count * _operations(kind, width) / _product_ns(kind, bits)
        for cores in machine.chip.cores
        for kind in (machine.core_kinds[cores.kind],)
    )
    return machine.package.chips * per_ns / 1000


def macro_tops_per_watt(kind: CoreKind, weight_bits: int, input_bits: int) -> float:
    """Operations of a crossbar per picojoule of its own: arrays, drivers, converters, adders.

    That is tera-operations per second and watt, without memories, network and vector units.
    """
    energy = float(total_pj(mvm_pj(kind, input_bits)))
    operations = 2 * kind.crossbar.rows * outputs_per_crossbar(kind, weight_bits)
    return operations / energy


def _operations(kind: CoreKind, weight_bits: int) -> int:
    """Operations of one product on each of a core's crossbars."""
    return 2 * kind.crossbars * kind.crossbar.rows * outputs_per_crossbar(kind, weight_bits)


def _product_ns(kind: CoreKind, input_bits: int) -> float:
    """From one product to the next."""
    array = kind.crossbar
    digit = min(input_bits, array.input_bits_per_cycle)
    return input_cycles(array, input_bits) * cycle_ns(array, digit)
