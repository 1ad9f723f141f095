"""The kinds of core with crossbars, and which of them a layer stands on."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import PassError
from imccompiler.hardware.cores import cores_of_kind, crossbar_kinds
from imccompiler.hardware.schema import CoreKind, Machine
from imccompiler.ir.decisions import Segment
from imccompiler.ir.dialect import MatmulOp


def kind_name(op: MatmulOp, machine: Machine) -> str:
    """The kind of core that a layer stands on; the main kind if none is decided.

    Raises:
        PassError: The machine has no such cores, or they have no crossbars.
    """
    names = crossbar_kinds(machine)
    if op.kind is None:
        return names[0]
    if op.kind.cores not in names:
        raise PassError(
            f"{machine.name} has no kind of core named {op.kind.cores!r} that has crossbars",
            where=op.source.node if op.source is not None else op.name,
            hint=f"the kinds with crossbars are {', '.join(names)}",
        )
    return op.kind.cores


def kind_of(op: MatmulOp, machine: Machine) -> CoreKind:
    """The kind of core that a layer stands on.

    Raises:
        PassError: As `kind_name`.
    """
    return machine.core_kinds[kind_name(op, machine)]


@dataclass(frozen=True, slots=True, eq=False)
class Stock:
    """What a machine has of one kind of core.

    Attributes:
        name: Of the kind.
        told: The name where the machine has several kinds with crossbars, else empty.
        kind: Its description.
        cores: Which cores are of it, shape (cores,).
    """

    name: str
    told: str
    kind: CoreKind
    cores: NDArray[np.bool_]

    @property
    def count(self) -> int:
        """Cores."""
        return int(self.cores.sum())

    @property
    def crossbars(self) -> int:
        """Crossbars of all its cores."""
        return self.count * self.kind.crossbars

    def within(self, segment: Segment | None) -> Stock:
        """What of it a segment has."""
        if segment is None:
            return self
        number = np.arange(len(self.cores))
        inside = (number >= segment.first) & (number < segment.first + segment.cores)
        return replace(self, cores=self.cores & inside)


def stock(machine: Machine) -> dict[str, Stock]:
    """What a machine has of every kind of core with crossbars, the main kind first."""
    names = crossbar_kinds(machine)
    return {
        name: Stock(
            name,
            name if len(names) > 1 else "",
            machine.core_kinds[name],
            cores_of_kind(machine, name),
        )
        for name in names
    }
