from hypothesis import given
from hypothesis import strategies as st

from imccompiler.passes.packing import Rectangle, pack

ROWS, LINES = 16, 24

rectangles = st.lists(
    st.builds(Rectangle, st.integers(0, 5), st.integers(1, ROWS), st.integers(1, LINES)),
    max_size=30,
)


@given(rectangles)
def test_tiles_lie_inside_apart_and_groups_on_different_crossbars(tiles):
    spots = pack(tiles, ROWS, LINES)
    taken = set()
    groups = set()
    for tile, spot in zip(tiles, spots, strict=True):
        assert spot.row + tile.rows <= ROWS
        assert spot.line + tile.lines <= LINES
        assert (spot.crossbar, tile.group) not in groups
        groups.add((spot.crossbar, tile.group))
        cells = {
            (spot.crossbar, spot.row + r, spot.line + c)
            for r in range(tile.rows)
            for c in range(tile.lines)
        }
        assert not cells & taken
        taken |= cells


def test_small_tiles_of_different_groups_share_one_crossbar():
    quarter = [Rectangle(g, ROWS // 2, LINES // 2) for g in range(4)]
    assert {spot.crossbar for spot in pack(quarter, ROWS, LINES)} == {0}


def test_whole_tiles_take_a_crossbar_each():
    whole = [Rectangle(g, ROWS, LINES) for g in range(3)]
    assert sorted(spot.crossbar for spot in pack(whole, ROWS, LINES)) == [0, 1, 2]
