"""What every pass is made of: the compile context and the base class."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray
from xdsl.context import Context
from xdsl.dialects.builtin import ModuleOp
from xdsl.passes import ModulePass

from imccompiler.cost.machine import MachineTiming
from imccompiler.errors import InternalError
from imccompiler.hardware.schema import Machine
from imccompiler.ir.store import WeightStore
from imccompiler.ir.text import new_context
from imccompiler.program.artifact import Program

Objective = Literal["latency", "throughput", "energy"]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class SolverRecord:
    """What a solver did in a pass: for the report.

    `value` and `bound` are of the solver's own objective; `status` is `optimal`, `feasible`,
    `heuristic` or `infeasible`.
    """

    pass_name: str
    solver: str
    status: str
    value: float
    bound: float
    seconds: float


@dataclass
class CompileContext:
    """Everything that passes share beside the module.

    Attributes:
        machine: The machine that is compiled for.
        store: Weights; passes add entries and never change one.
        objective: What the mapping is chosen for.
        effort: 0 heuristics only, 1 exact where it is cheap, 2 and 3 longer solver budgets.
        seed: Of every random choice.
        calibration: Float inputs by port name, first axis the samples; None: seeded noise.
        program: What `emit` made.
        solver_records: What solvers did, in order.
        notes: Things the user should know, for the report.
        analyses: Results derived from the module, by name; see `analysis`.
    """

    machine: Machine
    store: WeightStore
    objective: Objective = "latency"
    effort: int = 1
    seed: int = 0
    calibration: Mapping[str, NDArray[np.float32]] | None = None
    program: Program | None = None
    solver_records: list[SolverRecord] = field(default_factory=list[SolverRecord])
    notes: list[str] = field(default_factory=list[str])
    analyses: dict[str, tuple[object, Any]] = field(default_factory=dict[str, tuple[object, Any]])

    @cached_property
    def times(self) -> MachineTiming:
        """Times of the machine's operations."""
        return MachineTiming.of(self.machine)

    def analysis(self, name: str, module: ModuleOp, compute: Callable[[], T]) -> T:
        """A result derived from `module`, computed once for each state of the module."""
        key = _decisions(module)
        held = self.analyses.get(name)
        if held is None or held[0] != key:
            held = (key, compute())
            self.analyses[name] = held
        return held[1]


def _decisions(module: ModuleOp) -> list[tuple[object, ...]]:
    """All ops with their decisions; what stands on the module is not part of it.

    Comparing takes little where nothing changed: attributes are then the same objects.
    """
    return [(op.name, *op.properties.items()) for op in module.body.block.ops]


class XdslContext(Context):
    """The xDSL context that carries a `CompileContext` through a pass pipeline."""

    def __init__(self, compile_context: CompileContext) -> None:
        base = new_context()
        super().__init__()
        self.__dict__.update(base.__dict__)
        self.compile_context = compile_context


@dataclass(frozen=True)
class ImcPass(ModulePass):
    """A pass of imccompiler: a frozen dataclass whose fields are its options.

    A subclass has a class variable `name`, and implements `run`. What must hold on entry and
    on exit belongs in its docstring and is checked in `run`.
    """

    def apply(self, ctx: Context, op: ModuleOp) -> None:
        """Run on a module (called by xDSL's pipeline)."""
        if not isinstance(ctx, XdslContext):
            raise InternalError("passes of imccompiler need an XdslContext", where=self.name)
        self.run(ctx.compile_context, op)

    def depends_on(self, context: CompileContext) -> tuple[object, ...] | None:  # noqa: ARG002
        """What of the context, beside the weights, decides what the pass makes of a module.

        Given equal modules and weights and equal answers, compared with `==`, the pass decides
        the same, adds the same weights and notes, and leaves the rest of the context alone: so
        `compiler.prefix` need not run it again. None, the default, answers for passes that look
        at the whole machine.
        """
        return None

    @abstractmethod
    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Change `module` in place."""
