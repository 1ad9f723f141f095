"""Energy of one operation, by component, in picojoules.

Each function returns `{component: energy}` with the components of `COMPONENTS` that take part;
counts can be arrays, energies then have their shape. Where pimsim-nn has a formula, this is it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from imccompiler.cost.rounding import Count, ceil_div, smaller
from imccompiler.cost.timing import CoreTiming, input_cycles, pulses
from imccompiler.hardware.schema import CoreKind, Crossbar, Machine, Memory

COMPONENTS = (
    "crossbar",
    "dac",
    "sample_hold",
    "adc",
    "adder_tree",
    "shift_add",
    "output_buffer",
    "programming",
    "local_memory",
    "global_memory",
    "noc",
    "vector",
    "matrix",
    "host",
    "static",
)
"""All components, in the order of reports."""

Energies = dict[str, Any]
"""Component to picojoules: a float, or a float64 array."""


def mvm_pj(kind: CoreKind, input_bits: Any, crossbars: Any = 1) -> Energies:
    """`crossbars` crossbars, each multiplying one input vector of `input_bits` bits.

    A crossbar is charged whole: unused rows and columns are driven and converted as well. Adding
    the outputs of row blocks is part of `shift_add`, as every converted value passes its adders.
    """
    crossbar = kind.crossbar
    cycles = input_cycles(crossbar, input_bits) * crossbars
    row_drives = ceil_div(input_bits, crossbar.input_bits_per_cycle) * crossbars * crossbar.rows
    conversions = cycles * crossbar.columns
    share = 1.0
    if crossbar.pulse_ns:  # shorter pulses where inputs have fewer bits than a digit
        digit = crossbar.input_bits_per_cycle
        share = pulses(smaller(input_bits, digit)) / pulses(digit)
    return {
        "crossbar": cycles * crossbar.read_pj * share,
        "dac": row_drives * crossbar.dac_pj,
        "sample_hold": conversions * crossbar.sample_hold_pj,
        readout(crossbar): conversions * crossbar.adc.conversion_pj,
        "shift_add": conversions * crossbar.shift_add_pj,
        "output_buffer": conversions * crossbar.output_buffer_pj,
    }


def readout(crossbar: Crossbar) -> str:
    """The component that reads the columns: `adc`, of digital crossbars `adder_tree`."""
    return "adder_tree" if crossbar.style == "digital" else "adc"


def mvwr_pj(kind: CoreKind, crossbars: Count) -> Energies:
    """Programming every cell of `crossbars` crossbars."""
    cells = crossbars * (kind.crossbar.rows * kind.crossbar.columns)
    return {"programming": cells * kind.cell.write_pj}


def mvmul_pj(
    kind: CoreKind,
    weight_bits: int,
    input_bits: int,
    crossbars: Count,
    output_bits: int,
    row_blocks: int = 1,
) -> Energies:
    """`mvmul` on a group, its reads and writes of the local memory included.

    The group is `row_blocks` crossbars high and `crossbars` wide.
    """
    timing = CoreTiming.of(kind, weight_bits)
    read = timing.mvmul_read_bytes(ceil_div(input_bits, 8), row_blocks)
    written = timing.mvmul_write_bytes(crossbars, ceil_div(output_bits, 8))
    products = mvm_pj(kind, input_bits, crossbars * row_blocks)
    return products | {"local_memory": _memory_pj(kind.local_memory, read, written)}


def local_memory_pj(kind: CoreKind, read_bytes: Any, written_bytes: Any) -> Energies:
    """One read request and one write request (0 bytes for none)."""
    return {"local_memory": _memory_pj(kind.local_memory, read_bytes, written_bytes)}


def global_memory_pj(machine: Machine, read_bytes: Count, written_bytes: Count) -> Energies:
    """One read request and one write request (0 bytes for none), without the way there."""
    return {"global_memory": _memory_pj(machine.chip.global_memory, read_bytes, written_bytes)}


def _memory_pj(memory: Memory, read_bytes: Any, written_bytes: Any) -> Any:
    reads = ceil_div(read_bytes, memory.width_bytes)
    writes = ceil_div(written_bytes, memory.width_bytes)
    return reads * memory.read_pj + writes * memory.write_pj


def message_pj(machine: Machine, size_bytes: Any, hops: Any, links: Any = 0) -> Energies:
    """A message between two cores, their hops and links between chips apart."""
    noc = machine.chip.noc
    flit_pj = noc.flit_pj + hops * noc.hop_pj + links * machine.package.link_pj_per_flit
    return {"noc": ceil_div(size_bytes, noc.flit_bytes) * flit_pj}


def global_message_pj(machine: Machine, size_bytes: Count) -> Energies:
    """A message between a core and the global memory."""
    noc = machine.chip.noc
    return {"noc": ceil_div(size_bytes, noc.flit_bytes) * noc.global_memory_pj}


def send_pj(machine: Machine, size_bytes: Any, hops: Any, links: Any = 0) -> Energies:
    """The network's part of a `send` with its `recv`: two flits of handshake and the data."""
    flit, data = (message_pj(machine, size, hops, links) for size in (1, size_bytes))
    return combined([(2, flit), (1, data)])


