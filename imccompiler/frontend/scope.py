"""Names of the tensors that the nodes of a graph, a body or a function can see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from imccompiler.errors import ModelError

if TYPE_CHECKING:
    from onnx import AttributeProto

DEEPEST = 64  # of bodies and functions within each other; each level takes some of Python's stack


class Scope:
    """What the names of a graph, or of one run of a body, stand for in the flat graph.

    Args:
        path: Begins the names of what the body makes; empty for the graph itself.
        outer: What the body can see besides its own; None for the graph and for functions.
        attributes: Those of the function's call, which its nodes refer to.

    Raises:
        ModelError: Bodies lie in bodies without end.
    """

    def __init__(
        self,
        path: str = "",
        outer: Scope | None = None,
        attributes: Mapping[str, AttributeProto] | None = None,
        depth: int = 0,
    ) -> None:
        if depth > DEEPEST:
            raise ModelError(
                f"more than {DEEPEST} bodies and functions lie in each other",
                where=path[:80],
                hint="does a function call itself?",
            )
        self.path = path
        self.depth = depth
        self.attributes = attributes or {}
        self.outer = outer
        self.names: dict[str, str] = {}

    def body(self, path: str) -> Scope:
        """The scope of a body in this one."""
        return Scope(self._within(path), self, self.attributes, self.depth + 1)

    def function(self, path: str, attributes: Mapping[str, AttributeProto]) -> Scope:
        """The scope of a function called here."""
        return Scope(self._within(path), None, attributes, self.depth + 1)

    def bind(self, name: str, flat: str) -> None:
        """Let a name stand for a tensor of the flat graph."""
        self.names[name] = flat

    def flat(self, name: str, where: str) -> str:
        """The tensor of the flat graph that a name stands for; absent ones stay empty.

        Raises:
            ModelError: There is none.
        """
        scope: Scope | None = self
        while name and scope is not None:
            if name in scope.names:
                return scope.names[name]
            scope = scope.outer
        if name:
            raise ModelError(f"input {name!r} is not produced by any node", where=where)
        return name

    def owns(self, name: str) -> bool:
        """Whether the name has a meaning of its own here."""
        return name in self.names

    def _within(self, path: str) -> str:
        return f"{self.path}/{path}" if self.path else path


class Names:
    """Hands out names that are used nowhere else."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._counts: dict[str, int] = {}

    def reserve(self, name: str) -> str:
        """Take a name as it is."""
        self._used.add(name)
        return name

    def fresh(self, name: str) -> str:
        """A name that begins like `name`."""
        candidate = name
        while candidate in self._used:
            self._counts[name] = self._counts.get(name, 1) + 1
            candidate = f"{name}.{self._counts[name]}"
        return self.reserve(candidate)
