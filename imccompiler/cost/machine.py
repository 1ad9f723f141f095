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
        main_kind: The first kind that has crossbars.
        network: Transfers between cores and with the global memory.
    """

    kinds: Mapping[str, CoreTiming]
    core_kinds: tuple[str, ...]
    main_kind: str
    network: NetworkTiming

    @staticmethod
    def of(machine: Machine) -> MachineTiming:
        """The times of a machine at its weight width."""
        kinds = {
            name: CoreTiming.of(kind, machine.weight_bits)
            for name, kind in machine.core_kinds.items()
        }
        main = next(k for k, v in machine.core_kinds.items() if v is machine.main_kind)
        order = tuple(machine.kind_of_core())
        return MachineTiming(kinds, order, main, NetworkTiming.of(machine))

    @property
    def main(self) -> CoreTiming:
        """The times of the kind of core that the crossbars' work is planned for."""
        return self.kinds[self.main_kind]

    def core(self, number: int) -> CoreTiming:
        """The times of one core."""
        return self.kinds[self.core_kinds[number]]
