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


def of_cores(machine: Machine, value: Callable[[CoreKind], Any]) -> NDArray[Any]:
    """A number (or row of numbers) of each core's kind, shape (cores, ...)."""
    values = np.array([value(kind) for kind in machine.core_kinds.values()])
    return values[kind_numbers(machine)]
