"""The task graph: what has to be done on which core, before it is known when and where in memory.

A task is a template on one core, or a message: one template on the sender and one on the
receiver, done together. Buffers are the pieces of local memory that tasks read and write. Networks
have many tasks of few kinds, so a graph is columns of numbers, not an object a task.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from imccompiler.passes.ragged import Ints, Lists, distinct, starts_of
from imccompiler.passes.template import Template


class Kind(IntEnum):
    """What a task does."""

    LOAD = 0
    STORE = 1
    COMPUTE = 2
    DIGITAL = 3
    COPY = 4
    MESSAGE = 5
    WAIT = 6
    WRITE = 7


class Side(NamedTuple):
    """One core's share of a task.

    `offsets` are added to the addresses of the first buffers; `number` is the core at the other
    end of a message, the first crossbar group of a product, or a global address.
    """

    template: int
    buffers: tuple[int, ...]
    number: int = 0
    offsets: tuple[int, ...] = ()


class Sides(NamedTuple):
    """Shares of many tasks with as many buffers each; `offsets` is of the shape of `buffers`."""

    template: Ints  # (n,)
    buffers: NDArray[np.int64]  # (n, buffers of each)
    number: Ints  # (n,)
    offsets: NDArray[np.int64]


class Task(NamedTuple):
    """A task as an object, for readers of small graphs; `sender` is the other side of a message."""

    kind: Kind
    core: int
    layer: int
    rank: int  # order among the tasks of a layer
    side: Side
    peer: int
    sender: Side | None
    payload: tuple[int, int]  # pieces of a message and bytes of each


@dataclass(frozen=True, slots=True, eq=False)
class TaskGraph:
    """Tasks, what they wait for, and the buffers they use.

    Tasks are numbered in topological order. Attributes of shape (tasks,): `kind`, `core`, `peer`
    (the sender of a message, else -1), `layer`, `rank`, `pieces` and `piece_bytes` of a message.

    Attributes:
        before: The tasks that each task waits for.
        templates: All templates.
        side_task, side_template, side_number: Of each side, shape (sides,): first those of all
            tasks on their own cores, then those of the senders.
        operands, offsets: Buffers of each side, and what is added to their addresses.
        buffer_core, buffer_bytes: Shape (buffers,).
        constants: Content of the buffers that are filled from the start.
    """

    kind: Ints
    core: Ints
    peer: Ints
    layer: Ints
    rank: Ints
    pieces: Ints
    piece_bytes: Ints
    before: Lists
    templates: tuple[Template, ...]
    side_task: Ints
    side_template: Ints
    side_number: Ints
    operands: Lists
    offsets: Ints
    buffer_core: Ints
    buffer_bytes: Ints
    constants: dict[int, NDArray[np.uint8]]

    def __len__(self) -> int:
        return len(self.kind)

    @property
    def side_core(self) -> Ints:
        """The core of each side."""
        senders = self.side_task[len(self) :]
        return np.concatenate([self.core, self.peer[senders]])

    @property
    def uses_memory(self) -> NDArray[np.bool_]:
        """Whether a task uses the global memory, shape (tasks,)."""
        return (self.kind == Kind.LOAD) | (self.kind == Kind.STORE)

    @property
    def own_template(self) -> Ints:
        """Template of each task on its own core."""
        return self.side_template[: len(self)]

    def successors(self) -> tuple[Ints, Ints]:
        """The tasks that wait for each task, one list after the other, and where each begins."""
        after = np.repeat(np.arange(len(self)), self.before.counts)
        by_before = np.argsort(self.before.values, kind="stable")
        counts = np.bincount(self.before.values, minlength=len(self))
        return starts_of(counts), after[by_before]

    @property
    def predecessors(self) -> list[tuple[int, ...]]:
        """The tasks that each task waits for, as objects."""
        starts, values = starts_of(self.before.counts).tolist(), self.before.values.tolist()
        return [tuple(values[a:b]) for a, b in pairwise(starts)]

    @property
    def tasks(self) -> list[Task]:
        """All tasks as objects."""
        count = len(self)
        sides = self._sides()
        senders = dict(zip(self.side_task[count:].tolist(), sides[count:], strict=True))
        columns = (self.kind, self.core, self.layer, self.rank, self.peer)
        rows = zip(*(c.tolist() for c in columns), strict=True)
        payloads = zip(self.pieces.tolist(), self.piece_bytes.tolist(), strict=True)
        return [
            Task(Kind(kind), core, layer, rank, sides[i], peer, senders.get(i), payload)
            for i, ((kind, core, layer, rank, peer), payload) in enumerate(
                zip(rows, payloads, strict=True)
            )
        ]

    def _sides(self) -> list[Side]:
        starts = starts_of(self.operands.counts).tolist()
        buffers, offsets = self.operands.values.tolist(), self.offsets.tolist()
        numbers = zip(self.side_template.tolist(), self.side_number.tolist(), strict=True)
        return [
            Side(template, tuple(buffers[a:b]), number, tuple(offsets[a:b]))
            for (template, number), (a, b) in zip(numbers, pairwise(starts), strict=True)
        ]


class GraphBuilder:
    """Collects tasks and buffers, one by one or many at once."""

    def __init__(self) -> None:
        self._columns = [array("q") for _ in range(8)]  # those of TaskGraph, counts of `before`
        self._before = array("q")
        self._own, self._sent = _SideColumns(), _SideColumns()
        self._buffers = array("q"), array("q")  # core, bytes
        self._constants: dict[int, NDArray[np.uint8]] = {}
        self._templates: list[Template] = []
        self._known: dict[tuple[object, ...], int] = {}

    def finish(self) -> TaskGraph:
        """The graph of all that was added."""
        kind, core, peer, layer, rank, pieces, size, before = map(_frozen, self._columns)
        own, sent = self._own.columns(), self._sent.columns()
        _, template, number, used, operands, offsets = (
            np.concatenate(pair) for pair in zip(own, sent, strict=True)
        )
        return TaskGraph(
            kind,
            core,
            peer,
            layer,
            rank,
            pieces,
            size,
            Lists(before, _frozen(self._before)),
            tuple(self._templates),
            np.concatenate([np.arange(len(kind)), sent[0]]),
            template,
            number,
            Lists(used, operands),
            offsets,
            _frozen(self._buffers[0]),
            _frozen(self._buffers[1]),
            self._constants,
        )

    def template(self, template: Template) -> int:
        """The number of a new template."""
        self._templates.append(template)
        return len(self._templates) - 1

    def known(self, key: tuple[object, ...], make: Callable[[], Template]) -> int:
        """The number of the template of this key, which is made once."""
        if key not in self._known:
            self._known[key] = self.template(make())
        return self._known[key]

    def known_each(
        self, key: tuple[object, ...], columns: Sequence[Ints], make: Callable[[int], Template]
    ) -> Ints:
        """The template of each row, made by `make(row)` once for rows that agree in all columns."""
        first, kind = distinct(*columns)
        rows = zip(first.tolist(), *(c[first].tolist() for c in columns), strict=True)
        made = [self.known((*key, *row[1:]), lambda i=row[0]: make(i)) for row in rows]
        return np.array(made, np.int64)[kind]

    def buffer(self, core: int, size: int) -> int:
        """A new buffer of `size` bytes on a core; none is empty, each has an address of its own."""
        self._buffers[0].append(core)
        self._buffers[1].append(max(size, 1))
        return len(self._buffers[0]) - 1

    def buffers(self, cores: Ints, sizes: Ints) -> Ints:
        """A new buffer on each core."""
        first = len(self._buffers[0])
        _extend(self._buffers[0], cores)
        _extend(self._buffers[1], np.maximum(sizes, 1))
        return np.arange(first, first + len(cores))

    def constant(self, core: int, data: NDArray[np.uint8]) -> int:
        """A buffer that holds `data` from the start."""
        index = self.buffer(core, data.size)
        self._constants[index] = data
        return index

    def bytes_of_cores(self, cores: int) -> Ints:
        """Bytes of all buffers of each core so far."""
        core, size = map(_frozen, self._buffers)
        return np.bincount(core, size, cores).astype(np.int64)

    def add(
        self,
        kind: Kind,
        core: int,
        layer: int,
        rank: int,
        side: Side,
        before: Sequence[int] = (),
    ) -> int:
        """Append a task; returns its number."""
        number = len(self._columns[0])
        row = (kind, core, -1, layer, rank, 0, 0, len(before))
        for column, value in zip(self._columns, row, strict=True):
            column.append(value)
        self._before.extend(before)
        self._own.append(number, side)
        return number

    def add_many(
        self,
        kind: Kind,
        core: Ints,
        layer: int,
        rank: Ints,
        sides: Sides,
        before: Lists,
    ) -> Ints:
        """Append tasks of one kind; returns their numbers."""
        return self._append(kind, core, None, layer, rank, sides, before, (None, None))

    def add_messages(
        self,
        core: Ints,
        peer: Ints,
        layer: int,
        rank: Ints,
        sides: tuple[Sides, Sides],
        before: Lists,
        payload: tuple[Ints, Ints],
    ) -> Ints:
        """Append messages from `peer` to `core`; returns their numbers.

        `sides` are those of the receivers and of the senders, `payload` the pieces of each message
        and the bytes of a piece.
        """
        numbers = self._append(Kind.MESSAGE, core, peer, layer, rank, sides[0], before, payload)
        self._sent.extend(numbers, sides[1])
        return numbers

    def _append(
        self,
        kind: Kind,
        core: Ints,
        peer: Ints | None,
        layer: int,
        rank: Ints,
        sides: Sides,
        before: Lists,
        payload: tuple[Ints | None, Ints | None],
    ) -> Ints:
        first, count = len(self._columns[0]), len(core)
        pieces, size = payload
        filled: Iterable[tuple[Ints | None, int]] = (
            (None, kind),
            (core, 0),
            (peer, -1),
            (None, layer),
            (rank, 0),
            (pieces, 0),
            (size, 0),
            (before.counts, 0),
        )
        for column, (values, default) in zip(self._columns, filled, strict=True):
            if values is None:
                column.extend(array("q", (default,)) * count)
            else:
                _extend(column, values)
        _extend(self._before, before.values)
        numbers = np.arange(first, first + count)
        self._own.extend(numbers, sides)
        return numbers


class _SideColumns:
    """Sides: task, template, number, count of operands; and all operands with their offsets."""

    def __init__(self) -> None:
        self._rows = [array("q") for _ in range(4)]
        self._operands = [array("q") for _ in range(2)]

    def columns(self) -> tuple[Ints, ...]:
        return tuple(map(_frozen, (*self._rows, *self._operands)))

    def append(self, task: int, side: Side) -> None:
        row = (task, side.template, side.number, len(side.buffers))
        for column, value in zip(self._rows, row, strict=True):
            column.append(value)
        self._operands[0].extend(side.buffers)
        self._operands[1].extend(side.offsets)
        self._operands[1].extend((0,) * (len(side.buffers) - len(side.offsets)))

    def extend(self, tasks: Ints, sides: Sides) -> None:
        task, template, number, count = self._rows
        _extend(task, tasks)
        _extend(template, sides.template)
        _extend(number, sides.number)
        count.extend(array("q", (sides.buffers.shape[1],)) * len(tasks))
        _extend(self._operands[0], sides.buffers)
        _extend(self._operands[1], sides.offsets)


def _extend(column: array[int], values: NDArray[np.int64]) -> None:
    column.frombytes(np.ascontiguousarray(values, np.int64).tobytes())


def _frozen(column: array[int]) -> Ints:
    return np.array(column, np.int64)
