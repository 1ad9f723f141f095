"""When the tasks of an order begin and end, image after image, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from imccompiler.passes.heap_kernel import pop, push


@njit(cache=True)
def run(
    order: Any,
    core: Any,
    peer: Any,
    shared: Any,
    own: Any,
    sender: Any,
    switch: Any,
    lead: Any,
    successor_start: Any,
    successors: Any,
    predecessors: Any,
    cores: int,
    images: int,
    start: Any,
    end: Any,
    peer_end: Any,
    image_end: Any,
) -> int:
    """Times of a given order, repeated for so many images; returns how many tasks were done.

    Every core does its tasks in the order's sequence and begins the next image as soon as it
    can. The global memory serves requests in the order of their arrival: those that have come are
    put off until nothing else can go on, for then no other can come before the first of them.
    `start`, `end` and `peer_end` are left as of the last image.
    """
    count = len(order)
    following = np.full((count, 2), -1)  # the next task of the core and of the peer
    first, latest = np.full(cores, -1), np.full(cores, -1)
    for task in order:
        for side in range(2):
            c = core[task] if side == 0 else peer[task]
            if c < 0:
                continue
            before = latest[c]
            if before < 0:
                first[c] = task
            else:
                following[before, 0 if core[before] == c else 1] = task
            latest[c] = task
    missing = np.empty((images, count), np.int64)
    for task in range(count):
        missing[:, task] = predecessors[task] + (1 if peer[task] < 0 else 2)
    for c in range(cores):
        if first[c] >= 0:
            missing[0, first[c]] -= 1
    ready = np.zeros((images, count))
    free, switch_free, memory_free = np.zeros(cores), np.zeros(cores), 0.0
    stack: Any = np.empty(images * count, np.int64)
    stacked, done = 0, 0
    heap_keys: Any = np.empty(images * cores + 1)
    heap_items: Any = np.empty(images * cores + 1, np.int64)
    heap_size = np.zeros(1, np.int64)
    for task in range(count):
        if missing[0, task] == 0:
            stack[stacked] = task
            stacked += 1
    while stacked > 0 or heap_size[0] > 0:
        arrived = stacked == 0
        if arrived:
            item = heap_items[0] % (images * count)
            pop(heap_keys, heap_items, 0, heap_size, 0)
        else:
            stacked -= 1
            item = stack[stacked]
        image, task = item // count, item % count
        c, p = core[task], peer[task]
        # a receiver that comes by up to `lead` later than its sender delays nothing
        ahead = lead[task] if p >= 0 else 0.0
        now = max(free[c] - ahead, ready[image, task])
        begin = now
        if p >= 0:
            begin = now = max(now, free[p], switch_free[p], switch_free[c] - ahead)
            peer_end[task] = free[p] = now + sender[task]
            switch_free[p] = now + switch[task]
            image_end[image] = max(image_end[image], peer_end[task])
        elif shared[task]:
            now = max(now, switch_free[c])
            if not arrived:
                key = c * images * count + item  # of two at once, that of the first core
                push(heap_keys, heap_items, 0, heap_size, 0, now + lead[task], key)
                continue
            begin = max(now, memory_free - lead[task])
            memory_free = switch_free[c] = begin + switch[task]
        start[task] = now
        end[task] = free[c] = begin + own[task]
        image_end[image] = max(image_end[image], end[task])
        done += 1
        for at in range(successor_start[task], successor_start[task + 1]):
            s = successors[at]
            known = lead[s] if peer[s] >= 0 and core[s] == c else 0.0
            ready[image, s] = max(ready[image, s], end[task] - known)
            missing[image, s] -= 1
            if missing[image, s] == 0:
                stack[stacked] = image * count + s
                stacked += 1
        for side in range(2):
            k = c if side == 0 else p
            if k < 0:
                continue
            s, later = following[task, side], image
            if s < 0:
                s, later = first[k], image + 1
            if later < images:
                missing[later, s] -= 1
                if missing[later, s] == 0:
                    stack[stacked] = later * count + s
                    stacked += 1
    return done
