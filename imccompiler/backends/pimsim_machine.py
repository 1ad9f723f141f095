"""The machine as pimsim-nn describes it: chip and network configuration.

Keys and defaults are those of pimsim-nn at 3e3442b, src/config/Config.hpp; energies and powers
that are zero there by default are left out if they are zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from imccompiler.cost.network import NetworkTiming
from imccompiler.cost.rounding import PS_PER_NS
from imccompiler.errors import HardwareError
from imccompiler.hardware.schema import CoreKind, Machine, Memory

GLOBAL_MEMORY = -10
"""The global memory's number in the network."""

_INPUT_READS = 8  # src/core/xbar/ArrayGroup.cpp: the bytes of the rows, times eight
_SIM_TIME_MS = 200


def chip(
    machine: Machine, core_count: int, rob_size: int | None, network_file: str
) -> dict[str, Any]:
    """The content of the chip file for one pass over a program.

    Args:
        machine: The machine.
        core_count: Cores that the program names.
        rob_size: Operations in flight; the machine's if None.
        network_file: Name of the network file beside it.

    Raises:
        HardwareError: pimsim-nn cannot describe the machine.
    """
    kind = _only_kind(machine)
    period = kind.period_ns
    core: dict[str, Any] = {
        "period": _number(period),
        "matrix_config": _matrix(kind),
        "vector_width": kind.vector.lanes,
        "vector_latency_cycle": _whole(kind.vector.latency_ns, "vector.latency_ns"),
        **_unless(0, vector_alu_dynamic_energy=kind.vector.step_pj),
        "local_memory_config": _memory(
            kind.local_memory, period, kind.local_memory.static_mw + kind.static_mw
        ),
        "global_memory_switch_id": GLOBAL_MEMORY,
        **_unless(1, rob_size=rob_size or kind.rob_size),
    }
    memory = machine.chip.global_memory
    return {
        "chip_config": {
            "core_config": core,
            "global_memory_config": _memory(
                memory, period, memory.static_mw + machine.chip.static_mw
            ),
            "network_config": {
                "bus_topology": machine.chip.noc.topology,
                "bus_width": machine.chip.noc.flit_bytes,
                "layout": list(machine.chip.grid),
                "net_config_file_path": network_file,
            },
            "core_cnt": core_count,
            "global_memory_switch_id": GLOBAL_MEMORY,
        },
        "sim_config": {"sim_mode": 1, "sim_time": _SIM_TIME_MS, "report_verbose_level": 0},
    }


def network(machine: Machine) -> dict[str, dict[str, dict[str, float]]]:
    """The content of the network file: ns and pJ of a flit between every two nodes."""
    noc = machine.chip.noc
    timing, cores = NetworkTiming.of(machine), np.arange(machine.core_count)
    latency = timing.flit_ps(cores[:, None], cores) / PS_PER_NS
    energy = noc.flit_pj + noc.hop_pj * timing.places.hops(cores[:, None], cores)
    period = machine.main_kind.period_ns
    to_memory = round(noc.global_memory_ns / period) * period
    return {
        "latency": _table(latency.tolist(), to_memory),
        "energy": _table(energy.tolist(), noc.global_memory_pj),
    }


def _table(values: list[list[float]], to_memory: float) -> dict[str, dict[str, float]]:
    memory = str(GLOBAL_MEMORY)
    table = {memory: {str(core): _number(to_memory) for core in range(len(values))}}
    for core, row in enumerate(values):
        table[str(core)] = {memory: _number(to_memory)} | {
            str(other): _number(value) for other, value in enumerate(row) if other != core
        }
    return table


def _only_kind(machine: Machine) -> CoreKind:
    kind = machine.main_kind
    if set(machine.kind_of_core()) != {machine.chip.cores[0].kind}:
        raise _cannot("chip.cores", "has one kind of core")
    if machine.package.chips > 1:
        raise _cannot("package.chips", "has one chip")
    if kind.input_reads != _INPUT_READS:
        raise _cannot("input_reads", f"reads the input of `mvmul` {_INPUT_READS} times")
    if machine.activation_bits % kind.crossbar.input_bits_per_cycle:
        raise _cannot("crossbar.input_bits_per_cycle", "divides inputs into whole digits")
    if kind.crossbar.style != "analog":
        raise _cannot("crossbar.style", "has analog crossbars only")
    return kind


