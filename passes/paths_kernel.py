"""Longest and shortest paths through a task graph, compiled; tasks are in topological order."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit


@njit(cache=True)
def longest_tails(starts: Any, before: Any, core: Any, own: Any, lead: Any) -> Any:
    """Longest path behind each task."""
    tail = np.zeros(len(own))
    for task in range(len(own) - 1, -1, -1):
        reach = tail[task] + own[task]
        for at in range(starts[task], starts[task + 1]):
            p = before[at]
            # what a receiver does itself may end after the message began
            after = reach - lead[task] if core[p] == core[task] else reach
            tail[p] = max(tail[p], after)
    return tail


@njit(cache=True)
def longest_heads(starts: Any, before: Any, core: Any, own: Any, lead: Any) -> Any:
    """Longest path before each task."""
    head = np.zeros(len(own))
    for task in range(len(own)):
        for at in range(starts[task], starts[task + 1]):
            p = before[at]
            reach = head[p] + own[p]
            head[task] = max(head[task], reach - lead[task] if core[p] == core[task] else reach)
    return head


@njit(cache=True)
def shortest_heads(starts: Any, before: Any, through: Any, fills: Any) -> Any:
    """Shortest path of first results before each task; what only fills gives no result."""
    head = np.zeros(len(through))
    for task in range(len(through)):
        least = np.inf
        for at in range(starts[task], starts[task + 1]):
            p = before[at]
            if not fills[p]:
                least = min(least, head[p] + through[p])
        if not fills[task] and least < np.inf:
            head[task] = least
    return head
