"""Groups that hold several row blocks of a matrix."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imccompiler.cost.energy import mvmul_pj
from imccompiler.cost.machine import MachineTiming
from imccompiler.hardware.load import vary
from imccompiler.program.isa import Op
from imccompiler.program.tiles import group_matrix, group_shapes
from imccompiler.program.validate import validate
from imccompiler.simulator.cells import CellScheme, program_tile
from imccompiler.simulator.crossbars import Crossbars, adc_bits_of_groups
from imccompiler.simulator.execute import Executor
from imccompiler.simulator.kernel import Converter, multiply
from imccompiler.simulator.timing import simulate

RNG = np.random.default_rng(0)
W = RNG.integers(-128, 128, (50, 20))
X = RNG.integers(-128, 128, (3, 50))
STREAM = """
setbw in=8, out={out}
sldi r1, imm=0
sldi r4, imm=0
sldi r5, imm=0
ld r1, r4, bytes=50
sldi r0, imm=1024
mvmul r0, r1, group=0
sldi r5, imm=50
st r4, r0, bytes={size}
"""


@pytest.fixture(scope="session")
def adding(machine):
    return vary(machine, {"core.sums_row_blocks": True})


@pytest.fixture
def make_stacked(make_program, make_port):
    """Inputs 0..32 and 32..50 on crossbars of 32 rows and 16 weights: two high, two wide."""

    def make(out=24, weights=W):
        size = 20 * out // 8
        ports = {
            "inputs": (make_port("x", (50,), 0),),
            "outputs": (make_port("y", (20,), 50, out),),
        }
        program = make_program(
            STREAM.format(out=out, size=size), weights={(0, 0): W[:, :2]}, **ports
        )
        tiles = [
            (0, crossbar, 0, 0, 0, begin, end - begin, column, width, column, begin)
            for crossbar, (begin, end, column, width) in enumerate(
                [(0, 32, 0, 16), (0, 32, 16, 4), (32, 50, 0, 16), (32, 50, 16, 4)]
            )
        ]
        return replace(
            program,
            groups=np.array([(0, 0, 0, 4, 50, 20, 4)], np.int32),
            tiles=np.array(tiles, np.int32),
            matrices={"w": weights.astype(np.int16)},
        )

    return make


@pytest.mark.parametrize("mode", ["exact", "bit_serial"])
def test_row_blocks_are_added(adding, make_stacked, mode):
    program = make_stacked()
    validate(program, adding)
    assert np.array_equal(group_matrix(program, 0), W)
    y = Executor(program, adding, mode=mode).run({"x": X})["y"]
    assert np.array_equal(y, X @ W)


def test_only_the_sum_saturates(adding, make_stacked):
    weights = np.concatenate([np.full((32, 20), 127), np.full((18, 20), -128)])
    x = np.full((1, 50), 100)
    program = make_stacked(16, weights)
    sums = Executor(program, adding).run({"x": x})["y"]
    assert (x[:, :32] @ weights[:32]).max() > 0x7FFF
    assert np.array_equal(sums, np.minimum(x @ weights, 0x7FFF))


def test_each_crossbar_is_converted_by_itself(adding, make_stacked):
    program = make_stacked()
    narrow = vary(adding, {"adc.bits": 5})
    kind = narrow.main_kind
    tiles = [program_tile(W[rows], CellScheme.of(kind, 8)) for rows in (slice(32), slice(32, 50))]
    adc = Converter.of(kind.crossbar)
    expected = multiply(tiles[0], X[:, :32], 8, adc) + multiply(tiles[1], X[:, 32:], 8, adc)
    y = Executor(program, narrow, mode="adc").run({"x": X})["y"]
    assert np.array_equal(y, expected)
    assert not np.array_equal(y, X @ W)


def test_converters_are_sized_for_a_crossbar(adding, make_stacked):
    weights = np.full((50, 20), 127)
    program = make_stacked(24, weights)
    assert adc_bits_of_groups(program, adding).tolist() == [7]  # 32 rows of level 3, not 50


def test_noise_of_row_blocks_is_independent(adding, make_stacked):
    weights = np.concatenate([W[:18], np.zeros((14, 20), int), W[:18]])
    program = make_stacked(24, weights)
    noisy = vary(adding, {"cell.read_noise": 0.02})
    product = Crossbars(program, noisy, "adc").product(0, 0)
    ideal = Crossbars(program, adding, "adc").product(0, 0)
    x = np.zeros((1, 50), np.int64)
    x[:, :18] = x[:, 32:] = 77
    first, second = x.copy(), x.copy()
    first[:, 32:] = 0
    second[:, :32] = 0
    errors = [product(v, 8, 0, 0) - ideal(v, 8, 0, 0) for v in (first, second, x)]
    assert not np.array_equal(errors[0], errors[1])
    assert np.array_equal(errors[0] + errors[1], errors[2])


def test_time_and_energy_of_all_row_blocks_at_once(adding, make_stacked):
    program = make_stacked()
    assert group_shapes(program).tolist() == [[2, 2]]
    result = simulate(program, adding, events=True)
    (product,) = [e for e in result.events if e["op"] == Op.MVMUL]
    core = MachineTiming.of(adding).main
    read, written = core.port.read_ps(64), core.port.write_ps(2 * 16 * 3)
    assert core.mvmul_ps(8, 2, 24, 2) == read + core.mvm_ps(8) + written
    duration_ns = product["end_ns"] - product["start_ns"]
    assert duration_ns == pytest.approx(core.mvmul_ps(8, 2, 24, 2) / 1000)
    spent = mvmul_pj(adding.main_kind, 8, 8, 2, 24, 2)
    assert spent["crossbar"] == 2 * mvmul_pj(adding.main_kind, 8, 8, 2, 24)["crossbar"]
    assert result.energy_pj["crossbar"] == pytest.approx(spent["crossbar"])
