"""Each structural rule, broken once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from imccompiler.errors import DoesNotFitError, ProgramError
from imccompiler.hardware.load import vary
from imccompiler.program.isa import AUX, IMM, LAYER, RD, RS1
from imccompiler.program.validate import validate


def test_a_valid_program_passes(program, machine):
    validate(program, machine)


@pytest.mark.parametrize(
    ("row", "column", "value", "message"),
    [
        (0, 0, 99, "is no instruction"),
        (2, RD, 32, "register outside"),
        (2, RS1, -1, "register outside"),
        (5, RS1, 31, "pair of registers"),
        (5, IMM, 0, "size of at least 1"),
        (0, IMM, 0, "width outside 1 to 62"),
        (0, AUX, 63, "width outside 1 to 62"),
        (2, IMM, 2, "names no group of its core"),
        (6, AUX, 0, "not another core"),
        (6, AUX, 2, "not another core"),
        (7, IMM, 32, "names no event"),
        (10, AUX, 1, "calls no function"),
        (10, LAYER, 2, "works for no layer"),
        (1, IMM, 0, "is an empty loop"),
        (3, AUX, 0, "is an empty loop"),
        (3, AUX, 2, "ends outside the loop"),
        (1, AUX, 7, "ends outside the loop or stream"),
    ],
)
def test_instructions(program, machine, row, column, value, message):
    program.code[row, column] = value
    with pytest.raises(ProgramError, match=message) as caught:
        validate(program, machine)
    core = 0 if row < 8 else 1
    assert f"core {core}, instruction {row - 8 * core}" in str(caught.value)


def test_loops_nest_four_deep(program, machine):
    loop = [7, 0, 0, 0, 2, 0, 0]
    for depth, fits in ((4, True), (5, False)):
        code = np.array([[*loop[:5], depth - i, 0] for i in range(depth)] + [[0] * 7], np.int32)
        deep = replace(program, code=code, core_start=np.array([0, len(code), len(code)]))
        if fits:
            validate(deep, machine)
        else:
            with pytest.raises(ProgramError, match="nested deeper than 4"):
                validate(deep, machine)


@pytest.mark.parametrize(
    ("tile", "column", "value", "message"),
    [
        (0, 2, 1, "beyond its crossbar"),
        (0, 3, 1, "beyond its crossbar"),
        (2, 3, 12, "share cells of crossbar 1"),
        (2, 4, 2, "names no matrix"),
        (2, 5, 2, "beyond its matrix"),
        (2, 7, 1, "beyond its matrix"),
        (0, 6, 15, "other rows than its row block"),
        (1, 9, 7, "gap among its group's outputs"),
        (1, 8, 3, "outputs without a tile"),
        (2, 0, 1, "another core than its group"),
        (1, 1, 0, "another number of crossbars"),
        (2, 2, -1, "negative entry"),
    ],
)
def test_tiles(program, machine, tile, column, value, message):
    program.tiles[tile, column] = value
    with pytest.raises(ProgramError, match=message):
        validate(program, machine)


@pytest.mark.parametrize(
    ("group", "column", "value", "message"),
    [
        (1, 0, -1, "names no group of its core"),
        (1, 3, 2, "tiles that are not there"),
        (0, 3, 1, "belongs to no group"),
    ],
)
def test_groups(program, machine, group, column, value, message):
    program.groups[group, column] = value
    with pytest.raises(ProgramError, match=message):
        validate(program, machine)


def stacked(program, second):
    """The program with its first group's tiles as two row blocks of 16 and 9 rows."""
    program.groups[0, 4:] = 25, 8, 2
    program.tiles[:2] = (0, 0, 0, 0, 0, 0, 16, 0, 8, 0, 0), second
    return program


@pytest.mark.parametrize(
    ("second", "message"),
    [
        ((0, 1, 0, 0, 0, 0, 9, 0, 8, 0, 16), None),
        ((0, 1, 0, 0, 0, 0, 9, 0, 8, 0, 17), "gap among its group's inputs"),
        ((0, 1, 0, 0, 0, 0, 9, 0, 8, 0, 15), "gap among its group's inputs"),
        ((0, 1, 0, 0, 0, 0, 8, 0, 8, 0, 16), "inputs without a tile"),
        ((0, 1, 0, 0, 0, 0, 9, 0, 7, 0, 16), "outputs without a tile"),
        ((0, 1, 0, 0, 0, 0, 9, 0, 8, 1, 16), "gap among its group's outputs"),
        ((0, 0, 0, 0, 0, 0, 9, 0, 8, 0, 16), "another number of crossbars"),
    ],
)
def test_row_blocks(program, machine, second, message):
    adding = vary(machine, {"core.sums_row_blocks": True, "core.crossbars": 3})
    program.tiles[2, 1] = 2
    changed = stacked(program, second)
    if message is None:
        validate(changed, adding)
        with pytest.raises(ProgramError, match="which its core does not add"):
            validate(changed, vary(adding, {"core.sums_row_blocks": False}))
        return
    with pytest.raises(ProgramError, match=message):
        validate(changed, adding)


def test_row_blocks_stand_on_different_crossbars(program, machine):
    adding = vary(machine, {"core.sums_row_blocks": True, "core.crossbars": 3})
    program.tiles[2, 1] = 2
    changed = stacked(program, (0, 0, 0, 0, 0, 0, 9, 0, 8, 0, 16))
    changed.groups[0, 6] = 1
    with pytest.raises(ProgramError, match="two row blocks on one crossbar"):
        validate(changed, adding)


def test_groups_are_sorted(program, machine):
    program.groups[:, 1] = 1, 0
    with pytest.raises(ProgramError, match="sorted by core and number"):
        validate(program, machine)


def test_cells_can_be_shared_in_turn(program, machine):
    program.tiles[2, 3] = 12
    program.code[3] = [9, 0, 0, 0, 1, 0, 0]  # mvwr group=1
    validate(program, machine)


def test_capacities(program, machine):
    for change, what, demand in [
        ({"local_bytes": np.array([1024, 1025])}, "local memory", "1,025 bytes"),
        ({"global_bytes": 1025}, "global memory", "1,025 bytes"),
        ({"core_start": np.array([0, 8, 12, 12, 12]), "local_bytes": np.zeros(4)}, "cores", "4 "),
    ]:
        with pytest.raises(DoesNotFitError, match=what) as caught:
            validate(replace(program, **change), machine)
        assert demand in str(caught.value)
    program.tiles[2, 1] = 2
    with pytest.raises(DoesNotFitError, match="crossbars: 3 crossbars needed, 2 available"):
        validate(program, machine)


def test_memory_contents_lie_inside(program, machine):
    values = np.zeros(5, np.uint8)
    (port,) = program.inputs
    for change, message in [
        ({"images": ((1, 96, values),)}, "lies outside the local memory"),
        ({"images": ((2, 0, values),)}, "names core 2"),
        ({"inputs": (replace(port, address=5),)}, "outside the global memory"),
        ({"inputs": (replace(port, layout=(0, 1)),)}, "layout"),
    ]:
        with pytest.raises(ProgramError, match=message):
            validate(replace(program, **change), machine)


def test_tables_have_their_shapes(program, machine):
    for change, message in [
        ({"code": program.code[:, :6]}, "shape"),
        ({"core_start": np.array([0, 8, 11])}, "core_start"),
        ({"local_bytes": np.zeros(3, np.int64)}, "local_bytes"),
    ]:
        with pytest.raises(ProgramError, match=message):
            validate(replace(program, **change), machine)
