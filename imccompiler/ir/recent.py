"""A few values, the most recently used ones: what is kept beside an object for later."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """At most `size` values; the one that has not been used for longest makes room for another."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._values: tuple[T, ...] = ()

    def __iter__(self) -> Iterator[T]:
        """The values, those used last first."""
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def use(self, value: T) -> None:
        """Keep a value, or say that it was used again."""
        others = (held for held in self._values if held is not value)
        self._values = (value, *others)[: self.size]
