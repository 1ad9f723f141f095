"""What cores exchange: messages in order of sending, and counted events."""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import ProgramError


class Blocked(Exception):  # noqa: N818 (no error: the core goes on later)
    """A core must wait; `what` says for what."""

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Exchange:
    """Messages under way and events raised, for all pairs of cores."""

    def __init__(self) -> None:
        self._messages: dict[tuple[int, int], deque[NDArray[np.uint8]]] = {}
        self._events: dict[tuple[int, int], int] = {}
        self._woken: list[int] = []

    def send(self, source: int, target: int, values: NDArray[np.uint8]) -> None:
        """Buffer a message, shape (images, bytes)."""
        self._messages.setdefault((source, target), deque()).append(values)
        self._woken.append(target)

    def receive(self, source: int, target: int) -> NDArray[np.uint8]:
        """The oldest message of a pair.

        Raises:
            Blocked: There is none yet.
        """
        queue = self._messages.get((source, target))
        if not queue:
            raise Blocked(f"a message of core {source}")
        return queue.popleft()

    def raise_event(self, core: int, event: int) -> None:
        """Count an event of a core one up."""
        self._events[core, event] = self._events.get((core, event), 0) + 1
        self._woken.append(core)

    def wait(self, core: int, event: int, count: int) -> None:
        """Take `count` from an event.

        Counting down in place of setting to zero makes the result independent of the order in
        which cores run; a count that is left over is an error at the end.

        Raises:
            Blocked: It was not raised often enough yet.
        """
        raised = self._events.get((core, event), 0)
        if raised < count:
            raise Blocked(f"event {event} to count {count}, not {raised}")
        self._events[core, event] = raised - count

    def take_woken(self) -> list[int]:
        """Cores for which something came since the last call."""
        woken, self._woken = self._woken, []
        return woken

    def check_empty(self) -> None:
        """Nothing may be left when all cores are done.

        Raises:
            ProgramError: A message was not received, or an event not waited for.
        """
        for (source, target), queue in self._messages.items():
            if queue:
                raise ProgramError(
                    f"{len(queue)} messages of core {source} to core {target} were never "
                    f"received; the first has {queue[0].shape[1]} bytes"
                )
        for (core, event), count in self._events.items():
            if count:
                raise ProgramError(
                    f"event {event} of core {core} was raised {count} times too often"
                )
