from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from imccompiler.errors import DoesNotFitError, PassError, ProgramError
from imccompiler.hardware.load import load, vary
from imccompiler.ir.decisions import Segment
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.estimate import estimate
from imccompiler.passes.segment import SegmentPass
from imccompiler.program.isa import Op
from imccompiler.simulator.execute import Executor
from imccompiler.simulator.timing import simulate

HEAD = "fold,canonicalize,quantize,partition"


def grid(rows, columns, crossbars=64):
    return vary(load("pimcomp"), {"chip.grid": [rows, columns], "core.crossbars": crossbars})


def test_one_copy_of_everything_that_just_fits_passes(map_network, named_network):
    """LeNet: ceil(rows / 128) * ceil(outputs / 32) crossbars a layer."""
    network = named_network("lenet")
    shapes = [(25, 6), (150, 16), (400, 120), (120, 84), (84, 10)]
    needed = sum(-(-rows // 128) * -(-outputs // 32) for rows, outputs in shapes)
    map_network(network, grid(1, needed, 1), pipeline=f"{HEAD},segment")
    with pytest.raises(DoesNotFitError) as caught:
        map_network(network, grid(1, needed - 1, 1), pipeline=f"{HEAD},segment")
    error = caught.value
    assert (error.demand, error.capacity, error.unit) == (needed, needed - 1, "crossbars")
    assert error.exit_code == 3
    assert f"at least {needed} cores" in error.levers[0]
    assert "at least 2 crossbars a core" in error.levers[1]


def test_the_levers_make_it_fit(map_network, named_network):
    with pytest.raises(DoesNotFitError):
        map_network(named_network("lenet"), grid(2, 2, 5))
    assert map_network(named_network("lenet"), grid(2, 2, 16)).differing() == 0


def test_a_network_that_is_not_cut_is_refused(map_network, named_network):
    mapping = map_network(named_network("lenet"), "pimcomp", pipeline="fold,canonicalize,quantize")
    with pytest.raises(PassError, match="has no tiling"):
        SegmentPass().run(mapping.context, mapping.module)


# ---- weights that come and go


def rewritable(rows, columns, crossbars, preset="pimcomp", **changes):
    kind = {"pimcomp": "core", "isaac": "tile"}[preset]
    return vary(
        load(preset),
        {
            "chip.grid": [rows, columns],
            f"core_kinds.{kind}.crossbars": crossbars,
            f"core_kinds.{kind}.cell.rewritable": True,
            **changes,
        },
    )


@pytest.fixture(scope="module", params=[(2, 2, 4), (1, 1, 12), (2, 3, 2)], ids=str)
def in_turns(request, map_network, named_network):
    return map_network(named_network("lenet"), rewritable(*request.param), effort=0)


def test_a_network_larger_than_the_chip_is_executed_exactly(in_turns):
    segments = [op.segment.number for op in in_turns.module.ops if isinstance(op, MatmulOp)]
    assert segments == sorted(segments)
    assert max(segments) > 0
    assert in_turns.differing() == 0


def test_no_segment_holds_more_than_its_cores(in_turns):
    machine, program = in_turns.machine, in_turns.program
    assert program.tiles[:, 1].max() < machine.main_kind.crossbars
    for op in in_turns.module.ops:
        if isinstance(op, MatmulOp):
            first, end = op.segment.first, op.segment.first + op.segment.cores
            assert all(first <= core < end for core in op.placement.cores)


def test_every_group_is_written_once_an_image_and_before_it_multiplies(in_turns):
    program = in_turns.program
    for core in range(program.core_count):
        rows = program.code[program.core_start[core] : program.core_start[core + 1]]
        written, loops = Counter(), 0
        for op, group in rows[:, [0, 4]].tolist():
            if op == Op.MVWR:
                written[group] += 1
            if op == Op.MVMUL and written:
                assert written[group] == 1, (core, group, loops)
        assert set(written.values()) <= {1}


def test_plan_and_simulation_agree_with_reloads(in_turns):
    planned = estimate(in_turns.context, in_turns.module)
    one = simulate(in_turns.program, in_turns.machine)
    many = simulate(in_turns.program, in_turns.machine, images=6)
    assert one.latency_ns == pytest.approx(planned.latency_ns, rel=0.01)
    assert many.interval_ns == pytest.approx(planned.interval_ns, rel=0.01)
    assert planned.latency_bound_ns <= one.latency_ns
    assert planned.interval_bound_ns <= many.interval_ns


def test_a_missing_write_is_caught(in_turns):
    """Without its `mvwr` a group is not on the chip."""
    code = in_turns.program.code.copy()
    at = np.flatnonzero(code[:, 0] == Op.MVWR)[-1]
    code[at, :6] = (Op.SETBW, 0, 0, 0, 8, 8)
    broken = replace(in_turns.program, code=code)
    with pytest.raises(ProgramError):
        Executor(broken, in_turns.machine).run(in_turns.codes())


def test_longer_writing_takes_longer(map_network, named_network):
    network = named_network("lenet")
    times = []
    for write_ns in (10.0, 1000.0):
        machine = rewritable(2, 2, 4, **{"core_kinds.core.cell.write_ns": write_ns})
        mapping = map_network(network, machine, effort=0)
        times.append(simulate(mapping.program, machine).latency_ns)
    assert times[0] < times[1]


def test_parts_share_cores_where_there_are_too_few_for_one_each(map_nodes, make_conv):
    """18 row blocks of three crossbars do not fit 16 cores of four, 54 of one do."""
    machine = vary(load("dimc"), {"chip.grid": [4, 8]})
    conv = make_conv((1, 512, 2, 2), (96, 512, 3, 3), pads=[1, 1, 1, 1])
    mapping = map_nodes(*conv, machine, pins={"conv": (Segment(0, 0, 16),)})
    replication = mapping.op("conv").replication
    assert replication.row_split * replication.column_split == 54
    assert max(mapping.op("conv").placement.cores) < 16
    assert mapping.differing() == 0
