"""The inner loop of list scheduling, compiled."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

from imccompiler.passes.heap_kernel import pop, push

NEVER = np.inf


@njit(cache=True)
def run(
    core: Any,
    peer: Any,
    shared: Any,
    own: Any,
    sender: Any,
    switch: Any,
    lead: Any,
    priority: Any,
    successor_start: Any,
    successors: Any,
    missing: Any,
    heap_start: Any,
    cores: int,
    patience: float,
    order: Any,
) -> int:
    """Fill `order`; returns how many tasks were scheduled.

    Every core has two heaps of its tasks (messages are in those of both cores): `future` by the
    time from which a task can run, `able` by priority. Cores are visited in the order of the
    times at which they may have something to begin. A core does not begin a task that would delay
    a more urgent one, which only waits for another resource, by more than `patience`. Resource
    number `cores` is the global memory, which serves requests in the order of their arrival: the
    core that asks is held until it is done. The sender of a message that was free before its
    receiver has asked before: by up to `lead` the message began in the past. A load or store gets
    to the global memory after its `lead`.
    """
    count = len(core)
    slots = heap_start[cores]
    future_keys: Any = np.empty(slots)
    future_items: Any = np.empty(slots, np.int64)
    able_keys: Any = np.empty(slots)
    able_items: Any = np.empty(slots, np.int64)
    future_size, able_size = np.zeros(cores, np.int64), np.zeros(cores, np.int64)
    free: Any = np.zeros(cores + 1)
    switch_free: Any = np.zeros(cores)
    wake: Any = np.full(cores, NEVER)
    queue_keys: Any = np.empty(4 * slots + cores + 16)
    queue_items: Any = np.empty(4 * slots + cores + 16, np.int64)
    queue_size = np.zeros(1, np.int64)
    ready: Any = np.zeros(count)
    ready_at_sender: Any = np.zeros(count)
    done = np.zeros(count, np.bool_)
    scheduled = 0
    for task in range(count):
        if missing[task] == 0:
            for side in range(2):
                c = core[task] if side == 0 else peer[task]
                if c >= 0:
                    push(future_keys, future_items, heap_start[c], future_size, c, 0.0, task)
                    if wake[c] > 0.0:
                        wake[c] = 0.0
                        push(queue_keys, queue_items, 0, queue_size, 0, 0.0, c)
    while queue_size[0] > 0:
        now, c = queue_keys[0], queue_items[0]
        pop(queue_keys, queue_items, 0, queue_size, 0)
        if wake[c] != now:
            continue
        wake[c] = NEVER
        base = heap_start[c]
        task = -1
        if free[c] <= now:
            while future_size[c] > 0 and future_keys[base] <= now:
                item = future_items[base]
                pop(future_keys, future_items, base, future_size, c)
                if not done[item]:
                    push(able_keys, able_items, base, able_size, c, float(priority[item]), item)
            held_until = NEVER  # when the first of the more urgent tasks that wait can begin
            while able_size[c] > 0:
                item = able_items[base]
                if not done[item] and now + own[item] > held_until + patience:
                    break
                pop(able_keys, able_items, base, able_size, c)
                if done[item]:
                    continue
                hold = 0.0
                if peer[item] >= 0:
                    hold = max(
                        free[peer[item]] if core[item] == c else free[core[item]],
                        switch_free[peer[item]],
                        switch_free[core[item]],
                    )
                elif shared[item]:
                    hold = switch_free[c]
                if hold > now:
                    push(future_keys, future_items, base, future_size, c, hold, item)
                    held_until = min(held_until, hold)
                    continue
                task = item
                break
        if task >= 0:
            done[task] = True
            order[scheduled] = task
            scheduled += 1
            begin = now
            if shared[task]:
                begin = max(now, free[cores] - lead[task])
            elif peer[task] >= 0:
                p = peer[task]
                begin = max(now - lead[task], free[p], switch_free[p], ready_at_sender[task])
            finish = begin + own[task]
            free[core[task]] = finish
            if peer[task] >= 0:
                free[peer[task]] = begin + sender[task]
                switch_free[peer[task]] = begin + switch[task]
            if shared[task]:
                free[cores] = begin + switch[task]
                switch_free[c] = begin + switch[task]
            for at in range(successor_start[task], successor_start[task + 1]):
                s = successors[at]
                ready[s] = max(ready[s], finish)
                if core[task] != core[s]:
                    ready_at_sender[s] = max(ready_at_sender[s], finish)
                missing[s] -= 1
                if missing[s] == 0:
                    for side in range(2):
                        k = core[s] if side == 0 else peer[s]
                        if k >= 0:
                            push(
                                future_keys,
                                future_items,
                                heap_start[k],
                                future_size,
                                k,
                                ready[s],
                                s,
                            )
                            at_time = max(ready[s], free[k])
                            if at_time < wake[k]:
                                wake[k] = at_time
                                push(queue_keys, queue_items, 0, queue_size, 0, at_time, k)
        for side in range(2):
            k = c
            if side == 1:
                if task < 0 or peer[task] < 0:
                    break
                k = peer[task] if core[task] == c else core[task]
            when = NEVER
            if able_size[k] > 0 and (k != c or task >= 0 or free[k] > now):
                when = max(free[k], now)
            elif future_size[k] > 0:
                when = max(free[k], future_keys[heap_start[k]])
            if when < wake[k]:
                wake[k] = when
                push(queue_keys, queue_items, 0, queue_size, 0, when, k)
    return scheduled
