"""Every broken rule is found, and the error says where."""

from __future__ import annotations

import numpy as np
import pytest

from imccompiler.errors import ProgramError, UserInputError
from imccompiler.simulator.execute import Executor

WEIGHTS = {(0, 0): np.eye(4, dtype=int)}
SETUP = "setbw in=8, out=8\n sldi r1, imm=100\n lldi r0, bytes=8, byte=1\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lmv r0, r1, bytes=4", "reads byte 100 of local memory"),
        ("saddi r2, r0, imm=6\n lmv r1, r2, bytes=4", "reads byte 8 "),
        ("vvadd r1, r0, r1, n=4", "reads byte 100 "),
        ("vvacc r1, r0, n=4", "reads byte 100 "),
        ("mvmul r0, r1, group=0", "reads byte 100 "),
        ("st r4, r1, bytes=1", "reads byte 100 "),
        ("send r1, bytes=1, core=1", "reads byte 100 "),
        ("ld r1, r4, bytes=2", "reads byte 0 of global memory"),
        ("sldi r2, imm=4090\n lldi r2, bytes=8, byte=0", "8 bytes at 4090, outside"),
        ("lmv r1, r0, bytes=0", "touches 0 bytes at 0"),
        ("vmv r1, r0, n=-2", "touches -2 bytes at 0"),
        ("sldi r2, imm=-1\n lmv r2, r0, bytes=1", "1 bytes at -1, outside"),
        ("sldi r5, imm=4093\n st r4, r0, bytes=4", "4 bytes at 4093, outside the 4096 bytes"),
        ("sldi r4, imm=1\n st r4, r0, bytes=4", "4 bytes at 4294967296, outside"),
        ("saddi r2, r0, imm=2\n vrelu r2, r0, n=4", "writes over an operand"),
        ("setbw in=8, out=16\n vvmul r0, r0, r0, n=4", "writes over an operand"),
        ("saddi r2, r0, imm=3\n mvmul r2, r0, group=0", "writes over an operand"),
        ("setbw in=8, out=63", "bit widths from 1 to 62"),
        ("lldi r1, bytes=1, byte=-1\n vvsra r1, r0, r1, n=1", "shifts by a negative number"),
        ("mvmul r1, r0, group=3", "group 3, which the core does not have"),
        ("vfun r1, r0, r0, n=1, function=0", "function 0, which the program does not have"),
        ("send r0, bytes=1, core=0", "core 0, which is not another core"),
        ("send r0, bytes=1, core=2", "core 2, which is not another core"),
        ("send r0, bytes=1, core=1", "1 messages of core 0 to core 1 were never received"),
        ("sync event=1, core=1", "event 1 of core 1 was raised 1 times too often"),
    ],
)
def test_a_broken_rule_is_an_error(machine, make_program, text, message):
    program = make_program(SETUP + text, "sldi r0, imm=0", weights=WEIGHTS)
    with pytest.raises(ProgramError) as caught:
        Executor(program, machine).run({})
    assert message in str(caught.value)


def test_the_error_says_core_instruction_and_layer(machine, make_program):
    program = make_program("sldi r0, imm=0", "sldi r1, imm=8\n.layer 1\nlmv r0, r1, bytes=4")
    with pytest.raises(ProgramError) as caught:
        Executor(program, machine).run({})
    assert caught.value.where == "core 1, instruction 1 (lmv r0, r1, bytes=4), layer 'second'"


@pytest.mark.parametrize("text", ["vrelu r0, r0, n=1", "mvmul r1, r0, group=0"])
def test_widths_must_be_set(machine, make_program, text):
    program = make_program("sldi r1, imm=9\n lldi r0, bytes=8, byte=1\n" + text, weights=WEIGHTS)
    with pytest.raises(ProgramError, match="setbw"):
        Executor(program, machine).run({})


