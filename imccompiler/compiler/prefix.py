"""The first passes of a pipeline, which hardly look at the machine: run once for a network.

Compilations of one imported network for many machines begin alike: `fold` and `canonicalize` see
no machine, `quantize` sees its bit widths. What such passes made is kept with the network, and a
later compilation goes on from there if it begins with the same passes and they depend on the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import TYPE_CHECKING

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue
from xdsl.passes import ModulePass

from imccompiler.compiler.pins import Pinned, set_pinned
from imccompiler.ir.store import WeightStore
from imccompiler.passes.base import CompileContext, ImcPass

if TYPE_CHECKING:
    from imccompiler.frontend import Network

Step = tuple[ModulePass, tuple[object, ...]]
"""A pass and what it depends on beside the module and the weights."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A network after some passes; its module and its store are copied, never changed.

    Attributes:
        begin: The network's module and what was pinned, to be compared with `==`.
        given: The network's weights.
        steps: The passes.
        module, store: What they left.
        notes: What they noted.
    """

    begin: tuple[object, ...]
    given: WeightStore
    steps: tuple[Step, ...]
    module: ModuleOp
    store: WeightStore
    notes: tuple[str, ...]


class Prefix:
    """The first passes of one compilation."""

    def __init__(
        self,
        network: Network,
        pinned: Pinned,
        pipeline: Sequence[ModulePass],
        context: CompileContext,
    ) -> None:
        self.network, self.pinned, self.context = network, pinned, context
        self.begin = (pinned, *_content(network.module))
        answers = ((each, _depends_on(each, context)) for each in pipeline)
        known = takewhile(lambda step: step[1] is not None, answers)
        self.steps = tuple((each, answer) for each, answer in known if answer is not None)
        self.own_notes = len(context.notes)

    def first_module(self) -> ModuleOp:
        """A copy of the network's module with what is pinned, before all passes."""
        module = self.network.module.clone()
        set_pinned(self.pinned, module)
        return module

    def resume(self) -> tuple[int, ModuleOp]:
        """How many passes need not run and the module after them; the context is as after them."""
        stages = [stage for stage in self.network.stages if self._is_ours(stage)]
        stage = max(stages, key=lambda stage: len(stage.steps), default=None)
        if stage is None:
            return 0, self.first_module()
        self.network.stages.use(stage)
        self.context.store = stage.store.copy()
        self.context.notes.extend(stage.notes)
        return len(stage.steps), stage.module.clone()

    def remember(self, done: int, module: ModuleOp) -> None:
        """Keep what the first `done` passes made, if none of them looked at more of the machine."""
        if 0 < done <= len(self.steps):
            stage = Stage(
                self.begin,
                self.network.store.copy(),
                self.steps[:done],
                module.clone(),
                self.context.store.copy(),
                tuple(self.context.notes[self.own_notes :]),
            )
            self.network.stages.use(stage)

    def _is_ours(self, stage: Stage) -> bool:
        return (
            stage.steps == self.steps[: len(stage.steps)]
            and stage.begin == self.begin
            and self.network.store.holds(stage.given)
        )


def _depends_on(each: ModulePass, context: CompileContext) -> tuple[object, ...] | None:
    return each.depends_on(context) if isinstance(each, ImcPass) else None


def _content(module: ModuleOp) -> list[tuple[object, ...]]:
    """All that a module says, to be compared with `==`."""
    ops = list(module.body.block.ops)
    number: dict[SSAValue, int] = {v: i for i, op in enumerate(ops) for v in op.results}
    return [
        (
            op.name,
            tuple(number[value] for value in op.operands),
            tuple(value.type for value in op.results),
            tuple(op.properties.items()),
        )
        for op in ops
    ]
