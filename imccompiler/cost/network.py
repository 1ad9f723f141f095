"""Time of transfers between cores and to the global memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost.rounding import Count, ceil_div, picoseconds
from imccompiler.cost.timing import PortTiming
from imccompiler.hardware.schema import Machine


def hops(machine: Machine) -> NDArray[np.int64]:
    """Hops between every two cores, shape (cores, cores)."""
    cores = np.arange(machine.core_count)
    return hops_between(machine, cores[:, None], cores[None, :])


def hops_between(machine: Machine, a: Any, b: Any) -> NDArray[np.int64]:
    """Hops between cores, given by their numbers in arrays of one shape.

    On a mesh the Manhattan distance of their places (cores stand row by row), on a bus 1.
    """
    if machine.chip.noc.topology == "bus":
        return (a != b).astype(np.int64)
    (row_a, column_a), (row_b, column_b) = (np.divmod(n, machine.chip.grid[1]) for n in (a, b))
    return np.abs(row_a - row_b) + np.abs(column_a - column_b)


def flit_ps(machine: Machine) -> NDArray[np.int64]:
    """Latency of a flit between every two cores, shape (cores, cores).

    base_ns + hop_ns * hops, rounded (half to even) to the clock of the main kind of core, as
    the table that PIMCOMP gives to pimsim-nn.
    """
    noc = machine.chip.noc
    period, distance = machine.main_kind.period_ns, hops(machine)
    periods = np.rint((noc.base_ns + noc.hop_ns * np.arange(distance.max() + 1)) / period)
    return np.rint(periods * (period * 1000)).astype(np.int64)[distance]


@dataclass(frozen=True, slots=True, eq=False)
class NetworkTiming:
    """Times of transfers, all in picoseconds; cores, sizes and results can be arrays.

    Attributes:
        flit_bytes: Bytes of a flit.
        core_flit_ps: Latency of a flit between every two cores, int64 of shape (cores, cores).
        global_flit_ps: Latency of a flit between a core and the global memory.
        global_port: The global memory.
        mean_flit_ps: Mean latency of a flit between two cores.
    """

    flit_bytes: int
    core_flit_ps: NDArray[np.int64]
    global_flit_ps: int
    global_port: PortTiming
    mean_flit_ps: int

    @staticmethod
    def of(machine: Machine) -> NetworkTiming:
        """The network of a machine."""
        noc, period = machine.chip.noc, machine.main_kind.period_ns
        between_cores = flit_ps(machine)
        return NetworkTiming(
            noc.flit_bytes,
            between_cores,
            picoseconds(round(noc.global_memory_ns / period) * period),
            PortTiming.of(machine.chip.global_memory),
            int(between_cores.mean()),
        )

    def flits(self, size_bytes: Count) -> Count:
        """Flits of a message."""
        return ceil_div(size_bytes, self.flit_bytes)

    def message_ps(self, source: Any, target: Any, size_bytes: Any) -> Any:
        """NoC(n) between two cores; flits follow each other without overlap."""
        return self.core_flit_ps[source, target] * self.flits(size_bytes)

    def handshake_ps(self, source: Any, target: Any) -> Any:
        """2 NoC(1): a sender asks and the receiver answers before the data moves."""
        return self.core_flit_ps[source, target] + self.core_flit_ps[target, source]

    def send_ps(self, port: PortTiming, source: Any, target: Any, size_bytes: Any) -> Any:
        """`send` once the receiver waits; the data then travels by itself for NoC(n)."""
        return self.handshake_ps(source, target) + port.read_ps(size_bytes)

    def delivery_ps(
        self, sender: PortTiming, receiver: PortTiming, source: Any, target: Any, size_bytes: Any
    ) -> Any:
        """From a `send` that finds its receiver waiting to the data lying in its memory."""
        sent = self.send_ps(sender, source, target, size_bytes)
        return sent + self.message_ps(source, target, size_bytes) + receiver.write_ps(size_bytes)

    def ld_ps(self, port: PortTiming, size_bytes: Count) -> Count:
        """`ld` when the global memory is idle: NoC(1) + GMr(n) + LMw(n)."""
        moved = self.global_port.read_ps(size_bytes) + port.write_ps(size_bytes)
        return moved + self.global_flit_ps

    def st_ps(self, port: PortTiming, size_bytes: Count) -> Count:
        """`st` when the global memory is idle: LMr(n) + NoC(n) + GMw(n)."""
        travel = self.flits(size_bytes) * self.global_flit_ps
        return port.read_ps(size_bytes) + travel + self.global_port.write_ps(size_bytes)
