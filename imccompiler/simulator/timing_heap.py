"""The events of the timing kernel: a binary heap of times with the actor in the lowest bits.

Compiled into `timing_kernel.py`: see the note in `timing_records.py`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

from imccompiler.simulator import timing_records as r

F = TypeVar("F", bound=Callable[..., Any])
Memory = Any
"""An int64 vector (`Any`, since numpy's stubs take an element by an element for an array)."""


def compiled(function: F) -> F:
    """A function of the kernel."""
    return cast("F", numba.njit(cache=True, nogil=True)(function))


@compiled
def _wake(m: Memory, time: int, actor: int) -> None:
    heap, key = m[r.HEAP], (time << m[r.ACTOR_BITS]) + actor
    i = m[r.HEAP_SIZE]
    m[r.HEAP_SIZE] = i + 1
    while i > 0:
        above = (i - 1) >> 1
        if m[heap + above] <= key:
            break
        m[heap + i] = m[heap + above]
        i = above
    m[heap + i] = key


@compiled
def pop(m: Memory) -> int:
    """Take the earliest event out."""
    heap, n = m[r.HEAP], m[r.HEAP_SIZE] - 1
    first, key = m[heap], m[heap + n]
    m[r.HEAP_SIZE] = n
    i = 0
    while True:
        below = 2 * i + 1
        if below >= n:
            break
        if below + 1 < n and m[heap + below + 1] < m[heap + below]:
            below += 1
        if m[heap + below] >= key:
            break
        m[heap + i] = m[heap + below]
        i = below
    m[heap + i] = key
    return first


@compiled
def wake_switch(m: Memory, c: int, time: int) -> None:
    """When the first item of a switch arrives."""
    _wake(m, time, m[c + r.NUMBER])


@compiled
def wake_transfer(m: Memory, c: int, time: int) -> None:
    """When a transfer unit has what it read."""
    _wake(m, time, m[r.CORE_COUNT] + m[c + r.NUMBER])


@compiled
def wake_vector(m: Memory, c: int, time: int) -> None:
    """When a vector unit has computed."""
    _wake(m, time, 2 * m[r.CORE_COUNT] + m[c + r.NUMBER])


@compiled
def wake_group(m: Memory, group: int, time: int) -> None:
    """When a crossbar group has computed."""
    _wake(m, time, 3 * m[r.CORE_COUNT] + (group - m[r.GROUPS]) // r.GROUP_SIZE)


@compiled
def wake_front(m: Memory, c: int, time: int) -> None:
    """When a front end may go on."""
    m[c + r.BLOCK] = r.NOTHING
    _wake(m, time, 3 * m[r.CORE_COUNT] + m[r.GROUP_COUNT] + m[c + r.NUMBER])


@compiled
def wake_latch(m: Memory, c: int, time: int) -> None:
    """When a latched product may start."""
    _wake(m, time, 4 * m[r.CORE_COUNT] + m[r.GROUP_COUNT] + m[c + r.NUMBER])
