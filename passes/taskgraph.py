"""The task graph: what has to be done on which core, before it is known when and where in memory.

A task is a template on one core, or a message: one template on the sender and one on the
receiver, done together. Buffers are the pieces of local memory that tasks read and write.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imccompiler.passes.template import Template


class Kind(IntEnum):
    """What a task does."""

    LOAD = 0
    STORE = 1
    COMPUTE = 2
    DIGITAL = 3
    COPY = 4
    MESSAGE = 5


class Side(NamedTuple):
    """One core's share of a task; `offsets` are added to the addresses of the first buffers."""

    template: Template
    buffers: tuple[int, ...]
    numbers: tuple[int, ...] = ()
    offsets: tuple[int, ...] = ()


class Task(NamedTuple):
    """A task; `sender` is the other side of a message."""

    kind: Kind
    core: int
    layer: int
    rank: int  # order among the tasks of a layer
    side: Side
    peer: int = -1
    sender: Side | None = None
    payload: tuple[int, int] = (0, 0)  # pieces of a message and bytes of each


@dataclass(slots=True)
class TaskGraph:
    """Tasks, what they wait for, and the buffers they use."""

    tasks: list[Task] = field(default_factory=list[Task])
    predecessors: list[tuple[int, ...]] = field(default_factory=list[tuple[int, ...]])
    buffer_core: list[int] = field(default_factory=list[int])
    buffer_bytes: list[int] = field(default_factory=list[int])
    constants: dict[int, NDArray[np.uint8]] = field(default_factory=dict[int, NDArray[np.uint8]])

    def buffer(self, core: int, size: int) -> int:
        """A new buffer of `size` bytes on a core."""
        self.buffer_core.append(core)
        self.buffer_bytes.append(max(size, 1))
        return len(self.buffer_core) - 1

    def constant(self, core: int, data: NDArray[np.uint8]) -> int:
        """A buffer that holds `data` from the start."""
        index = self.buffer(core, data.size)
        self.constants[index] = data
        return index

    def add(self, task: Task, predecessors: tuple[int, ...]) -> int:
        """Append a task; returns its number."""
        self.tasks.append(task)
        self.predecessors.append(predecessors)
        return len(self.tasks) - 1
