"""Groups of a program as products."""

from __future__ import annotations

import numpy as np

from imccompiler.program.tiles import group_matrix
from imccompiler.simulator.crossbars import Crossbars, adc_bits_of_groups


def test_a_group_is_joined_from_its_tiles(make_program):
    w = np.arange(40).reshape(4, 10)
    program = make_program("sldi r0, imm=0", weights={(0, 0): w})
    program.groups[0, 3:6] = 2, 3, 6
    tiles = np.array(
        [(0, 0, 0, 0, 0, 1, 3, 2, 4, 2, 0), (0, 1, 0, 0, 0, 0, 3, 8, 2, 0, 0)], np.int32
    )
    object.__setattr__(program, "tiles", tiles)
    expected = np.concatenate([w[0:3, 8:10], w[1:4, 2:6]], axis=1)
    assert np.array_equal(group_matrix(program, 0), expected)


def test_equal_groups_share_their_weights(machine, make_program):
    w = np.eye(4, dtype=int)
    program = make_program("sldi r0, imm=0", weights={(0, 0): w, (0, 1): w, (0, 2): w[:3]})
    program.tiles[1, 4] = 0  # the second group is a copy of the first
    crossbars = Crossbars(program, machine, "bit_serial")
    products = [crossbars.product(0, g) for g in range(4)]
    assert products[0] is products[1]
    assert products[0] is not products[2]
    assert products[3] is None
    assert crossbars.sizes(0).tolist() == [[4, 4], [4, 4], [3, 4]]


def test_converter_bits_of_groups(machine, make_program):
    full, small = np.full((32, 2), 127), np.zeros((4, 2), int)
    program = make_program("sldi r0, imm=0", weights={(0, 0): full, (0, 1): small})
    # 32 rows of level 3: 96; 4 rows of 128 = 2000 in base 4: 8
    assert adc_bits_of_groups(program, machine).tolist() == [7, 4]
