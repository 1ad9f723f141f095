"""First fit of buffers in a memory, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def first_fit(order: Any, size: Any, first: Any, last: Any) -> Any:
    """Addresses of buffers that are placed in this order.

    Each comes into the lowest gap among those already placed that it meets in time, from `first`
    to `last`, both included.
    """
    count = len(order)
    address = np.zeros(count, np.int64)
    placed = np.empty(count, np.int64)  # by address
    for done in range(count):
        item = order[done]
        floor = 0
        for at in range(done):
            other = placed[at]
            if first[other] <= last[item] and last[other] >= first[item]:
                if address[other] - floor >= size[item]:
                    break
                floor = max(floor, address[other] + size[other])
        address[item] = floor
        at = done
        while at > 0 and address[placed[at - 1]] > floor:
            placed[at] = placed[at - 1]
            at -= 1
        placed[at] = item
    return address


@njit(cache=True)
def scan(order: Any, size: Any, first: Any, last: Any) -> Any:
    """The addresses of `first_fit` for an order by `first`.

    Only buffers that still live when one begins are in its way.
    """
    count = len(order)
    address = np.zeros(count, np.int64)
    alive = np.empty(count, np.int64)  # by address
    living = 0
    for item in order:
        kept = 0
        for at in range(living):
            if last[alive[at]] >= first[item]:
                alive[kept] = alive[at]
                kept += 1
        living = kept
        floor, place = 0, 0
        while place < living and address[alive[place]] - floor < size[item]:
            floor = max(floor, address[alive[place]] + size[alive[place]])
            place += 1
        address[item] = floor
        at = living
        while at > 0 and address[alive[at - 1]] > floor:
            alive[at] = alive[at - 1]
            at -= 1
        alive[at] = item
        living += 1
    return address
