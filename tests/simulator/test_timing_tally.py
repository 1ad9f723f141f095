"""Runs counted in one pass are those of the loops unrolled, and energies add up to the run's."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

import imccompiler
from imccompiler.cost.energy import COMPONENTS
from imccompiler.hardware.load import load, vary
from imccompiler.program.artifact import Function, Operand, Quantization
from imccompiler.program.isa import AUX, IMM, LAYER, OP, Op
from imccompiler.simulator.timing import simulate, spent_pj
from imccompiler.simulator.timing_tally import tally


def unrolled(code):
    """Instructions in the order in which they run."""
    at = 0
    while at < len(code):
        row = code[at]
        if row[OP] == Op.LOOP:
            body = code[at + 1 : at + 1 + row[AUX]]
            for _ in range(row[IMM]):
                yield from unrolled(body)
            at += row[AUX]
        else:
            yield row
        at += 1


@pytest.fixture(scope="module", params=["isaac", "pimcomp"])
def compiled(request):
    return imccompiler.compile("lenet", request.param, effort=0)


def test_runs_are_those_of_the_loops_unrolled(compiled):
    program, machine = compiled.program, compiled.machine
    expected, sent, widths = Counter(), Counter(), (0, 0)
    groups = {(core, group): i for i, (core, group) in enumerate(program.groups[:, :2].tolist())}
    for core, (first, end) in enumerate(
        zip(program.core_start, program.core_start[1:], strict=False)
    ):
        for row in unrolled(program.code[first:end].tolist()):
            op, imm, aux, layer = (row[column] for column in (OP, IMM, AUX, LAYER))
            if op == Op.SETBW:
                widths = (imm, aux)
            if op >= Op.MVMUL:
                counted = groups[core, imm] if op <= Op.MVWR else imm
                function = aux + 1 if op == Op.VFUN else 0
                layer = layer if layer >= 0 else len(program.layers)
                expected[0, op, counted, function, layer, *widths] += 1
            if op in (Op.SEND, Op.SYNC):
                sent[core, op, imm, aux] += 1
    forms, runs, (index, core, times) = tally(program, machine)
    assert dict(zip(map(tuple, forms.tolist()), runs.tolist(), strict=True)) == expected
    assert forms.tolist() == sorted(forms.tolist())
    found = Counter()
    for at, of_core, count in zip(index.tolist(), core.tolist(), times.tolist(), strict=True):
        found[of_core, *program.code[at, [OP, IMM, AUX]].tolist()] += count
    assert found == sent


def test_energies_are_those_of_a_run(compiled):
    found = spent_pj(compiled.program, compiled.machine)
    run = simulate(compiled.program, compiled.machine)
    np.testing.assert_allclose(found, run.energy_pj_by_layer, rtol=1e-12)
    assert found.sum() > 0


CODE = Quantization(1.0, 0, 8)
BLOCK = Operand((100,), (0,), CODE)
PAIR = Function("Mul", {}, (BLOCK, BLOCK), BLOCK)
ACCESSES = {  # bytes that are read and written at widths in=16, out=24
    "vvadd r1, r2, r3, n=100": ((200, 200), 200),
    "vvmul r1, r2, r3, n=100": ((200, 200), 300),
    "vrelu r1, r2, n=100": ((200,), 200),
    "vvacc r1, r2, n=100": ((200, 300), 300),
    "vfun r1, r2, r3, n=100, function=0": ((100, 100), 100),
    "lldi r1, bytes=100, byte=7": ((), 100),
    "lmv r1, r2, bytes=100": ((100,), 100),
    "ld r1, r2, bytes=100": ((), 100),
    "st r1, r2, bytes=100": ((100,), 0),
    "mvmul r1, r2, group=0": ((128 * 8 * 2,), 32 * 3),
}


@pytest.mark.parametrize("text", ACCESSES)
def test_memory_is_charged_for_every_run_of_nested_loops(make_program, text):
    machine = vary(load("pimcomp"), {"local_memory.read_pj": 3.0, "local_memory.write_pj": 5.0})
    memory = machine.main_kind.local_memory
    lines = (
        "setbw in=16, out=24",
        "loop times=3",
        "  loop times=2",
        f"    {text}",
        "  sldi r5, imm=5",
    )
    weights = {(0, 0): np.ones((128, 16), np.int16)}
    program = make_program("\n".join(lines), weights=weights, functions=(PAIR,))
    read, written = ACCESSES[text]
    reads = sum(-(-size // memory.width_bytes) for size in read)
    expected = reads * memory.read_pj + -(-written // memory.width_bytes) * memory.write_pj
    spent = spent_pj(program, machine).sum(axis=0)[COMPONENTS.index("local_memory")]
    assert spent == pytest.approx(6 * expected)
    assert simulate(program, machine).energy_pj["local_memory"] == pytest.approx(6 * expected)
