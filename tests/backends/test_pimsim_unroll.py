"""The unrolled streams do what the program does, in a form that pimsim-nn runs correctly."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from imccompiler.backends.pimsim_unroll import unrolled
from imccompiler.hardware.load import vary
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.program.isa import AUX, COLUMNS, IMM, OP, RD, RS1, RS2, Op
from imccompiler.program.text import render
from imccompiler.simulator.timing import simulate

MakeProgram = Callable[..., Program]


def stream(program: Program, core: int = 0) -> list[str]:
    """A core's unrolled stream as text, one instruction a line."""
    begin, end = program.core_start[core : core + 2].tolist()
    return [line for line in render(program.code[begin:end]).splitlines() if line[0] != "."]


SCALARS: dict[int, Callable[[int, int, int], int]] = {
    Op.SLDI: lambda _, __, imm: imm,
    Op.SADDI: lambda a, _, imm: a + imm,
    Op.SMULI: lambda a, _, imm: a * imm,
}


def operations_with_addresses(program: Program, core: int) -> list[tuple[int, ...]]:
    """Every operation that a core runs, with what its registers hold: a plain interpreter."""
    values = [0] * 32
    done: list[tuple[int, ...]] = []

    def run(at: int, end: int) -> None:
        while at < end:
            row = program.code[at].tolist()
            a, b = values[row[RS1]], values[row[RS2]]
            at += 1
            if row[OP] == Op.LOOP:
                for _ in range(row[IMM]):
                    run(at, at + row[AUX])
                at += row[AUX]
            elif row[OP] in SCALARS:
                values[row[RD]] = SCALARS[row[OP]](a, b, row[IMM])
            else:
                pair = values[row[RD] + 1] if row[OP] == Op.ST else 0
                done.append((*row, values[row[RD]], a, b, pair))

    run(*program.core_start[core : core + 2].tolist())
    return done


@pytest.mark.parametrize("core", [0, 2])
def test_same_operations_at_the_same_addresses(program: Program, core: int) -> None:
    before = operations_with_addresses(program, core)
    after = operations_with_addresses(unrolled(program), core)
    if after[0][: RD + 5] != before[0][: RD + 5]:  # the `setbw` in front
        assert after.pop(0)[OP] == Op.SETBW
    unused = {  # columns whose registers an operation does not read may hold anything
        Op.MVMUL: (RS2,),
        Op.SEND: (RD, RS2),
        Op.RECV: (RS1, RS2),
        Op.ST: (RS2,),
        Op.SETBW: (RD, RS1, RS2),
    }
    for a, b in zip(before, after, strict=True):
        assert a[: len(COLUMNS)] == b[: len(COLUMNS)]
        values = [len(COLUMNS) + c - RD for c in unused.get(Op(a[OP]), ())]
        kept = [i for i in range(len(a)) if i not in values]
        assert [a[i] for i in kept] == [b[i] for i in kept]


def test_only_what_pimsim_runs_correctly_is_left(program: Program) -> None:
    ops = set(unrolled(program).code[:, OP].tolist())
    assert ops & set(range(Op.SLDI, Op.LOOP + 1)) == {Op.SLDI, Op.SETBW}


def test_registers_are_written_where_a_new_value_is_read(make_program: MakeProgram) -> None:
    text = "sldi r9, imm=5\nsldi r1, imm=7\nloop times=2\n  lldi r1, bytes=1, byte=0"
    other = (
        "\nsldi r1, imm=7\nlldi r1, bytes=2, byte=0\nsaddi r1, r1, imm=1\nlldi r1, bytes=3, byte=0"
    )
    assert stream(unrolled(make_program(text + other))) == [
        "setbw in=8, out=8",
        "sldi r1, imm=7",
        "lldi r1, bytes=1, byte=0",
        "lldi r1, bytes=1, byte=0",
        "lldi r1, bytes=2, byte=0",
        "sldi r1, imm=8",
        "lldi r1, bytes=3, byte=0",
    ]


def test_zero_is_written_too(make_program: MakeProgram) -> None:
    """pimsim-nn begins its next image with the registers that the last one left."""
    assert stream(unrolled(make_program("lldi r1, bytes=1, byte=0")))[1] == "sldi r1, imm=0"


def test_address_pairs_are_written(make_program: MakeProgram) -> None:
    text = "sldi r3, imm=4\nsldi r4, imm=5\nld r1, r3, bytes=8\nst r3, r1, bytes=8"
    assert [line for line in stream(unrolled(make_program(text))) if "sldi" in line] == [
        "sldi r1, imm=0",
        "sldi r3, imm=4",
        "sldi r4, imm=5",
    ]


def test_registers_wrap_at_32_bits(make_program: MakeProgram) -> None:
    text = "sldi r1, imm=0x7fffffff\nsaddi r1, r1, imm=2\nlldi r1, bytes=1, byte=0"
    assert "sldi r1, imm=-2147483647" in stream(unrolled(make_program(text)))


def test_widths_stand_where_the_program_sets_them(program: Program) -> None:
    sets = [line for line in stream(unrolled(program)) if line.startswith("setbw")]
    first, wide, narrow = "setbw in=8, out=24", "setbw in=24, out=24", "setbw in=8, out=24"
    # the last one, which no operation that looks at it follows, stands there as well
    assert sets == [first, *[wide, narrow] * 3]


def test_every_stream_begins_with_widths_and_ends_with_an_operation(program: Program) -> None:
    result = unrolled(program)
    for core in (0, 2):
        begin, end = result.core_start[core : core + 2].tolist()
        assert result.code[begin, OP] == Op.SETBW
        assert result.code[end - 1, OP] > Op.LOOP


def test_cores_without_operations_are_empty(program: Program) -> None:
    assert np.diff(unrolled(program).core_start)[1] == 0


def test_unrolled_twice_is_unrolled_once(program: Program) -> None:
    once = unrolled(program)
    assert np.array_equal(unrolled(once).code, once.code)


@pytest.mark.parametrize("rob_size", [1, 16])
def test_takes_the_time_that_the_program_takes(
    program: Program, pimcomp: Machine, rob_size: int
) -> None:
    machine = vary(pimcomp, {"core.rob_size": rob_size})
    native, flat = simulate(program, machine), simulate(unrolled(program), machine)
    assert flat.latency_ns == pytest.approx(native.latency_ns, rel=0.01)
    busy = ("crossbar", "adc", "noc", "vector", "local_memory", "global_memory")
    assert {c: flat.energy_pj[c] for c in busy} == {c: native.energy_pj[c] for c in busy}
    kinds = ("mvmul", "vvadd", "send", "recv", "st")
    assert [flat.executed[k] for k in kinds] == [native.executed[k] for k in kinds]
