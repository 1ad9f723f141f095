"""Statistics of noise, and what it must not depend on."""

from __future__ import annotations

import numpy as np
import pytest

from imccompiler.hardware.load import vary
from imccompiler.hardware.schema import Cell
from imccompiler.simulator.cells import CellScheme, program_tile
from imccompiler.simulator.execute import Executor
from imccompiler.simulator.kernel import Converter, multiply
from imccompiler.simulator.noise import (
    Purpose,
    ReadNoise,
    Stream,
    levels_of_g_max,
    programmed_levels,
)

STREAM = Stream(seed=1, sample=0, purpose=Purpose.READING, core=3, place=4)


def test_normals_are_normal():
    z = STREAM.normals(400_000).astype(float)
    assert abs(z.mean()) < 5 / np.sqrt(len(z))
    assert abs(z.std() - 1) < 5 / np.sqrt(2 * len(z))
    assert abs((z**4).mean() - 3) < 5 * np.sqrt(96 / len(z))
    for lag in (1, 2, 7):
        assert abs((z[:-lag] * z[lag:]).mean()) < 5 / np.sqrt(len(z))


@pytest.mark.parametrize(("start", "count"), [(0, 1), (1, 3), (7, 9), (8, 1), (95, 5)])
def test_positions_address_numbers(start, count):
    assert np.array_equal(STREAM.normals(count, start=start), STREAM.normals(100)[start:][:count])


def test_every_coordinate_gives_other_numbers():
    others = [
        Stream(2, 0, Purpose.READING, 3, 4),
        Stream(1, 1, Purpose.READING, 3, 4),
        Stream(1, 0, Purpose.PROGRAMMING, 3, 4),
        Stream(1, 0, Purpose.READING, 4, 4),
        Stream(1, 0, Purpose.READING, 3, 5),
    ]
    draws = [s.normals(4) for s in (STREAM, *others)]
    draws += [STREAM.normals(4, event=1), STREAM.normals(4, part=1)]
    assert len({d.tobytes() for d in draws}) == len(draws)


def test_programming_error_is_a_share_of_g_max():
    cell = Cell(kind="rram", bits=2, g_min_us=5.0, g_max_us=25.0, programming_error=0.02)
    assert levels_of_g_max(cell) == 3 * 25 / 20
    levels = np.tile(np.arange(4.0), 25_000)
    errors = programmed_levels(levels, cell, STREAM.normals(100_000)) - levels
    assert errors.std() == pytest.approx(0.02 * 3.75, rel=0.02)
    wild = cell.model_copy(update={"programming_error": 1.0})
    lowest = programmed_levels(levels, wild, STREAM.normals(100_000)).min()
    assert lowest == pytest.approx(-5 / 20 * 3)  # no conductance at all


def test_read_noise_grows_with_the_root_of_the_driven_rows():
    scheme = CellScheme(2, 2, "offset", 1, 64)
    tile = program_tile(np.zeros((64, 50), int), scheme)  # levels 2
    for driven in (16, 64):
        x = np.zeros((200, 64), int)
        x[:, :driven] = 1  # one cycle drives them; the others add nothing
        noise = ReadNoise(0.5, STREAM, call=0, first_image=0)
        y = multiply(tile, x, 8, Converter(12), noise=noise)
        variance = 0.25 * driven + 1 / 12  # and rounding
        assert y.var() == pytest.approx(variance, rel=0.05)
        assert abs(y.mean()) < 5 * np.sqrt(variance / y.size)


@pytest.fixture
def noisy(machine):
    cell = "core_kinds.core.cell."
    return vary(machine, {cell + "programming_error": 0.05, cell + "read_noise": 0.05})


@pytest.fixture
def product(make_program, make_port):
    rng = np.random.default_rng(0)
    stream = """
    setbw in=8, out=24
    ld r1, r4, bytes=20
    sldi r2, imm=100
    sldi r5, imm=32
    loop times=2
      mvmul r2, r1, group=0
      st r4, r2, bytes=27
      saddi r5, r5, imm=27
    """
    return make_program(
        stream,
        weights={(0, 0): rng.integers(-128, 128, (20, 9))},
        inputs=(make_port("x", (20,), 0),),
        outputs=(make_port("y", (9,), 32, 24), make_port("again", (9,), 59, 24)),
    )


def test_noise_does_not_depend_on_batches(noisy, product):
    x = np.random.default_rng(1).integers(-128, 128, (7, 20))
    executor = Executor(product, noisy, mode="adc", seed=5)
    whole = executor.run({"x": x})
    parts = [executor.run({"x": x[a:b]}, first_image=a)["y"] for a, b in ((0, 3), (3, 7))]
    assert np.array_equal(whole["y"], np.concatenate(parts))
    assert not np.array_equal(whole["y"], whole["again"])  # each read has noise of its own
    other = Executor(product, noisy, mode="adc", seed=5, sample=1).run({"x": x})["y"]
    assert not np.array_equal(whole["y"], other)


def test_ideal_modes_have_no_noise(noisy, machine, product):
    x = np.random.default_rng(1).integers(-128, 128, (3, 20))
    exact = Executor(product, machine, mode="exact").run({"x": x})["y"]
    assert np.array_equal(Executor(product, noisy, mode="bit_serial").run({"x": x})["y"], exact)
    assert not np.array_equal(Executor(product, noisy, mode="adc").run({"x": x})["y"], exact)
