"""Properties of kinds of core, spread over the cores of a machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.hardware.schema import CoreKind, Machine


def kind_numbers(machine: Machine) -> NDArray[np.int64]:
    """The kind of every core as its place in `Machine.core_kinds`, shape (cores,)."""
    names = list(machine.core_kinds)
    kinds = np.array([names.index(cores.kind) for cores in machine.chip.cores])
    of_chip = np.repeat(kinds, [cores.count for cores in machine.chip.cores])
    return np.tile(of_chip, machine.package.chips)


def crossbar_kinds(machine: Machine) -> tuple[str, ...]:
    """Kinds of core that have crossbars, in the order of the mesh, so the main kind first.

    The first kind of core if none has crossbars.
    """
    names = dict.fromkeys(cores.kind for cores in machine.chip.cores)
    return tuple(n for n in names if machine.core_kinds[n].crossbars) or (next(iter(names)),)


def cores_of_kind(machine: Machine, name: str) -> NDArray[np.bool_]:
    """Whether each core is of a kind, shape (cores,)."""
    return kind_numbers(machine) == list(machine.core_kinds).index(name)


def of_cores(machine: Machine, value: Callable[[CoreKind], Any]) -> NDArray[Any]:
    """A number (or row of numbers) of each core's kind, shape (cores, ...)."""
    values = np.array([value(kind) for kind in machine.core_kinds.values()])
    return values[kind_numbers(machine)]