def ld_pj(machine: Machine, kind: CoreKind, size_bytes: Count) -> Energies:
    """`ld`: as pimsim-nn, the network is charged for the request and not for the way back."""
    return {
        "local_memory": _memory_pj(kind.local_memory, 0, size_bytes),
        "global_memory": _memory_pj(machine.chip.global_memory, size_bytes, 0),
        **global_message_pj(machine, 1),
    }


def st_pj(machine: Machine, kind: CoreKind, size_bytes: Count) -> Energies:
    """`st`: local memory, network and global memory."""
    return {
        "local_memory": _memory_pj(kind.local_memory, size_bytes, 0),
        "global_memory": _memory_pj(machine.chip.global_memory, 0, size_bytes),
        **global_message_pj(machine, size_bytes),
    }


def vector_pj(kind: CoreKind, elements: Count) -> Energies:
    """The vector unit's part of an integer instruction."""
    return {"vector": ceil_div(elements, kind.vector.lanes) * kind.vector.step_pj}


def function_pj(kind: CoreKind, elements: Count) -> Energies:
    """The vector unit's part of a digital function."""
    return {"vector": vector_pj(kind, elements)["vector"] * kind.vector.function_steps}


def product_pj(kind: CoreKind, macs: Count) -> Energies:
    """A product of two activations on the digital matrix unit, else on the vector unit."""
    if kind.matrix is None:
        return vector_pj(kind, macs)
    return {"matrix": macs * kind.matrix.mac_pj}


def static_mw(machine: Machine, active_cores: Iterable[int] | None = None) -> float:
    """Static power of the cores in use (all if not given), their chips and the global memory.

    A milliwatt for a nanosecond is a picojoule. Cores without work are gated off, as pimsim-nn
    does, which builds only the cores that a program names, and so are chips, but for the first.
    """
    kinds, per_chip = machine.kind_of_core(), machine.cores_per_chip
    cores = list(range(machine.core_count) if active_cores is None else active_cores)
    of_kind = {
        name: kind.static_mw + kind.local_memory.static_mw
        for name, kind in machine.core_kinds.items()
    }
    active = Counter(kinds[core] for core in cores)
    chips = len({0, *(core // per_chip for core in cores)})
    chip = chips * machine.chip.static_mw + machine.chip.global_memory.static_mw
    return chip + sum(of_kind[name] * count for name, count in active.items())


def combined(parts: Iterable[tuple[Any, Mapping[str, Any]]]) -> Energies:
    """Sum of energies, each times a count, in the order of `COMPONENTS`."""
    sums: Energies = {}
    for count, energies in parts:
        for component, energy in energies.items():
            sums[component] = sums.get(component, 0.0) + count * energy
    return {component: sums[component] for component in COMPONENTS if component in sums}


def total_pj(energies: Mapping[str, Any]) -> Any:
    """Sum over components; arrays are added element by element."""
    return sum(energies.values())
