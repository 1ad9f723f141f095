"""What happens between passes: verify, time, keep for the dump, print, tell progress."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from time import perf_counter

from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass
from xdsl.utils.exceptions import VerifyException

from imccompiler.errors import InternalError, IRError
from imccompiler.ir.text import print_module

Progress = Callable[[str, int, int], None]
"""Told (what begins now, steps done, steps in all)."""


def silent(_name: str, _done: int, _total: int) -> None:
    """Progress that nobody looks at."""


@dataclass
class Instruments:
    """The callback of a pass pipeline.

    Attributes:
        keep: Keep a copy of the module after each pass in `kept`; a pass that changes nothing
            leaves the same copy there once more.
        verify_each: Verify after each pass, else before the first and after the last.
        print_after: Names of the passes after which `printer` gets the module's text.
        remember: Told (passes done, the module) after each pass.
        seconds: Time of each pass so far, without that of the instruments. Passes that were not
            run, since it is known what they make, stand in it with no time from the start.
    """

    total: int
    keep: bool = False
    verify_each: bool = True
    print_after: Collection[str] = ()
    printer: Callable[[str], None] | None = None
    progress: Progress | None = None
    remember: Callable[[int, ModuleOp], None] | None = None
    seconds: list[float] = field(default_factory=list[float])
    kept: list[tuple[str, ModuleOp]] = field(default_factory=list[tuple[str, ModuleOp]])
    _started: float = 0.0

    @property
    def watched(self) -> bool:
        """Whether each pass must run because somebody looks at what it makes."""
        return self.keep or self.verify_each or self.printer is not None

    def __call__(
        self, before: ModulePass | None, module: ModuleOp, after: ModulePass | None
    ) -> None:
        """Called by the pipeline: `before` just ran, `after` runs next."""
        if before is not None:
            self.seconds.append(perf_counter() - self._started)
            if self.remember is not None:
                self.remember(len(self.seconds), module)
        if self.verify_each or not self.seconds or after is None:
            _verify(module, before)
        name = before.name if before is not None else "input"
        if self.keep:
            self.kept.append((name, self._copy(module)))
        if self.printer is not None and name in self.print_after:
            self.printer(f"// after {name}\n{print_module(module)}")
        if self.progress is not None and after is not None:
            self.progress(after.name, len(self.seconds), self.total)
        self._started = perf_counter()

    def _copy(self, module: ModuleOp) -> ModuleOp:
        """A copy of the module; the last one if the module is still the same."""
        if self.kept and self.kept[-1][1].is_structurally_equivalent(module):
            return self.kept[-1][1]
        return module.clone()


def _verify(module: ModuleOp, before: ModulePass | None) -> None:
    try:
        module.verify()
    except VerifyException as error:
        if before is None:
            raise IRError(f"is not valid: {error}", where="the module") from error
        raise InternalError(
            f"the pass left an invalid module: {error}", where=f"pass {before.name!r}"
        ) from error
