"""Results of pure functions, kept by the content that they follow from."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

T = TypeVar("T")


class Memo(Generic[T]):
    """The last results used, at most `size` of them."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._held: OrderedDict[Hashable, T] = OrderedDict()

    def of(self, key: Hashable, compute: Callable[[], T]) -> T:
        """The result for `key`, computed if it is not held; an error is not kept."""
        if key in self._held:
            self._held.move_to_end(key)
            return self._held[key]
        value = compute()
        self._held[key] = value
        if len(self._held) > self._size:
            self._held.popitem(last=False)
        return value
