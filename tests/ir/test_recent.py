"""The few values that are kept are those used last."""

from __future__ import annotations

import numpy as np

from imccompiler.ir.recent import Recent
from imccompiler.ir.store import WeightStore


def test_the_value_not_used_for_longest_makes_room() -> None:
    recent = Recent[list[int]](2)
    first, second, third = [1], [2], [3]
    for value in (first, second, first, third):
        recent.use(value)
    assert list(recent) == [third, first]
    assert len(recent) == 2


def test_a_value_is_known_by_itself_not_by_what_it_equals() -> None:
    recent = Recent[list[int]](2)
    recent.use([1])
    recent.use([1])
    assert list(recent) == [[1], [1]]


def test_a_store_holds_another_if_the_arrays_are_the_same() -> None:
    store = WeightStore({"a": np.zeros(2)})
    copy = store.copy()
    copy.add("b", np.ones(1))
    assert copy.holds(store)
    assert not store.holds(copy)
    assert not WeightStore({"a": np.zeros(2)}).holds(store)
