"""Area of a machine, by component."""

from __future__ import annotations

from imccompiler.cost.energy import readout
from imccompiler.hardware.schema import CoreKind, Machine

UM2_PER_MM2 = 1e6


def core_area_um2(kind: CoreKind) -> dict[str, float]:
    """One core of a kind, without its router."""
    crossbar = kind.crossbar
    return {
        "crossbar": kind.crossbars * crossbar.array_area_um2,
        readout(crossbar): kind.crossbars * crossbar.adc.per_crossbar * crossbar.adc.area_um2,
        "periphery": kind.crossbars * crossbar.periphery_area_um2,
        "local_memory": kind.local_memory.area_um2,
        "vector": kind.vector.area_um2,
        "matrix": kind.matrix.area_um2 if kind.matrix else 0.0,
        "other": kind.other_area_um2,
    }


def area_mm2(machine: Machine) -> dict[str, float]:
    """All chips of the package and its one global memory, by component."""
    chip = machine.chip
    of_chip = {
        "noc": machine.cores_per_chip * chip.noc.router_area_um2,
        "global_memory": 0.0,
        "other": chip.other_area_um2,
    }
    for cores in chip.cores:
        for component, area in core_area_um2(machine.core_kinds[cores.kind]).items():
            of_chip[component] = of_chip.get(component, 0.0) + cores.count * area
    total = {component: machine.package.chips * area for component, area in of_chip.items()}
    total["global_memory"] = chip.global_memory.area_um2
    return {component: area / UM2_PER_MM2 for component, area in total.items()}
