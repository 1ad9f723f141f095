"""Who waits for whom: hazards, units, ports, queues, deadlocks; one image and many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from imccompiler.errors import ProgramError, UserInputError
from imccompiler.hardware.load import load, vary
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import Program
from imccompiler.simulator.timing import UNITS, Timing, simulate, simulate_steady

MakeProgram = Callable[..., Program]
Run = Callable[..., Timing]

TWO_GROUPS = {(0, 0): np.ones((128, 16), np.int16), (0, 1): np.ones((128, 16), np.int16)}

# run on pimsim-nn: 2,661 ns
TWO_CORES = (
    """
    setbw in=8, out=8
    sldi r0, imm=4096
    sldi r1, imm=0
    ld r0, r1, bytes=128
    sldi r0, imm=8192
    sldi r1, imm=4096
    mvmul r0, r1, group=0
    sldi r1, imm=8192
    vrelu r0, r1, n=128
    send r0, bytes=128, core=1
    sync event=3, core=1
    """,
    """
    setbw in=8, out=8
    sldi r0, imm=4096
    recv r0, bytes=128, core=0
    wait event=3, count=1
    sldi r1, imm=4096
    sldi r2, imm=8192
    vvadd r0, r1, r2, n=128
    st r0, r1, bytes=128
    """,
)


def machine_of(rob_size: int, hazards: str = "pimsim") -> Machine:
    return vary(load("pimcomp"), {"core.rob_size": rob_size, "core.hazards": hazards})


@pytest.fixture
def latency(make_program: MakeProgram) -> Callable[..., float]:
    def latency(text: str, rob_size: int = 16, hazards: str = "pimsim") -> float:
        program = make_program(text, weights=TWO_GROUPS)
        return simulate(program, machine_of(rob_size, hazards)).latency_ns

    return latency


def four_crossbars(program: Program) -> Program:
    """The program with one group of four full crossbars on core 0."""
    tiles = [(0, x, 0, 0, 0, 0, 128, 32 * x, 32, 32 * x, 0) for x in range(4)]
    return replace(
        program,
        groups=np.array([(0, 0, 0, 4, 128, 128, 4)], np.int32),
        tiles=np.array(tiles, np.int32),
        matrices={"w": np.zeros((128, 128), np.int16)},
    )


def test_two_cores_as_pimsim_nn_runs_them(make_program: MakeProgram) -> None:
    timing = simulate(four_crossbars(make_program(*TWO_CORES)), machine_of(1))
    assert timing.latency_ns == pytest.approx(2661, abs=2)


# hazards: a move by the transfer unit to bytes 0 to 99, then the vector unit

MOVE = "setbw in=8, out=8\nsldi r1, imm=1000\nsldi r2, imm={at}\nsldi r3, imm=2000\n"
READ_LATER = MOVE + "lmv r0, r1, bytes=100\nvrelu r3, r2, n=100"


def test_read_waits_for_the_write_of_the_same_bytes(latency: Callable[..., float]) -> None:
    apart, same = latency(READ_LATER.format(at=500)), latency(READ_LATER.format(at=99))
    assert same > apart
    assert same == latency(READ_LATER.format(at=0))


def test_pimsim_takes_bytes_that_touch_for_the_same(latency: Callable[..., float]) -> None:
    touching, apart = READ_LATER.format(at=100), READ_LATER.format(at=101)
    assert latency(touching) > latency(apart)
    assert latency(touching, hazards="exact") == latency(apart, hazards="exact")


def test_write_waits_for_reads(latency: Callable[..., float]) -> None:
    text = MOVE + "lmv r3, r0, bytes=640\nvrelu r2, r1, n=10"
    assert latency(text.format(at=600)) > latency(text.format(at=5000))


def test_only_exact_hazards_order_writes(latency: Callable[..., float]) -> None:
    text = MOVE + "lldi r3, bytes=640, byte=1\nvrelu r2, r1, n=10"
    same, apart = text.format(at=2300), text.format(at=5000)
    assert latency(same, hazards="exact") > latency(apart, hazards="exact")
    assert latency(same) == latency(apart)


def test_pimsim_takes_every_load_for_one_to_address_0(latency: Callable[..., float]) -> None:
    text = MOVE + "ld r3, r4, bytes=100\nvrelu r1, r2, n=10"
    assert latency(text.format(at=50)) > latency(text.format(at=5000))
    exact = [latency(text.format(at=at), hazards="exact") for at in (50, 5000)]
    assert exact[0] == exact[1]


# units


def test_one_operation_in_flight_with_rob_1(latency: Callable[..., float]) -> None:
    apart, same = READ_LATER.format(at=500), READ_LATER.format(at=0)
    assert latency(apart, rob_size=1) == latency(same, rob_size=1) > latency(apart)


def test_products_of_two_groups_overlap(latency: Callable[..., float]) -> None:
    start = "setbw in=8, out=8\nsldi r1, imm=4000\nsldi r3, imm=8000\n"
    two = start + "mvmul r1, r0, group=0\nmvmul r3, r0, group=1"
    one = start + "mvmul r1, r0, group=0\nmvmul r3, r0, group=0"
    product = 320 + 1305 + 30
    assert latency(one) == pytest.approx(2 * product, abs=20)
    assert latency(two) == pytest.approx(320 + product, abs=20)  # one after the other at the port
    assert latency(two, rob_size=1) == pytest.approx(2 * product, abs=20)


def test_global_memory_serves_one_at_a_time(make_program: MakeProgram) -> None:
    load_one = "ld r0, r2, bytes=320"
    one = simulate(make_program(load_one), machine_of(1)).latency_ns
    many = simulate(make_program(*[load_one] * 5), machine_of(1)).latency_ns
    assert many == one + 4 * 10 * 40


def test_a_message_on_its_way_holds_the_switch(make_program: MakeProgram) -> None:
    both = make_program(
        "send r0, bytes=3200, core=1\nsend r0, bytes=32, core=2",
        "recv r0, bytes=3200, core=0",
        "recv r0, bytes=32, core=0",
    )
    timing = simulate(both, machine_of(1))
    travel = 100 * 7  # the flits to core 1
    assert timing.finish_ns[2] > travel + 50 * 20


# what cannot end


def test_two_senders_wait_for_each_other(make_program: MakeProgram) -> None:
    program = make_program(
        ".layer 1\nsend r0, bytes=4, core=1\nrecv r0, bytes=4, core=1",
        "send r0, bytes=4, core=0\nrecv r0, bytes=4, core=0",
    )
    with pytest.raises(ProgramError) as caught:
        simulate(program, machine_of(1))
    text = str(caught.value)
    assert "deadlock: 2 cores" in text
    assert "core 0, instruction 0 (send r0, bytes=4, core=1), layer 'second'" in text
    assert "waits for core 1 to receive" in text


@pytest.mark.parametrize(
    ("stream", "reason"),
    [("recv r0, bytes=4, core=1", "core 1 to send"), ("wait event=3, count=2", "event 3 to count")],
)
def test_nobody_comes(make_program: MakeProgram, stream: str, reason: str) -> None:
    program = make_program(stream, "lldi r0, bytes=4, byte=0")
    with pytest.raises(ProgramError, match=f"deadlock: 1 core.*\n.*waits for {reason}"):
        simulate(program, machine_of(1))


def test_widths_must_be_set(make_program: MakeProgram) -> None:
    with pytest.raises(ProgramError, match="setbw") as caught:
        simulate(make_program("vrelu r0, r1, n=4"), machine_of(1))
    assert caught.value.where is not None
    assert caught.value.where.startswith("core 0, instruction 0")


# many images


def test_interval_of_one_core(make_program: MakeProgram) -> None:
    program = make_program("setbw in=8, out=8\nvrelu r0, r1, n=100")
    timing = simulate_steady(program, machine_of(1))
    operation = 2 * 20 + 4 * 4 + 2 * 30
    assert timing.interval_ns == operation + 2 + 1  # retire, dispatch, and `setbw` on the way
    assert timing.latency_ns == simulate(program, machine_of(1)).latency_ns
    assert len(timing.image_end_ns) == 16


def test_images_overlap_on_a_pipeline_of_cores(make_program: MakeProgram) -> None:
    work = "setbw in=8, out=8\nsldi r1, imm=2000\nvrelu r1, r0, n=1000\n"
    stages = (
        work + "send r1, bytes=32, core=1",
        "recv r0, bytes=32, core=0\n" + work + "send r1, bytes=32, core=2",
        "recv r0, bytes=32, core=1\n" + work,
    )
    timing = simulate_steady(make_program(*stages), machine_of(1))
    assert timing.interval_ns is not None
    assert timing.interval_ns < 0.6 * timing.latency_ns
    busiest = timing.busy_ns[:, UNITS.index("vector")].max() / 16
    assert timing.interval_ns >= busiest


def test_energy_of_an_image_does_not_count_the_others(make_program: MakeProgram) -> None:
    program = make_program("setbw in=8, out=8\nmvmul r1, r0, group=0", weights=TWO_GROUPS)
    one, many = (simulate(program, machine_of(1), images=n).energy_pj for n in (1, 5))
    assert many["adc"] == pytest.approx(one["adc"])


def test_steady_needs_two_images(make_program: MakeProgram) -> None:
    with pytest.raises(UserInputError):
        simulate_steady(make_program("lldi r0, bytes=1, byte=0"), machine_of(1), images=1)


def test_same_run_twice(make_program: MakeProgram) -> None:
    program = four_crossbars(make_program(*TWO_CORES))
    a, b = (simulate(program, machine_of(16), images=3, events=True) for _ in range(2))
    assert a.events is not None
    assert b.events is not None
    assert a.events.tobytes() == b.events.tobytes()
    assert a.image_end_ns.tolist() == b.image_end_ns.tolist()
    assert a.energy_pj == b.energy_pj


def test_events_tell_units_and_layers(make_program: MakeProgram) -> None:
    program = make_program(
        ".layer 1\nsetbw in=8, out=8\nvrelu r0, r1, n=100\nlldi r3, bytes=1, byte=0"
    )
    timing = simulate(program, machine_of(1), events=True)
    assert timing.events is not None
    assert timing.events["unit"].tolist() == [1, 2]
    assert timing.events["layer"].tolist() == [1, 1]
    assert (timing.events["end_ns"] > timing.events["start_ns"]).all()
    assert np.isnan(timing.layer_span_ns[0]).all()
    assert timing.layer_span_ns[1].tolist() == [4.0, float(timing.events["end_ns"].max())]
