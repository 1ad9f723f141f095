"""Programs for the preset `pimcomp`, written as text."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from imccompiler.hardware.load import load
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Function, Operand, Program, Quantization
from imccompiler.program.text import assemble

BLOCK = Operand((4,), (0,), Quantization(1.0, 0, 8))


def make_program(*streams: str, crossbars: tuple[tuple[int, ...], ...] = ()) -> Program:
    """A stream a core; `crossbars` gives the width of each group of each core."""
    codes = [assemble(text) for text in streams]
    groups, tiles = [], []
    for core, widths in enumerate(crossbars):
        used = 0
        for group, width in enumerate(widths):
            groups.append((core, group, len(tiles), width, 128, 32 * width, width))
            tiles += [
                (core, used + x, 0, 0, 0, 0, 128, 32 * x, 32, 32 * x, 0) for x in range(width)
            ]
            used += width
    return Program(
        code=np.concatenate(codes),
        core_start=np.cumsum([0, *map(len, codes)]),
        groups=np.array(groups, np.int32).reshape(-1, 7),
        tiles=np.array(tiles, np.int32).reshape(-1, 11),
        matrices={"w": np.ones((128, 2048), np.int16)},
        images=(),
        functions=(Function("Erf", {}, (BLOCK,), BLOCK),),
        inputs=(),
        outputs=(),
        layers=("conv1", "gelu"),
        weight_bits=8,
        input_bits=8,
        local_bytes=np.full(len(streams), 4096, np.int64),
        global_bytes=4096,
    )


LOOPS = """
sldi r0, imm=0
sldi r1, imm=8192
setbw in=8, out=24
loop times=3
  loop times=4
    saddi r2, r0, imm=16
    saddi r3, r1, imm=0
    mvmul r3, r2, group=1
    saddi r0, r0, imm=128
    saddi r1, r1, imm=200
  smuli r0, r0, imm=2
  setbw in=24, out=24
  vvadd r1, r3, r3, n=64
  setbw in=8, out=24
  send r3, bytes=96, core=2
sldi r5, imm=1
"""
RECEIVES = "sldi r4, imm=100\nloop times=3\n  recv r4, bytes=96, core=0\n  saddi r4, r4, imm=97"
STORES = """
sldi r7, imm=0
sldi r8, imm=512
loop times=2
  st r7, r4, bytes=96
  saddi r8, r8, imm=96
"""


@pytest.fixture(scope="session", name="make_program")
def make_program_fixture() -> Callable[..., Program]:
    return make_program


@pytest.fixture(scope="session")
def pimcomp() -> Machine:
    return load("pimcomp")


@pytest.fixture(scope="session")
def program() -> Program:
    """Loops on core 0, nothing on core 1, messages to core 2."""
    return make_program(LOOPS, "sldi r0, imm=1", RECEIVES + STORES, crossbars=((1, 4), (), (2,)))


@pytest.fixture
def with_code() -> Callable[..., Program]:
    """Replaces the value in one column of the instructions with a code."""

    def edit(program: Program, op: int, column: int, value: int) -> Program:
        code = program.code.copy()
        code[code[:, 0] == op, column] = value
        return replace(program, code=code)

    return edit
