"""Two-dimensional packing of small weight tiles on shared crossbars."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple


class Rectangle(NamedTuple):
    """A tile of some group: word lines and bit lines."""

    group: int
    rows: int
    lines: int


class Spot(NamedTuple):
    """Where a tile lies."""

    crossbar: int
    row: int
    line: int


@dataclass(slots=True)
class _Shelf:
    """Tiles side by side on common word lines."""

    crossbar: int
    row: int
    rows: int
    used_lines: int


@dataclass(slots=True)
class _Crossbar:
    used_rows: int = 0
    groups: set[int] = field(default_factory=set[int])


def pack(tiles: Sequence[Rectangle], rows: int, lines: int) -> list[Spot]:
    """Places for tiles on as few crossbars of `rows` x `lines` cells as shelves allow.

    Tiles of one group are read together and must not share a crossbar. Tall tiles go first, each
    to the first shelf that is high and free enough, else on a new shelf, else on a new crossbar:
    first-fit decreasing height (Coffman, Garey, Johnson, Tarjan, SIAM J. Comput. 9(4), 1980).
    """
    shelves: list[_Shelf] = []
    crossbars: list[_Crossbar] = []
    spots: list[Spot] = [Spot(0, 0, 0)] * len(tiles)
    for index in sorted(range(len(tiles)), key=lambda i: (-tiles[i].rows, -tiles[i].lines, i)):
        tile = tiles[index]
        shelf = _fitting_shelf(tile, shelves, crossbars, lines)
        if shelf is None:
            number = next(
                (
                    n
                    for n, c in enumerate(crossbars)
                    if c.used_rows + tile.rows <= rows and tile.group not in c.groups
                ),
                len(crossbars),
            )
            if number == len(crossbars):
                crossbars.append(_Crossbar())
            shelf = _Shelf(number, crossbars[number].used_rows, tile.rows, 0)
            crossbars[number].used_rows += tile.rows
            shelves.append(shelf)
        spots[index] = Spot(shelf.crossbar, shelf.row, shelf.used_lines)
        shelf.used_lines += tile.lines
        crossbars[shelf.crossbar].groups.add(tile.group)
    return spots


def _fitting_shelf(
    tile: Rectangle, shelves: Sequence[_Shelf], crossbars: Sequence[_Crossbar], lines: int
) -> _Shelf | None:
    for shelf in shelves:
        if (
            shelf.rows >= tile.rows
            and shelf.used_lines + tile.lines <= lines
            and tile.group not in crossbars[shelf.crossbar].groups
        ):
            return shelf
    return None
