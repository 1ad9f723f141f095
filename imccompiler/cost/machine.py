"""The times of a whole machine, computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imccompiler.cost.network import NetworkTiming
from imccompiler.cost.timing import CoreTiming
from imccompiler.hardware.schema import Machine


@dataclass(frozen=True, slots=True, eq=False)
class MachineTiming:
    """Times of all operations of a machine, in picoseconds.

    Attributes:
        kinds: Times of each kind of core.
        core_kinds: The kind of every core, in the order of their numbers.
        network: Transfers between cores and with the global memory.
    """

    kinds: Mapping[str, CoreTiming]
    core_kinds: tuple[str, ...]
    network: NetworkTiming

    @staticmethod
    def of(machine: Machine) -> MachineTiming:
        """The times of a machine at its weight width."""
        kinds = {
            name: CoreTiming.of(kind, machine.weight_bits)
            for name, kind in machine.core_kinds.items()
        }
        return MachineTiming(kinds, tuple(machine.kind_of_core()), NetworkTiming.of(machine))

    def core(self, number: int) -> CoreTiming:
        """The times of one core."""
        return self.kinds[self.core_kinds[number]]
