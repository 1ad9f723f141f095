"""The times of a whole machine, computed once."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

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

    def of_cores(self, value: Callable[[CoreTiming], int]) -> NDArray[np.int64]:
        """A number of each core's kind, shape (cores,)."""
        of_kind = {name: value(kind) for name, kind in self.kinds.items()}
        return np.array([of_kind[name] for name in self.core_kinds], np.int64)

    @property
    def main(self) -> CoreTiming:
        """The times of the kind of core that the crossbars' work is planned for."""
        return self.kinds[self.main_kind]

    def core(self, number: int) -> CoreTiming:
        """The times of one core."""
        return self.kinds[self.core_kinds[number]]


@dataclass(frozen=True, slots=True, eq=False)
class Ports:
    """The local memories' ports of all cores: `PortTiming` of each, all of shape (cores,)."""

    width_bytes: NDArray[np.int64]
    read_access_ps: NDArray[np.int64]
    write_access_ps: NDArray[np.int64]

    @staticmethod
    def of(times: MachineTiming) -> Ports:
        """The ports of a machine's cores."""
        return Ports(
            times.of_cores(lambda kind: kind.port.width_bytes),
            times.of_cores(lambda kind: kind.port.read_access_ps),
            times.of_cores(lambda kind: kind.port.write_access_ps),
        )

    def read_ps(self, core: NDArray[np.int64], size_bytes: Any) -> NDArray[np.int64]:
        """Time of read requests on cores."""
        return -(-size_bytes // self.width_bytes[core]) * self.read_access_ps[core]

    def write_ps(self, core: NDArray[np.int64], size_bytes: Any) -> NDArray[np.int64]:
        """Time of write requests on cores."""
        return -(-size_bytes // self.width_bytes[core]) * self.write_access_ps[core]
