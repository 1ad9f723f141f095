"""`allocate`: where in its core's local memory each buffer lies, and from when to when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from imccompiler.errors import DoesNotFitError
from imccompiler.hardware.cores import of_cores
from imccompiler.passes.base import CompileContext, ImcPass
from imccompiler.passes.schedule import Planned, planned
from imccompiler.passes.taskgraph import TaskGraph

GAP_BYTES = 1  # buffers that touch would seem to overlap where hazards are checked inclusively

MOST_TRIED = 20_000  # buffers of a core, beyond which only the quick order is tried


@dataclass(frozen=True, slots=True, eq=False)
class Allocation:
    """Addresses of all buffers, shape (buffers,), and bytes used on each core, (cores,)."""

    address: NDArray[np.int64]
    used_bytes: NDArray[np.int64]


@dataclass(frozen=True)
class AllocatePass(ImcPass):
    """Gives every buffer an address.

    A core whose buffers all fit side by side gets them so; on others, buffers share bytes when
    one is dead before the other is first written in the core's own order.

    On entry: the module has an order. On exit: nothing on the module changes; the addresses
    follow from it and `emit` asks for them again. Raises `DoesNotFitError` where a core's memory
    is too small.
    """

    name: ClassVar[str] = "allocate"

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Check that an allocation exists."""
        allocation(context, module)


def allocation(context: CompileContext, module: ModuleOp) -> Allocation:
    """The addresses of a scheduled module's buffers."""
    plan = planned(context, module)
    name = f"allocation {id(plan)}"
    return context.analysis(name, module, lambda: _allocate(context, plan))


def _allocate(context: CompileContext, plan: Planned) -> Allocation:
    graph = plan.built.graph
    cores = context.machine.core_count
    capacity = of_cores(context.machine, lambda kind: kind.local_memory.kib * 1024)
    core = graph.buffer_core
    padded = graph.buffer_bytes + GAP_BYTES
    address = np.zeros(len(core), np.int64)
    used = np.bincount(core, padded, cores).astype(np.int64)
    by_core = np.argsort(core, kind="stable")
    starts = np.searchsorted(core[by_core], np.arange(cores + 1))
    crowded = np.flatnonzero(used > capacity).tolist()
    for c in np.flatnonzero(used).tolist():
        mine = by_core[starts[c] : starts[c + 1]]
        address[mine] = np.cumsum(padded[mine]) - padded[mine]
    if crowded:
        first, last = _lifetimes(graph, plan)
        for c in crowded:
            mine = by_core[starts[c] : starts[c + 1]]
            room = int(capacity[c])
            address[mine], used[c] = pack_intervals(padded[mine], first[mine], last[mine], room)
            if used[c] > room:
                raise DoesNotFitError(
                    "the data does not fit a core's local memory",
                    demand=int(used[c]),
                    capacity=room,
                    unit="bytes",
                    levers=(
                        "use a larger local memory",
                        "spread layers over more cores",
                        "cut layers into more pieces: schedule{grain=12}",
                    ),
                    where=f"core {c}",
                )
    return Allocation(address, used)


def _lifetimes(graph: TaskGraph, plan: Planned) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Place in the order of each buffer's first and last use; constants live always."""
    count, tasks = len(graph.buffer_core), len(graph)
    place = np.empty(tasks, np.int64)
    place[plan.schedule.order] = np.arange(tasks)
    first, last = np.full(count, tasks, np.int64), np.full(count, -1, np.int64)
    at, used = np.repeat(place[graph.side_task], graph.operands.counts), graph.operands.values
    np.minimum.at(first, used, at)
    np.maximum.at(last, used, at)
    constants = list(graph.constants)
    first[constants], last[constants] = 0, tasks
    return first, last


def pack_intervals(
    size: NDArray[np.int64], first: NDArray[np.int64], last: NDArray[np.int64], capacity: int
) -> tuple[NDArray[np.int64], int]:
    """Addresses for buffers that live from `first` to `last`, both included; and their end.

    Orders are tried one after the other until one fits: by begin, which is quick, then by falling
    size, by size times life, by life; the best is returned if none does.
    """
    from imccompiler.passes import intervals_kernel  # noqa: PLC0415

    life = last - first + 1
    best = intervals_kernel.scan(np.lexsort((-size, first)), size, first, last)
    end = int((best + size).max(initial=0))
    if len(size) > MOST_TRIED:
        return best, end
    for key in (-size, -size * life, -life):
        if end <= capacity:
            break
        address = intervals_kernel.first_fit(np.lexsort((-size, key)), size, first, last)
        reached = int((address + size).max(initial=0))
        if reached < end:
            best, end = address, reached
    return best, end