def _matrix(kind: CoreKind) -> dict[str, Any]:
    crossbar, adc, period = kind.crossbar, kind.crossbar.adc, kind.period_ns
    if crossbar.pulse_ns:
        raise _cannot("crossbar.pulse_ns", "knows no pulses")
    if crossbar.columns % adc.per_crossbar or crossbar.rows % crossbar.rows_active:
        raise _cannot("crossbar", "divides columns by converters and rows by rows_active exactly")
    cycles = {
        name: _whole(value / period, f"crossbar.{name}")
        for name, value in (
            ("dac_ns", crossbar.dac_ns),
            ("sample_hold_ns", crossbar.sample_hold_ns),
            ("shift_add_ns", crossbar.shift_add_ns),
            ("output_buffer_ns", crossbar.output_buffer_ns),
            ("conversion_ns", adc.conversion_ns),
        )
    }
    _whole(crossbar.read_ns / period, "crossbar.read_ns")
    return {
        "xbar_array_count": kind.crossbars,
        "period": _number(period),
        "pipeline_mode": crossbar.pipelined,
        "dac_resolution": crossbar.input_bits_per_cycle,
        **_unless(1, dac_latency_cycle=cycles["dac_ns"]),
        **_unless(0, dac_dynamic_power=_power(crossbar.dac_pj, crossbar.dac_ns, "dac_pj")),
        "dac_count": crossbar.rows_active,
        "xbar_size": [crossbar.rows, crossbar.columns],
        "cell_precision": kind.cell.bits,
        "xbar_latency": _number(crossbar.read_ns),
        "xbar_read_power": _power(crossbar.read_pj, crossbar.read_ns, "read_pj"),
        "sample_hold_latency_cycle": cycles["sample_hold_ns"],
        **_unless(
            0,
            sample_hold_dynamic_power=_power(
                crossbar.sample_hold_pj, crossbar.sample_hold_ns, "sample_hold_pj"
            ),
        ),
        "adc_resolution": adc.bits,
        "adc_latency_cycle": cycles["conversion_ns"],
        "adc_dynamic_power": _power(adc.conversion_pj, adc.conversion_ns, "adc.conversion_pj"),
        "adc_count": adc.per_crossbar,
        "shift_adder_latency_cycle": cycles["shift_add_ns"],
        **_unless(
            0,  # of all converters together
            shift_adder_dynamic_power=adc.per_crossbar
            * _power(crossbar.shift_add_pj, crossbar.shift_add_ns, "shift_add_pj"),
        ),
        "output_buffer_latency_cycle": cycles["output_buffer_ns"],
        **_unless(
            0,
            output_buffer_dynamic_power=adc.per_crossbar
            * _power(crossbar.output_buffer_pj, crossbar.output_buffer_ns, "output_buffer_pj"),
        ),
    }


def _memory(memory: Memory, period: float, static_mw: float) -> dict[str, Any]:
    return {
        "data_width": memory.width_bytes,
        "period": _number(period),
        "write_latency_cycle": _whole(memory.write_ns / period, "write_ns"),
        "read_latency_cycle": _whole(memory.read_ns / period, "read_ns"),
        **_unless(0, read_dynamic_energy=memory.read_pj, write_dynamic_energy=memory.write_pj),
        **_unless(1, static_power=static_mw),
    }


def _power(energy_pj: float, time_ns: float, key: str) -> float:
    """The power that gives an energy over a latency."""
    if energy_pj and not time_ns:
        raise _cannot(key, "has energies of components that take time only")
    return _number(float(f"{energy_pj / time_ns:.12g}")) if energy_pj else 0


def _whole(cycles: float, key: str) -> int:
    if abs(cycles - round(cycles)) > 1e-9:
        raise _cannot(key, "counts whole cycles")
    return round(cycles)


def _unless(default: float, **values: float) -> dict[str, float]:
    return {key: _number(value) for key, value in values.items() if value != default}


def _number(value: float) -> float:
    return int(value) if float(value).is_integer() else value


def _cannot(key: str, what: str) -> HardwareError:
    return HardwareError(f"pimsim-nn cannot describe this machine: it {what}", where=key)
