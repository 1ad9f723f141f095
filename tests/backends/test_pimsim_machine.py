"""The machine as pimsim-nn gets it; that of `pimcomp` is the one that PIMCOMP-NN gives it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from imccompiler.backends.pimsim_machine import chip, network
from imccompiler.errors import HardwareError
from imccompiler.hardware.load import load, vary
from imccompiler.hardware.logical import logical
from imccompiler.hardware.schema import Machine

# PIMCOMP-NN at 2ed10c8, chip file for pimsim-nn, without `adc_static_power`, which pimsim-nn
# never counts; its network file has 46 pJ for every pair.
CHIP = """{"chip_config": {"core_config": {
 "period": 1,
 "matrix_config": {
  "xbar_array_count": 64, "period": 1, "pipeline_mode": true, "dac_resolution": 1,
  "dac_count": 128, "xbar_size": [128, 128], "cell_precision": 2, "xbar_latency": 7,
  "xbar_read_power": 22.24, "sample_hold_latency_cycle": 1, "adc_resolution": 8,
  "adc_latency_cycle": 20, "adc_dynamic_power": 1.135, "adc_count": 16,
  "shift_adder_latency_cycle": 1, "output_buffer_latency_cycle": 1},
 "vector_width": 32, "vector_latency_cycle": 4,
 "local_memory_config": {
  "data_width": 64, "period": 1, "write_latency_cycle": 30, "read_latency_cycle": 20},
 "global_memory_switch_id": -10},
"global_memory_config": {
 "data_width": 32, "period": 1, "write_latency_cycle": 50, "read_latency_cycle": 40},
"network_config": {
 "bus_topology": "mesh", "bus_width": 32, "layout": [12, 12],
 "net_config_file_path": "network.json"},
"core_cnt": 136, "global_memory_switch_id": -10},
"sim_config": {"sim_mode": 1, "sim_time": 200, "report_verbose_level": 0}}"""


def core_config(machine: Machine) -> dict[str, Any]:
    return chip(machine, 1, None, "n.json")["chip_config"]["core_config"]


def test_chip_of_pimcomp(pimcomp: Machine) -> None:
    assert chip(pimcomp, 136, None, "network.json") == json.loads(CHIP)


def test_rob_size(pimcomp: Machine) -> None:
    given = chip(pimcomp, 1, 16, "n.json")["chip_config"]["core_config"]
    assert given["rob_size"] == 16
    assert core_config(vary(pimcomp, {"core.rob_size": 16})) == given
    given.pop("rob_size")
    assert core_config(pimcomp) == given


def test_logical_cells(pimcomp: Machine) -> None:
    assert core_config(logical(pimcomp))["matrix_config"]["cell_precision"] == 8


def test_network_of_pimcomp(pimcomp: Machine) -> None:
    tables = network(pimcomp)
    for table, to_memory in (("latency", 15), ("energy", 46)):
        assert set(tables[table]) == {"-10", *map(str, range(144))}
        for core in range(144):
            row = tables[table][str(core)]
            assert set(row) == {"-10", *map(str, range(144))} - {str(core)}
            assert row["-10"] == tables[table]["-10"][str(core)] == to_memory
    assert tables["latency"]["0"]["1"] == 7
    assert tables["latency"]["0"]["13"] == 10
    assert tables["latency"]["0"]["143"] == 62
    assert {v for row in tables["energy"].values() for v in row.values()} == {46}


def test_energies_and_powers_are_written_where_there_are_any(pimcomp: Machine) -> None:
    machine = vary(
        pimcomp,
        {
            "core.crossbar.shift_add_pj": 0.5,
            "core.local_memory.read_pj": 3.0,
            "core.local_memory.static_mw": 2.0,
            "core.static_mw": 0.5,
            "core.vector.step_pj": 4.0,
        },
    )
    core = core_config(machine)
    assert core["matrix_config"]["shift_adder_dynamic_power"] == 16 * 0.5  # all converters'
    assert core["local_memory_config"]["read_dynamic_energy"] == 3
    assert core["local_memory_config"]["static_power"] == 2.5
    assert core["vector_alu_dynamic_energy"] == 4


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"core.input_reads": 1}, "reads the input"),
        ({"core.crossbar.read_ns": 7.5}, "whole cycles"),
        ({"core.crossbar.adc.per_crossbar": 48}, "exactly"),
        ({"core.crossbar.rows_active": 100}, "exactly"),
        ({"core.crossbar.input_bits_per_cycle": 3}, "whole digits"),
        ({"package.chips": 2}, "one chip"),
        ({"core.crossbar.dac_ns": 0.0, "core.crossbar.dac_pj": 1.0}, "take time only"),
    ],
)
def test_what_it_cannot_describe(pimcomp: Machine, change: dict[str, Any], what: str) -> None:
    with pytest.raises(HardwareError, match=what):
        core_config(vary(pimcomp, change))


def test_the_other_preset_is_refused() -> None:
    with pytest.raises(HardwareError):
        core_config(load("isaac"))
