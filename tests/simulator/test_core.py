"""Compiled cores against numpy and against unrolled streams."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imccompiler.program.isa import AUX, IMM, OP, Op
from imccompiler.program.text import assemble
from imccompiler.simulator import core as c
from imccompiler.simulator.integer import saturate, shift_round_half_even

SIZE = 4096
FIRST, SECOND, RESULT = 0, 1024, 2048


def start(code, images=1, memory=None):
    """A core whose whole memory is defined."""
    filled = np.zeros((images, SIZE), np.uint8) if memory is None else memory.copy()
    return c.CoreArrays(
        code=code,
        groups=np.zeros((0, 2), np.int64),
        state=np.zeros(c.STATE_SIZE, np.int64),
        registers=np.zeros(32, np.int32),
        memory=filled,
        defined=np.ones(SIZE, np.uint8),
        scratch=np.zeros((2, 64), np.int64),
    )


OPERATIONS = {  # before saturation
    Op.VVADD: np.add,
    Op.VVSUB: np.subtract,
    Op.VVMAX: np.maximum,
    Op.VVMUL: np.multiply,
    Op.VVSLL: np.left_shift,
    Op.VVSRA: shift_round_half_even,
    Op.VVDMUL: lambda a, b: (a * b).sum(axis=1, keepdims=True),
    Op.VRELU: lambda a, _b: np.maximum(a, 0),
    Op.VMV: lambda a, _b: a,
}
SAME_WIDTH = {Op.VVADD, Op.VVSUB, Op.VVMAX, Op.VRELU, Op.VMV}


@settings(deadline=None)
@given(
    st.sampled_from(list(OPERATIONS)),
    st.integers(6, 31),
    st.integers(2, 62),
    st.integers(1, 40),
    st.integers(0, 99),
)
def test_vector_instructions_equal_numpy(op, ibw, obw, n, seed):
    rng = np.random.default_rng(seed)
    half = 1 << (ibw - 1)
    a, b = (rng.integers(-half, half, (3, n)) for _ in range(2))
    if op in (Op.VVSLL, Op.VVSRA):
        b = np.abs(b) % 20
    operands = "r3, r1" if op in (Op.VRELU, Op.VMV) else "r3, r1, r2"
    code = assemble(
        f"setbw in={ibw}, out={obw}\nsldi r1, imm={FIRST}\nsldi r2, imm={SECOND}\n"
        f"sldi r3, imm={RESULT}\n{op.name.lower()} {operands}, n={n}"
    )
    core = start(code, images=3)
    c.write_values(core.memory, FIRST, a.copy(), ibw)
    c.write_values(core.memory, SECOND, b.copy(), ibw)
    assert c.run_core(core) == c.FINISHED
    bits = ibw if op in SAME_WIDTH else obw
    expected = saturate(OPERATIONS[op](a, b), bits)
    found = c.read_values(core.memory, RESULT, expected.shape[1], bits)
    assert np.array_equal(found, expected)
    assert not core.memory[:, RESULT + expected.shape[1] * -(-bits // 8) :].any()


@settings(deadline=None)
@given(st.integers(1, 62), st.integers(0, 99))
def test_values_of_every_width_come_back(bits, seed):
    rng = np.random.default_rng(seed)
    half = 1 << (bits - 1)
    values = rng.integers(-half, half, (2, 9))
    memory = np.zeros((2, SIZE), np.uint8)
    c.write_values(memory, 5, values.copy(), bits)
    assert np.array_equal(c.read_values(memory, 5, 9, bits), values)


BODY = [
    "saddi r1, r1, imm=3",
    "saddi r2, r1, imm=512",
    "lmv r2, r1, bytes=7",
    "vvadd r3, r1, r2, n=4",
    "vrelu r3, r2, n=5",
    "lldi r2, bytes=3, byte=5",
    "setbw in=16, out=24",
    "vvmul r3, r1, r2, n=2",
    "vvacc r3, r1, n=3",
]


@st.composite
def nests(draw, depth=0):
    """Lines of a random nest of loops."""
    lines = []
    for _ in range(draw(st.integers(1, 3))):
        if depth < 4 and draw(st.integers(0, 2)) == 0:
            lines.append(f"loop times={draw(st.integers(1, 3))}")
            lines += ["  " + line for line in draw(nests(depth=depth + 1))]
        else:
            lines.append(draw(st.sampled_from(BODY)))
    return lines


def unroll(rows):
    """The instructions in the order in which loops run them."""
    result, i = [], 0
    while i < len(rows):
        if rows[i][OP] == Op.LOOP:
            end = i + 1 + rows[i][AUX]
            result += unroll(rows[i + 1 : end]) * rows[i][IMM]
            i = end
        else:
            result.append(rows[i])
            i += 1
    return result


@settings(deadline=None)
@given(nests())
def test_loops_equal_their_unrolled_stream(lines):
    setup = ["setbw in=8, out=16", "sldi r2, imm=512", "sldi r3, imm=2048"]
    code = assemble("\n".join(setup + lines))
    flat = np.array(unroll(code.tolist()), np.int32)
    memory = np.random.default_rng(0).integers(0, 256, (2, SIZE)).astype(np.uint8)
    looped, unrolled = start(code, 2, memory), start(flat, 2, memory)
    assert c.run_core(looped) == c.run_core(unrolled)
    assert np.array_equal(looped.memory, unrolled.memory)
    assert np.array_equal(looped.registers, unrolled.registers)
    assert np.array_equal(looped.state[[1, 2, 3]], unrolled.state[[1, 2, 3]])


@pytest.mark.parametrize("distance", [-3, 0, 3])
def test_moves_read_all_before_they_write(distance):
    code = assemble(f"sldi r1, imm=100\nsldi r2, imm={100 + distance}\nlmv r2, r1, bytes=8")
    memory = np.arange(SIZE).astype(np.uint8)[None]
    core = start(code, memory=memory)
    assert c.run_core(core) == c.FINISHED
    assert np.array_equal(core.memory[0, 100 + distance : 108 + distance], memory[0, 100:108])
