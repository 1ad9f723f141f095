"""Binary heaps in slices of flat arrays, compiled: smallest key first, then the smallest item.

Heap number `heap` lies from `base` on in `keys` and `items` and has `sizes[heap]` entries.
"""

from __future__ import annotations

from typing import Any

from numba import njit


@njit(cache=True)
def _sift_up(keys: Any, items: Any, base: int, at: int) -> None:
    key, item = keys[base + at], items[base + at]
    while at > 0:
        parent = (at - 1) >> 1
        pk, pi = keys[base + parent], items[base + parent]
        if pk < key or (pk == key and pi <= item):
            break
        keys[base + at], items[base + at] = pk, pi
        at = parent
    keys[base + at], items[base + at] = key, item


@njit(cache=True)
def _sift_down(keys: Any, items: Any, base: int, size: int) -> None:
    key, item = keys[base], items[base]
    at = 0
    while True:
        child = 2 * at + 1
        if child >= size:
            break
        right = child + 1
        if right < size:
            rk, lk = keys[base + right], keys[base + child]
            if rk < lk or (rk == lk and items[base + right] < items[base + child]):
                child = right
        ck, ci = keys[base + child], items[base + child]
        if key < ck or (key == ck and item <= ci):
            break
        keys[base + at], items[base + at] = ck, ci
        at = child
    keys[base + at], items[base + at] = key, item


@njit(cache=True)
def push(keys: Any, items: Any, base: int, sizes: Any, heap: int, key: float, item: int) -> None:
    """Add an item."""
    size = sizes[heap]
    keys[base + size], items[base + size] = key, item
    sizes[heap] = size + 1
    _sift_up(keys, items, base, size)


@njit(cache=True)
def pop(keys: Any, items: Any, base: int, sizes: Any, heap: int) -> None:
    """Remove the first item."""
    size = sizes[heap] - 1
    sizes[heap] = size
    if size > 0:
        keys[base], items[base] = keys[base + size], items[base + size]
        _sift_down(keys, items, base, size)
