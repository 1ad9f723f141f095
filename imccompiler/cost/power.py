"""Peak power of a machine, by component: everything working without a pause."""

from __future__ import annotations

import numpy as np

from imccompiler.cost.energy import mvm_pj, static_mw
from imccompiler.cost.places import Places
from imccompiler.cost.timing import cycle_ns, input_cycles
from imccompiler.hardware.schema import CoreKind, Machine, Memory, Package


def core_peak_mw(kind: CoreKind) -> dict[str, float]:
    """One core of a kind, all of its units busy (picojoules a nanosecond)."""
    crossbar = kind.crossbar
    digit = crossbar.input_bits_per_cycle
    product_ns = input_cycles(crossbar, digit) * cycle_ns(crossbar)
    power = {
        name: energy / product_ns for name, energy in mvm_pj(kind, digit, kind.crossbars).items()
    }
    power["local_memory"] = _memory_peak_mw(kind.local_memory)
    power["vector"] = kind.vector.step_pj / kind.vector.latency_ns
    if kind.matrix is not None:
        power["matrix"] = kind.matrix.macs_per_step * kind.matrix.mac_pj / kind.matrix.step_ns
    return power


def peak_power_mw(machine: Machine) -> dict[str, float]:
    """All chips of the package, by component; the static part by itself."""
    total = {
        "global_memory": _memory_peak_mw(machine.chip.global_memory),
        "noc": machine.core_count * _network_peak_mw(machine) + _links_peak_mw(machine.package),
        "static": static_mw(machine),
    }
    for cores in machine.chip.cores:
        count = machine.package.chips * cores.count
        for name, power in core_peak_mw(machine.core_kinds[cores.kind]).items():
            total[name] = total.get(name, 0.0) + count * power
    return total


def _memory_peak_mw(memory: Memory) -> float:
    return max(memory.read_pj / memory.read_ns, memory.write_pj / memory.write_ns)


def _network_peak_mw(machine: Machine) -> float:
    """A core sending flits back to back over the distance on its chip at which that costs most."""
    noc, (hops, links, _) = machine.chip.noc, Places.of(machine).distances
    distance = np.unique(hops[(links == 0) & (hops > 0)])
    latency_ns = noc.base_ns + noc.hop_ns * distance
    if distance.size == 0 or not latency_ns.all():
        return 0.0
    return float(np.max((noc.flit_pj + noc.hop_pj * distance) / latency_ns))


def _links_peak_mw(package: Package) -> float:
    """A link between every two neighbouring chips, a flit on it at any time."""
    if not package.link_ns_per_flit:
        return 0.0
    chips, (rows, columns) = package.chips, package.grid
    beside, below = chips - rows, chips - columns
    return (beside + below) * package.link_pj_per_flit / package.link_ns_per_flit
