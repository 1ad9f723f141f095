from __future__ import annotations

import numpy as np
import pytest

from imccompiler.cost.machine import MachineTiming
from imccompiler.cost.network import hops
from imccompiler.hardware.load import load, vary

# PIMCOMP-NN at 2ed10c8, network file: ns of a flit between cores 1 to 22 hops apart
PIMCOMP_LATENCIES = [
    *(7, 10, 12, 15, 18, 20, 23, 25, 28, 30, 33),
    *(36, 38, 41, 44, 46, 49, 51, 54, 56, 59, 62),
]


@pytest.fixture(scope="module")
def pimcomp() -> MachineTiming:
    return MachineTiming.of(load("pimcomp"))


def test_latencies_are_those_of_the_judges_table(pimcomp: MachineTiming) -> None:
    distance = hops(load("pimcomp"))
    assert distance.shape == (144, 144)
    table = np.array([0, *PIMCOMP_LATENCIES]) * 1000
    apart = distance > 0
    assert (pimcomp.network.core_flit_ps[apart] == table[distance[apart]]).all()
    assert pimcomp.network.global_flit_ps == 15_000


def test_hops_on_a_mesh_are_manhattan_distances() -> None:
    distance = hops(vary(load("pimcomp"), {"chip.grid": [3, 4]}))
    assert distance.shape == (12, 12)
    assert distance[0].tolist() == [0, 1, 2, 3, 1, 2, 3, 4, 2, 3, 4, 5]
    assert (distance == distance.T).all()


def test_hops_on_a_bus_are_one() -> None:
    distance = hops(vary(load("pimcomp"), {"noc.topology": "bus", "chip.grid": [2, 2]}))
    assert distance.tolist() == (1 - np.eye(4)).tolist()


def test_a_chip_with_free_places_has_no_cores_there() -> None:
    assert hops(load("pimcomp", ["chip.cores.0.count=13"])).shape == (13, 13)


def test_rounding_follows_the_clock() -> None:
    machine = vary(load("pimcomp"), {"core.period_ns": 4.0})
    network = MachineTiming.of(machine).network
    assert network.core_flit_ps[0, 1] == 8000  # 7.1 ns in clocks of 4 ns
    assert network.global_flit_ps == 16_000


def test_transfers(pimcomp: MachineTiming) -> None:
    network, port = pimcomp.network, pimcomp.main.port
    assert network.message_ps(0, 1, 128) == 4 * 7_000
    assert network.send_ps(port, 0, 1, 128) == (2 * 7 + 40) * 1000
    assert network.delivery_ps(port, port, 0, 1, 128) == (14 + 40 + 28 + 60) * 1000
    assert network.ld_ps(port, 128) == (15 + 4 * 40 + 2 * 30) * 1000
    assert network.st_ps(port, 128) == (2 * 20 + 4 * 15 + 4 * 50) * 1000


def test_transfers_broadcast(pimcomp: MachineTiming) -> None:
    network, port = pimcomp.network, pimcomp.main.port
    sources, targets, sizes = np.array([0, 5, 143]), np.array([1, 17, 0]), np.array([1, 64, 65])
    triples = list(zip(sources.tolist(), targets.tolist(), sizes.tolist(), strict=True))
    result = network.delivery_ps(port, port, sources, targets, sizes)
    assert result.tolist() == [network.delivery_ps(port, port, *t) for t in triples]
    assert network.st_ps(port, sizes).tolist() == [network.st_ps(port, n) for _, _, n in triples]
    assert network.ld_ps(port, sizes).tolist() == [network.ld_ps(port, n) for _, _, n in triples]


def test_two_core_example_sums_to_the_judges_time(pimcomp: MachineTiming) -> None:
    """The example that was run on pimsim-nn: 2,661 ns with its decode cycles."""
    core, network = pimcomp.main, pimcomp.network
    path_ps = (
        network.ld_ps(core.port, 128)
        + core.mvmul_ps(8, 4, 8)
        + core.vector_ps(128, 1, 128, 128)
        + network.delivery_ps(core.port, core.port, 0, 1, 128)
        + core.vector_ps(128, 2, 128, 128)
        + network.st_ps(core.port, 128)
    )
    decode_ns = 2661 - path_ps / 1000
    assert 20 <= decode_ns <= 35  # 15 instructions decode on the path, each with its commit
