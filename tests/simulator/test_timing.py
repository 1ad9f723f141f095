"""Every instruction's time on the preset `pimcomp`, against its formula in docs/program.md.

An operation that is instruction i of an idle core is decoded at i + 1 and starts at i + 3, a
product one later, through its latch; it retires the cycle after its end.
"""

from __future__ import annotations

from collections.abc import Callable
from math import ceil

import numpy as np
import pytest

from imccompiler.hardware.load import load, vary
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Function, Operand, Program, Quantization
from imccompiler.simulator.timing import Timing, simulate

MakeProgram = Callable[..., Program]

WEIGHTS = {(0, 0): np.ones((128, 16), np.int16)}  # on one crossbar
CODE = Quantization(1.0, 0, 8)
BLOCK = Operand((100,), (0,), CODE)
FUNCTIONS = (
    Function("Tanh", {}, (BLOCK,), BLOCK),
    Function("Mul", {}, (BLOCK, BLOCK), BLOCK),
    Function(
        "MatMul",
        {},
        (Operand((4, 8), (0, 1), CODE), Operand((8, 6), (0, 1), CODE)),
        Operand((4, 6), (0, 1), CODE),
        macs=4 * 8 * 6,
    ),
)


def local_read(size: int) -> int:
    return ceil(size / 64) * 20


def local_write(size: int) -> int:
    return ceil(size / 64) * 30


def global_read(size: int) -> int:
    return ceil(size / 32) * 40


def global_write(size: int) -> int:
    return ceil(size / 32) * 50


def lanes(n: int) -> int:
    return ceil(n / 32) * 4


MVM = 9 + 162 + 7 * 162  # F + B + (N - 1) max(F, B): 8 input bits, 1 a cycle
ROWS_READ = 128 * 8  # pimsim-nn reads each row's input 8 times

PRODUCTS = {
    "mvmul r1, r2, group=0": local_read(ROWS_READ) + MVM + local_write(32 * 3),
    "mvwr group=0": ceil(128 * 85.693359375),
}
VECTORS = {  # widths in=16, out=24: two bytes in, three bytes out
    **{
        f"{op} r1, r2, r3, n=100": 2 * local_read(200) + lanes(100) + local_write(200)
        for op in ("vvadd", "vvsub", "vvmax", "vvdmul")
    },
    **{
        f"{op} r1, r2, r3, n=100": 2 * local_read(200) + lanes(100) + local_write(300)
        for op in ("vvmul", "vvsll", "vvsra")
    },
    **{
        f"{op} r1, r2, n=100": local_read(200) + lanes(100) + local_write(200)
        for op in ("vrelu", "vavg", "vmv")
    },
    **{
        f"{op} r1, r2, n=100, function=0": local_read(200) + lanes(100) + local_write(300)
        for op in ("vtanh", "vsigm")
    },
    "vvacc r1, r2, n=100": local_read(200) + local_read(300) + lanes(100) + local_write(300),
    "vfun r1, r2, r3, n=100, function=0": local_read(100) + 8 * lanes(100) + local_write(100),
    "vfun r1, r2, r3, n=100, function=1": 2 * local_read(100) + 8 * lanes(100) + local_write(100),
    "vfun r1, r2, r3, n=48, function=2": (
        local_read(32) + local_read(48) + lanes(4 * 8 * 6) + local_write(24)
    ),
}
TRANSFERS = {
    "ld r1, r2, bytes=100": 15 + global_read(100) + local_write(100),
    "lldi r1, bytes=100, byte=7": local_write(100),
    "lmv r1, r2, bytes=100": local_read(100) + local_write(100),
}


@pytest.fixture(scope="module")
def pimcomp() -> Machine:
    return load("pimcomp")


@pytest.fixture
def run(make_program: MakeProgram, pimcomp: Machine) -> Callable[..., Timing]:
    def run(*streams: str, machine: Machine = pimcomp, images: int = 1) -> Timing:
        program = make_program(*streams, weights=WEIGHTS, functions=FUNCTIONS)
        return simulate(program, machine, images=images, events=True)

    return run


@pytest.mark.parametrize(("text", "time_ns"), PRODUCTS.items())
def test_product(run: Callable[..., Timing], text: str, time_ns: int) -> None:
    start = 1 + 4
    assert run(f"setbw in=8, out=24\n{text}").latency_ns == start + time_ns + 1


@pytest.mark.parametrize(("text", "time_ns"), VECTORS.items())
def test_vector(run: Callable[..., Timing], text: str, time_ns: int) -> None:
    start = 1 + 3
    assert run(f"setbw in=16, out=24\n{text}").latency_ns == start + time_ns + 1


