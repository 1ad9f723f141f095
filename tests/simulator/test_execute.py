"""What each instruction computes, on small programs."""

from __future__ import annotations

import numpy as np
import pytest

from imccompiler.program.artifact import Function, Operand, Port, Quantization
from imccompiler.simulator.execute import Executor

A, B, OUT = 0, 1024, 2048


def to_bytes(values, bits):
    width = -(-bits // 8)
    return np.array(values, np.int64)[:, None].view(np.uint8).reshape(-1, 8)[:, :width].ravel()


@pytest.fixture
def vector(machine, make_program, make_port):
    """Run one vector instruction on constants."""

    def run(text, a, b=(0,), *, ibw=8, obw=8, b_bits=None, n_out=None, out_bits=None):
        out_bits = out_bits or obw
        size = (n_out or len(a)) * -(-out_bits // 8)
        stream = f"""
        setbw in={ibw}, out={obw}
        sldi r0, imm={OUT}
        sldi r1, imm={A}
        sldi r2, imm={B}
        {text}
        sldi r4, imm=0
        sldi r5, imm=0
        st r4, r0, bytes={size}
        """
        program = make_program(
            stream,
            images=[(0, A, to_bytes(a, ibw)), (0, B, to_bytes(b, b_bits or ibw))],
            outputs=(make_port("y", (n_out or len(a),), 0, out_bits),),
        )
        return Executor(program, machine).run({})["y"][0].tolist()

    return run


@pytest.mark.parametrize("bits", [8, 12, 16, 24, 32, 40])
def test_addition_saturates_at_its_width(vector, bits):
    low, high = -(1 << (bits - 1)), (1 << (bits - 1)) - 1
    a, b = [high, low, 5, high], [1, -1, -7, low]
    y = vector("vvadd r0, r1, r2, n=4", a, b, ibw=bits, obw=8, out_bits=bits)
    assert y == [high, low, -2, -1]


def test_elementwise_instructions(vector):
    a, b = [100, -100, 3, -128], [50, 50, -4, 127]
    assert vector("vvsub r0, r1, r2, n=4", a, b) == [50, -128, 7, -128]
    assert vector("vvmax r0, r1, r2, n=4", a, b) == [100, 50, 3, 127]
    assert vector("vvmul r0, r1, r2, n=4", a, b, obw=16) == [5000, -5000, -12, -16256]
    assert vector("vvmul r0, r1, r2, n=4", a, b, obw=8) == [127, -128, -12, -128]
    assert vector("vrelu r0, r1, n=4", a) == [100, 0, 3, 0]
    assert vector("vmv r0, r1, n=4", a) == a


def test_product_of_wide_values_saturates_and_does_not_wrap(vector):
    big = 1 << 38
    a, b = [big, -big, big, 3], [big, big, 1, -5]
    y = vector("vvmul r0, r1, r2, n=4", a, b, ibw=40, obw=62)
    assert y == [(1 << 61) - 1, -(1 << 61), big, -15]


def test_shifts_round_half_to_even(vector):
    a, b = [5, 7, -5, -7, 6, 1, -128], [1, 1, 1, 1, 2, 7, 7]
    assert vector("vvsra r0, r1, r2, n=7", a, b) == [2, 4, -2, -4, 2, 0, -1]
    assert vector("vvsra r0, r1, r2, n=2", [3, 100], [0, 100]) == [3, 0]
    assert vector("vvsll r0, r1, r2, n=5", [1, -1, 3, -3, 0], [6, 7, 6, 100, 100]) == [
        64,
        -128,
        127,
        -128,
        0,
    ]


def test_reductions_write_one_value(vector):
    a, b = [100, 100, 100, -50, 1], [100, 100, -100, 100, 5]
    y = vector("vvdmul r0, r1, r2, n=5", a, b, obw=24, n_out=1)
    assert y == [100 * 100 - 50 * 100 + 5]
    assert vector("vvdmul r0, r1, r2, n=5", a, b, obw=8, n_out=1) == [127]
    assert vector("vavg r0, r1, n=4", [1, 2, 3, 4], n_out=1) == [2]  # 2.5
    assert vector("vavg r0, r1, n=2", [-1, -2], n_out=1) == [-2]  # -1.5
    assert vector("vavg r0, r1, n=3", [-1, -1, -2], n_out=1) == [-1]


def test_accumulation_reads_narrow_and_writes_wide(vector):
    text = "lmv r0, r2, bytes=6\n vvacc r0, r1, n=3\n vvacc r0, r1, n=3"
    y = vector(text, [100, -100, 1], [32700, -32700, 0], ibw=8, obw=16, b_bits=16)
    assert y == [32767, -32768, 2]


def test_moves_and_fills(vector):
    text = "lmv r0, r1, bytes=4\n saddi r3, r0, imm=1\n lmv r3, r0, bytes=4"
    assert vector(text, [1, 2, 3, 4], n_out=5) == [1, 1, 2, 3, 4]
    text = "saddi r3, r0, imm=1\n lmv r3, r1, bytes=4\n lmv r0, r3, bytes=4"
    assert vector(text, [1, 2, 3, 4], n_out=5) == [1, 2, 3, 4, 4]
    assert vector("lldi r0, bytes=3, byte=-2", [0], n_out=3) == [-2, -2, -2]


def test_scalar_arithmetic_wraps(vector):
    text = """
    sldi r6, imm=65536
    smul r7, r6, r6
    saddi r7, r7, imm=2047
    smuli r8, r7, imm=3
    ssub r8, r8, r7
    ssub r8, r8, r7
    sadd r9, r8, r9
    saddi r9, r9, imm=1
    lldi r9, bytes=1, byte=9
    """
    assert vector(text, [0], n_out=1) == [9]  # r9 = 2048


def test_nested_loops_end_together(vector):
    text = """
    lldi r0, bytes=1, byte=0
    lldi r2, bytes=1, byte=1
    loop times=3
      loop times=4
        vvadd r0, r0, r2, n=1
      loop times=2
        vvadd r0, r0, r2, n=1
        loop times=5
          vvadd r0, r0, r2, n=1
    """
    assert vector(text, [0], n_out=1) == [3 * (4 + 2 * (1 + 5))]


@pytest.mark.parametrize("mode", ["exact", "bit_serial"])
@pytest.mark.parametrize(("ibw", "obw"), [(8, 8), (8, 24), (12, 40)])
def test_mvmul(machine, make_program, make_port, mode, ibw, obw):
    rng = np.random.default_rng(1)
    w = rng.integers(-128, 128, (20, 9))
    x = rng.integers(-(1 << (ibw - 1)), 1 << (ibw - 1), (3, 20))
    stream = f"""
    setbw in={ibw}, out={obw}
    sldi r1, imm=3
    sldi r4, imm=0
    ld r1, r4, bytes={20 * -(-ibw // 8)}
    sldi r2, imm=501
    mvmul r2, r1, group=0
    sldi r5, imm=1000
    st r4, r2, bytes={9 * -(-obw // 8)}
    """
    program = make_program(
        stream,
        weights={(0, 0): w},
        inputs=(make_port("x", (20,), 0, ibw),),
        outputs=(make_port("y", (9,), 1000, obw),),
    )
    y = Executor(program, machine, mode=mode).run({"x": x})["y"]
    assert np.array_equal(y, np.clip(x @ w, -(1 << (obw - 1)), (1 << (obw - 1)) - 1))


def test_messages_between_cores(machine, make_program, make_port):
    sender = """
    sldi r1, imm=0
    send r1, bytes=2, core=1
    saddi r1, r1, imm=2
    send r1, bytes=1, core=1
    wait event=3, count=2
    send r1, bytes=1, core=1
    """
    receiver = """
    recv r1, bytes=2, core=0
    sync event=3, core=0
    saddi r2, r1, imm=2
    recv r2, bytes=1, core=0
    sync event=3, core=0
    saddi r2, r2, imm=1
    recv r2, bytes=1, core=0
    st r4, r1, bytes=4
    """
    program = make_program(
        sender, receiver, images=[(0, 0, [1, 2, 3])], outputs=(make_port("y", (4,), 0),)
    )
    assert Executor(program, machine).run({})["y"].tolist() == [[1, 2, 3, 3]]


def test_function_operands_are_packed_behind_the_second(machine, make_program, make_port):
    code = Quantization(0.5, 1, 8)
    wide = Quantization(1.0, 0, 16)
    operands = tuple(Operand((1, 2), (0, 1), q) for q in (code, code, wide))
    function = Function("Sum", {}, operands, Operand((1, 2), (0, 1), wide))
    stream = """
    setbw in=8, out=8
    sldi r1, imm=0
    sldi r2, imm=100
    sldi r3, imm=200
    vfun r3, r1, r2, n=2, function=0
    st r4, r3, bytes=4
    """
    program = make_program(
        stream,
        images=[(0, 0, [3, 5]), (0, 100, [1, 2]), (0, 102, to_bytes([300, -300], 16))],
        functions=(function,),
        outputs=(make_port("y", (1, 2), 0, 16),),
    )
    y = Executor(program, machine).run({})["y"]
    assert y.tolist() == [[[301, -298]]]  # (3-1)/2 + 0 + 300; 2 + 0.5 - 300 = -297.5


@pytest.mark.parametrize(("op", "op_type"), [("vtanh", "Tanh"), ("vsigm", "Sigmoid")])
def test_elementwise_functions_take_any_number_of_values(
    machine, make_program, make_port, op, op_type
):
    q, out = Quantization(0.05, -3, 8), Quantization(1 / 128, 0, 8)
    function = Function(op_type, {}, (Operand((1, 2), (0, 1), q),), Operand((1, 2), (0, 1), out))
    codes = [-128, -3, 17, 127, 0]
    program = make_program(
        f"sldi r2, imm=100\n {op} r2, r1, n=5, function=0\n st r4, r2, bytes=5",
        images=[(0, 0, np.array(codes, np.int8).view(np.uint8))],
        functions=(function,),
        outputs=(make_port("y", (5,), 0),),
    )
    real = 0.05 * (np.array(codes) + 3)
    exact = np.tanh(real) if op_type == "Tanh" else 1 / (1 + np.exp(-real))
    expected = np.clip(np.rint(exact * 128), -128, 127)
    assert Executor(program, machine).run({})["y"].tolist() == [expected.tolist()]


def test_port_layouts(machine, make_program):
    q = Quantization(1.0, 0, 8)
    port = Port("x", (1, 2, 2, 2), (0, 2, 3, 1), q, 0)
    out = Port("y", (1, 8), (0, 1), q, 8)
    program = make_program(
        "ld r1, r2, bytes=8\n sldi r5, imm=8\n st r4, r1, bytes=8", inputs=(port,), outputs=(out,)
    )
    x = np.arange(8).reshape(1, 1, 2, 2, 2)
    y = Executor(program, machine).run({"x": x})["y"]
    assert y.tolist() == [[[0, 4, 1, 5, 2, 6, 3, 7]]]
    back = make_program(
        "ld r1, r2, bytes=8\n sldi r5, imm=8\n st r4, r1, bytes=8",
        inputs=(Port("x", (1, 8), (0, 1), q, 0),),
        outputs=(Port("y", (1, 2, 2, 2), (0, 2, 3, 1), q, 8),),
    )
    assert np.array_equal(Executor(back, machine).run({"x": y})["y"], x)


def test_images_do_not_touch_each_other(machine, make_program, make_port):
    w = np.eye(4, dtype=int) * 2
    stream = """
    setbw in=8, out=8
    sldi r1, imm=8
    ld r1, r4, bytes=4
    mvmul r0, r1, group=0
    vvadd r0, r0, r1, n=4
    st r4, r0, bytes=4
    """
    program = make_program(
        stream,
        weights={(0, 0): w},
        inputs=(make_port("x", (4,), 0),),
        outputs=(make_port("y", (4,), 0),),
    )
    x = np.arange(-20, 20).reshape(10, 4)
    assert np.array_equal(Executor(program, machine).run({"x": x})["y"], 3 * x)
