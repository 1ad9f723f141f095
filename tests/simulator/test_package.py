"""Programs on several chips: the same numbers, later by the links that messages cross."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import imccompiler
from imccompiler.cost.places import Places
from imccompiler.hardware.load import load, vary
from imccompiler.program.isa import AUX, IMM, OP, Op
from imccompiler.simulator.execute import Executor
from imccompiler.simulator.timing import simulate
from imccompiler.simulator.timing_code import core_of_instruction
from imccompiler.simulator.timing_tally import tally

LINK_NS, LINK_PJ = 80, 300
SETTINGS = {"package.link_ns_per_flit": LINK_NS, "package.link_pj_per_flit": LINK_PJ}
ONE = vary(load("pimcomp"), {"chip.grid": [2, 1]})
TWO = vary(load("pimcomp"), {"chip.grid": [1, 1], "package.chips": 2} | SETTINGS)


@pytest.mark.parametrize(
    ("streams", "late_ns", "flits"),
    [
        # request and grant of a flit each, then four flits of data
        (("send r1, bytes=100, core=1", "recv r1, bytes=100, core=0"), (2, 6), 6),
        (("sync event=3, core=1", "wait event=3, count=1"), (0, 1), 1),
        (("ld r1, r2, bytes=100", "st r1, r3, bytes=100"), (0, 0), 0),  # one global memory
    ],
)
def test_flits_between_chips_take_the_link(make_program, streams, late_ns, flits):
    program = make_program(*streams)
    one, two = simulate(program, ONE), simulate(program, TWO)
    assert (two.finish_ns - one.finish_ns).tolist() == [LINK_NS * n for n in late_ns]
    assert two.energy_pj["noc"] - one.energy_pj["noc"] == pytest.approx(flits * LINK_PJ)


def test_cores_without_work_change_nothing(make_program):
    program = make_program("send r1, bytes=100, core=1", "recv r1, bytes=100, core=0")
    idle = np.full(2998, len(program.code))
    padded = replace(
        program,
        core_start=np.concatenate([program.core_start, idle]),
        local_bytes=np.concatenate([program.local_bytes, 0 * idle]),
    )
    times = simulate(program, load("pimcomp", ["chip.grid=[1,3000]"]))
    found = simulate(padded, load("pimcomp", ["chip.grid=[1,3000]"]))
    assert found.finish_ns[:2].tolist() == times.finish_ns.tolist()
    assert not found.finish_ns[2:].any()
    assert found.energy_pj == times.energy_pj


@pytest.fixture(scope="module", params=["isaac", "pimcomp"])
def compiled(request):
    """One chip, and the same network on four chips of a quarter of its cores each."""
    preset, grids = request.param, {"isaac": (14, 12), "pimcomp": (12, 12)}
    rows, columns = grids[preset]
    quarter = {"chip.grid": [rows // 2, columns // 2], "package.chips": 4} | SETTINGS
    package = vary(load(preset), quarter)
    return [imccompiler.compile("lenet", machine, effort=0) for machine in (preset, package)]


def test_results_are_the_same_bit_by_bit(compiled):
    assert compiled[0].machine.core_count == compiled[1].machine.core_count
    rng = np.random.default_rng(0)
    inputs = {p.name: rng.integers(-128, 128, (2, *p.shape)) for p in compiled[0].program.inputs}
    one, four = (Executor(c.program, c.machine).run(inputs) for c in compiled)
    assert one.keys() == four.keys()
    assert all((one[name] == four[name]).all() for name in one)
    assert any(values.any() for values in one.values())


def test_links_cost_energy_and_time_where_messages_cross(compiled):
    program, package = compiled[1].program, compiled[1].machine
    free = vary(package, {"package.link_ns_per_flit": 0.0, "package.link_pj_per_flit": 0.0})
    slow, fast = simulate(program, package), simulate(program, free)
    assert slow.latency_ns > fast.latency_ns
    _, _, (index, core, runs) = tally(program, package)
    op, size, to = program.code[index][:, [OP, IMM, AUX]].astype(np.int64).T
    assert (core == core_of_instruction(program)[index]).all()
    flits = np.where(op == Op.SEND, 2 + -(-size // package.chip.noc.flit_bytes), 1)
    crossed = int((flits * runs * Places.of(package).links(core, to)).sum())
    assert crossed > 0
    assert slow.energy_pj["noc"] - fast.energy_pj["noc"] == pytest.approx(crossed * LINK_PJ)


def test_bounds_hold_on_a_package(compiled):
    for result in compiled:
        timing = simulate(result.program, result.machine, images=8)
        bounds = result.report.lower_bound
        assert timing.latency_ns >= bounds.latency_ns
        assert timing.interval_ns >= bounds.interval_ns


def test_a_package_holds_more_than_a_chip():
    chips = ["chip.grid=[2,2]", "core.crossbars=16", "package.chips=9"]
    held = imccompiler.compile("lenet", "isaac", set=chips, effort=0)
    assert held.report.crossbars.used > 2 * 2 * 16
    assert held.report.crossbars.available == 9 * 2 * 2 * 16
    assert not (held.program.code[:, OP] == Op.MVWR).any()  # all weights stay where they are
    chips_at_work = np.unique(core_of_instruction(held.program) // 4)
    assert len(chips_at_work) > 1