@pytest.mark.parametrize(("text", "time_ns"), TRANSFERS.items())
def test_transfer(run: Callable[..., Timing], text: str, time_ns: int) -> None:
    start = 0 + 3
    assert run(text).latency_ns == start + time_ns + 1


def test_store_is_seen_a_cycle_later(run: Callable[..., Timing]) -> None:
    time_ns = local_read(100) + ceil(100 / 32) * 15 + global_write(100)
    assert run("st r1, r3, bytes=100").latency_ns == 3 + time_ns + 2


@pytest.mark.parametrize("op", ["saddi r1, r1, imm=1", "smul r1, r1, r1", "setbw in=8, out=8"])
def test_scalar_takes_one_decode(run: Callable[..., Timing], op: str) -> None:
    plain = run("lldi r1, bytes=1, byte=0").latency_ns
    assert run(f"{op}\n{op}\nlldi r1, bytes=1, byte=0").latency_ns == plain + 2


def test_loop_takes_one_decode(run: Callable[..., Timing]) -> None:
    body = "lldi r1, bytes=1, byte=0\nsldi r2, imm=5"
    looped = run("loop times=3\n  lldi r1, bytes=1, byte=0\n  sldi r2, imm=5")
    assert looped.latency_ns == run("\n".join([body] * 3)).latency_ns + 1
    assert looped.executed == {"sldi": 3, "loop": 1, "lldi": 3}


def hop_ns(hops: int) -> int:
    return round(4.5 + 2.6 * hops)


def test_send_and_receive(run: Callable[..., Timing]) -> None:
    timing = run("send r1, bytes=100, core=1", "recv r1, bytes=100, core=0")
    flit = hop_ns(1)
    sent = 3 + 2 * flit + local_read(100)
    assert timing.finish_ns.tolist() == [sent + 1, sent + 4 * flit + local_write(100) + 1]
    assert timing.latency_ns == timing.finish_ns.max()


def test_late_receiver_answers_at_once(run: Callable[..., Timing]) -> None:
    busy = "lldi r1, bytes=640, byte=0\n"
    timing = run("send r1, bytes=32, core=1", f"{busy}recv r1, bytes=32, core=0")
    received = 3 + local_write(640) + 2  # the transfer unit's next start
    flit = hop_ns(1)
    assert timing.finish_ns[0] == received + flit + local_read(32) + 1
    assert timing.finish_ns[1] == received + 2 * flit + local_read(32) + local_write(32) + 1


def test_event(run: Callable[..., Timing]) -> None:
    timing = run("sync event=3, core=1", "wait event=3, count=1")
    assert timing.finish_ns.tolist() == [3 + 2 + 1, 3 + hop_ns(1) + 1 + 1]


def test_logical_crossbars_hold_four_times_the_outputs(make_program: MakeProgram) -> None:
    from imccompiler.hardware.logical import logical  # noqa: PLC0415

    program = make_program("setbw in=8, out=24\nmvmul r1, r2, group=0", weights=WEIGHTS)
    time_ns = local_read(ROWS_READ) + MVM + local_write(128 * 3)
    assert simulate(program, logical(load("pimcomp"))).latency_ns == 5 + time_ns + 1


def test_not_pipelined(run: Callable[..., Timing], pimcomp: Machine) -> None:
    machine = vary(pimcomp, {"crossbar.pipelined": False})
    timing = run("setbw in=8, out=8\nmvmul r1, r2, group=0", machine=machine)
    time_ns = local_read(ROWS_READ) + 8 * (9 + 162) + local_write(32)
    assert timing.latency_ns == 5 + time_ns + 1


def test_energy_of_one_product(run: Callable[..., Timing]) -> None:
    timing = run("setbw in=8, out=24\nmvmul r1, r2, group=0")
    assert timing.energy_pj["crossbar"] == pytest.approx(8 * 155.68)
    assert timing.energy_pj["adc"] == pytest.approx(8 * 128 * 22.7)
    assert timing.energy_pj["static"] == pytest.approx(2 * timing.latency_ns)  # core and chip
    assert sum(timing.energy_pj.values()) == pytest.approx(24490.24 + 2 * timing.latency_ns)


def test_energy_of_messages(run: Callable[..., Timing]) -> None:
    timing = run("send r1, bytes=100, core=1", "recv r1, bytes=100, core=0")
    assert timing.energy_pj["noc"] == 46 * (1 + 1 + 4)
    assert run("ld r1, r2, bytes=100").energy_pj["noc"] == 46
    assert run("st r1, r3, bytes=100").energy_pj["noc"] == 46 * 4
