"""Boxes, layouts and windows, against what numpy does with indices."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from imccompiler.ir.decisions import Window
from imccompiler.passes.geometry import (
    Box,
    Layout,
    Window2d,
    best_grid,
    channels_last,
    cut,
    cut_grid,
    natural,
)
from imccompiler.passes.moves import holes_of


@st.composite
def boxes(draw, most=7):
    edges = [draw(st.tuples(st.integers(-2, most), st.integers(1, 5))) for _ in range(3)]
    return Box(*(e for begin, size in edges for e in (begin, begin + size)))


def elements(box):
    axes = (range(box.y0, box.y1), range(box.x0, box.x1), range(box.c0, box.c1))
    return set(product(*axes))


@given(boxes(), boxes())
def test_boxes_meet_where_their_elements_do(a, b):
    common = elements(a) & elements(b)
    part = a.intersect(b)
    assert a.meets(b) == bool(common)
    assert (elements(part) if part else set()) == common
    assert a.size == len(elements(a)) == a.positions * a.channels == np.prod(a.shape)


@given(boxes(), boxes())
def test_holes_are_what_lies_outside(box, inside):
    inside = inside._replace(c0=box.c0, c1=box.c1)
    holes = holes_of(box, inside)
    covered = [e for hole in holes for e in elements(hole)]
    assert len(covered) == len(set(covered))
    assert set(covered) == elements(box) - elements(inside)


@given(boxes(), st.data())
def test_offsets_are_those_of_a_dense_array(box, data):
    y, x, c = data.draw(st.sampled_from(sorted(elements(box))))
    part = Box(y, box.y1, x, box.x1, c, box.c1)
    index = np.ravel_multi_index((y - box.y0, x - box.x0, c - box.c0), box.shape)
    assert box.offset_of(part, 3) == 3 * index


def test_channels_move_without_positions():
    assert Box(1, 2, 3, 4, 5, 6).shift_channels(4) == Box(1, 2, 3, 4, 9, 10)


@pytest.mark.parametrize(
    ("layout", "grid"),
    [
        (natural((1, 3, 4, 5)), (3, 4, 5)),
        (channels_last((1, 3, 4, 5)), (4, 5, 3)),
        (channels_last((1, 3, 7)), (1, 7, 3)),
        (natural((2, 6)), (1, 2, 6)),
        (natural((6,)), (1, 1, 6)),
        (natural(()), (1, 1, 1)),
        (Layout((2, 3, 4), (1, 0, 2)), (3, 2, 4)),
    ],
)
def test_grids_follow_the_order_in_memory(layout, grid):
    assert layout.grid == grid
    assert layout.whole.shape == grid


@given(st.integers(1, 60), st.integers(1, 20))
def test_cuts_cover_evenly(size, parts):
    pieces = cut(size, parts)
    assert [n for a, b in pieces for n in range(a, b)] == list(range(size))
    assert len(pieces) == min(size, parts)
    lengths = [b - a for a, b in pieces]
    assert max(lengths) - min(lengths) <= 1


@given(boxes(), st.integers(1, 4), st.integers(1, 4))
def test_tiles_of_a_box_are_a_partition(box, rows, columns):
    tiles = cut_grid(box, (rows, columns))
    covered = [e for tile in tiles for e in elements(tile)]
    assert len(covered) == len(set(covered))
    assert set(covered) == elements(box)


@given(st.integers(1, 12), st.integers(1, 12), st.integers(1, 30))
def test_the_best_grid_has_the_smallest_largest_tile(height, width, parts):
    def largest(rows, columns):
        return -(-height // rows) * -(-width // columns)

    rows, columns = best_grid(height, width, parts)
    able = [(r, c) for r in range(1, height + 1) for c in range(1, width + 1) if r * c <= parts]
    assert rows * columns <= parts
    assert largest(rows, columns) == min(largest(*grid) for grid in able)


@st.composite
def windows(draw):
    def pair(least, most):
        return draw(st.tuples(st.integers(least, most), st.integers(least, most)))

    return Window2d(pair(1, 4), pair(1, 3), pair(0, 2), pair(1, 3))


@given(windows(), boxes(), st.data())
def test_a_reach_is_the_hull_of_all_that_is_seen(window, box, data):
    last_y, last_x = window.kernel[0] - 1, window.kernel[1] - 1
    first_y, first_x = data.draw(st.integers(0, last_y)), data.draw(st.integers(0, last_x))
    seen = [
        (
            y * window.stride[0] - window.before[0] + ky * window.dilation[0],
            x * window.stride[1] - window.before[1] + kx * window.dilation[1],
        )
        for y, x, _ in elements(box)
        for ky in range(first_y, last_y + 1)
        for kx in range(first_x, last_x + 1)
    ]
    reach = window.reach(box, (first_y, last_y), (first_x, last_x))
    ys, xs = [y for y, _ in seen], [x for _, x in seen]
    assert reach[:4] == (min(ys), max(ys) + 1, min(xs), max(xs) + 1)
    assert (reach.c0, reach.c1) == (box.c0, box.c1)


@given(windows(), st.integers(1, 5), st.integers(0, 3))
def test_an_unrolled_window_sees_what_its_neighbours_see(window, outputs, at):
    window = Window2d(window.kernel, window.stride, window.before, (window.dilation[0], 1))
    wide = window.unrolled(outputs).reach(Box(0, 1, at, at + 1, 0, 1))
    assert wide == window.reach(Box(0, 1, at * outputs, (at + 1) * outputs, 0, 1))


def test_windows_of_the_dialect_become_flat_ones():
    assert Window2d.of(Window((), (), (), ())) == Window2d()
    one = Window2d.of(Window((3,), (2,), (1, 0), (4,)))
    assert one == Window2d((1, 3), (1, 2), (0, 1), (1, 4))
    two = Window2d.of(Window((3, 5), (2, 1), (1, 0, 2, 2), (1, 2)))
    assert two == Window2d((3, 5), (2, 1), (1, 0), (1, 2))
