"""The estimate: energies are the simulator's, figures hang together, bounds name what binds."""

from __future__ import annotations

import numpy as np
import pytest

from imccompiler.cost.area import area_mm2
from imccompiler.errors import PassError
from imccompiler.hardware.load import load, vary
from imccompiler.passes.estimate import estimate
from imccompiler.simulator.timing import simulate


@pytest.mark.parametrize("hardware", ["pimcomp", "isaac"])
@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn", "lenet", "squeezenet", "bert-tiny"])
def test_energies_are_the_simulators(mapped, name, hardware):
    mapping = mapped(name, hardware, 0)
    expected = estimate(mapping.context, mapping.module)
    found = simulate(mapping.program, mapping.machine)
    assert expected.energy_pj.keys() == found.energy_pj.keys()
    for component, value in found.energy_pj.items():
        # what is static is power times time, and times agree within a hundredth
        tolerance = 1e-2 if component == "static" else 1e-9
        assert expected.energy_pj[component] == pytest.approx(value, rel=tolerance), component
    dynamic = sum(v for c, v in expected.energy_pj.items() if c != "static")
    assert sum(expected.energy_pj_by_layer.values()) == pytest.approx(dynamic)
    by_layer = found.energy_pj_by_layer.sum(axis=1)
    for layer, value in zip(mapping.program.layers, by_layer.tolist(), strict=True):
        assert expected.energy_pj_by_layer[layer] == pytest.approx(value)


def test_figures_hang_together(mapped):
    mapping = mapped("lenet", "pimcomp", 0)
    figures = estimate(mapping.context, mapping.module)
    assert figures.latency_ns == mapping.plan.schedule.makespan_ns
    assert figures.interval_ns <= figures.latency_ns
    total = sum(figures.energy_pj.values())
    assert figures.power_mw == pytest.approx(total / figures.interval_ns)
    assert figures.area_mm2 == pytest.approx(sum(area_mm2(mapping.machine).values()))
    assert figures.energy_bound_pj <= total


def test_bounds_name_what_binds(mapped, map_network, named_network):
    mapping = mapped("lenet", "pimcomp", 0)
    figures = estimate(mapping.context, mapping.module)
    assert figures.interval_binds.startswith("core ")
    slow = vary(load("pimcomp"), {"global_memory.read_ns": 5_000.0})
    fed = map_network(named_network("lenet"), slow)
    starved = estimate(fed.context, fed.module)
    assert starved.interval_binds == starved.latency_binds == "global memory"
    # 28 rows of 28 bytes, an access of 32 bytes each, and the 10 results
    assert starved.interval_bound_ns == 28 * 5_000 + 50
    found = simulate(fed.program, slow, images=6)
    # the last image has the memory for itself and takes less
    assert starved.interval_bound_ns <= np.diff(found.image_end_ns)[1:-1].min()
    assert starved.latency_bound_ns <= found.latency_ns


@pytest.mark.parametrize(
    ("changes", "unit"),
    [
        ({"vector.latency_ns": 1_000.0}, "vector unit"),
        ({"crossbar.read_ns": 5_000.0}, "crossbar group"),
        ({"noc.base_ns": 2_000.0}, "transfer unit"),
        ({"core.period_ns": 400.0}, "decoder"),
    ],
)
def test_single_units_bind_cores_with_operations_in_flight(
    map_network, named_network, changes, unit
):
    machine = vary(load("pimcomp"), {"core.rob_size": 16, "core.hazards": "exact", **changes})
    mapping = map_network(named_network("digits-cnn"), machine)
    figures = estimate(mapping.context, mapping.module)
    assert unit in figures.interval_binds
    found = simulate(mapping.program, machine, images=6)
    assert found.interval_ns is not None
    assert 0.3 * found.interval_ns < figures.interval_bound_ns <= found.interval_ns
    assert figures.latency_bound_ns <= found.latency_ns


def test_without_a_program_there_is_nothing_to_estimate(map_network, named_network):
    mapping = map_network(named_network("digits-mlp"), "pimcomp", pipeline="fold")
    with pytest.raises(PassError, match="no program to estimate"):
        estimate(mapping.context, mapping.module)