def test_deadlock_reports_who_waits_for_whom(machine, make_program):
    program = make_program(
        "recv r0, bytes=1, core=1", "recv r0, bytes=1, core=0", "wait event=2, count=3"
    )
    with pytest.raises(ProgramError) as caught:
        Executor(program, machine).run({})
    text = str(caught.value)
    assert "3 cores wait for ever" in text
    assert "core 0, instruction 0 (recv r0, bytes=1, core=1), layer 'first' waits for a" in text
    assert "core 2" in text
    assert "event 2 to count 3, not 0" in text


def test_message_sizes_must_agree(machine, make_program):
    program = make_program(
        "lldi r0, bytes=4, byte=0\n send r0, bytes=4, core=1", "recv r0, bytes=3, core=0"
    )
    with pytest.raises(ProgramError, match="takes 3 bytes, but the next message of core 0 has 4"):
        Executor(program, machine).run({})


def test_an_output_must_be_written_whole(machine, make_program, make_port):
    program = make_program(
        "lldi r0, bytes=4, byte=0\n st r4, r0, bytes=3", outputs=(make_port("y", (4,), 0),)
    )
    with pytest.raises(ProgramError, match="1 of 4 bytes of output 'y' were not written"):
        Executor(program, machine).run({})


def test_an_unknown_operation_is_an_error(machine, make_program):
    program = make_program("sldi r0, imm=0\n sldi r0, imm=0")
    program.code[1, 0] = 30
    with pytest.raises(ProgramError, match="is no instruction"):
        Executor(program, machine).run({})


def test_registers_must_exist(machine, make_program):
    program = make_program("sldi r0, imm=0\n saddi r1, r0, imm=0")
    program.code[1, 2] = 32
    with pytest.raises(ProgramError, match="names a register outside r0 to r31"):
        Executor(program, machine)


@pytest.mark.parametrize(("imm", "aux"), [(0, 1), (2, 0), (2, 9)])
def test_loops_must_be_valid(machine, make_program, imm, aux):
    program = make_program("loop times=2\n  sldi r0, imm=0\nsldi r0, imm=0")
    program.code[0, 4:6] = imm, aux
    with pytest.raises(ProgramError, match="no valid loop"):
        Executor(program, machine).run({})


def test_groups_that_take_turns_must_be_programmed(machine, make_program):
    weights = {(0, 0): np.eye(4, dtype=int), (0, 1): 2 * np.eye(4, dtype=int)}
    use = SETUP + "sldi r1, imm=8\n mvmul r1, r0, group=0\n mvwr group=1\n mvmul r1, r0, group=1"
    program = make_program(use, weights=weights)
    program.tiles[1, 1] = program.tiles[0, 1]  # both on one crossbar
    Executor(program, machine).run({})
    for wrong in (
        use.replace("mvwr group=1\n", "") + "\n mvwr group=1",
        use + "\n mvmul r1, r0, group=0",
    ):
        program = make_program(wrong, weights=weights)
        program.tiles[1, 1] = program.tiles[0, 1]
        with pytest.raises(ProgramError, match="whose cells hold other weights"):
            Executor(program, machine).run({})


def test_inputs_are_checked(machine, make_program, make_port):
    program = make_program(
        "ld r0, r4, bytes=2", inputs=(make_port("x", (2,), 0), make_port("z", (1,), 2))
    )
    x, z = np.zeros((3, 2), int), np.zeros((3, 1), int)
    executor = Executor(program, machine)
    assert executor.run({"x": x, "z": z}) == {}
    for inputs, message in [
        ({"x": x}, "'z' is missing"),
        ({"x": x, "z": z, "w": z}, "no input 'w'"),
        ({"x": x[:2], "z": z}, "different numbers of images"),
        ({"x": x[:, :1], "z": z}, r"shape \(images, 2\)"),
        ({"x": x + 128, "z": z}, "within -128 to 127"),
    ]:
        with pytest.raises(UserInputError, match=message):
            executor.run(inputs)
