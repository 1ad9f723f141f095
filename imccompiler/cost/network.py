"""Time of transfers between cores and to the global memory."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.cost.places import Places
from imccompiler.cost.rounding import PS_PER_NS, Count, ceil_div, picoseconds
from imccompiler.cost.timing import PortTiming
from imccompiler.hardware.schema import Machine


@dataclass(frozen=True, slots=True, eq=False)
class NetworkTiming:
    """Times of transfers, all in picoseconds; cores, sizes and results can be arrays.

    Attributes:
        flit_bytes: Bytes of a flit.
        places: Where the cores stand.
        distance_ps: Latency of a flit by links and hops, shape (links + 1, hops + 1).
        global_flit_ps: Latency of a flit between a core and the global memory.
        global_port: The global memory.
        mean_flit_ps: Mean latency of a flit over all ordered pairs of cores.
    """

    flit_bytes: int
    places: Places
    distance_ps: NDArray[np.int64]
    global_flit_ps: int
    global_port: PortTiming
    mean_flit_ps: int

    @staticmethod
    def of(machine: Machine) -> NetworkTiming:
        """The network of a machine."""
        noc, period = machine.chip.noc, machine.main_kind.period_ns
        places = Places.of(machine)
        hops, links, pairs = places.distances
        distance_ps = _distance_ps(machine, int(links.max()), int(hops.max()))
        return NetworkTiming(
            noc.flit_bytes,
            places,
            distance_ps,
            picoseconds(round(noc.global_memory_ns / period) * period),
            PortTiming.of(machine.chip.global_memory),
            int(distance_ps[links, hops] @ pairs) // int(pairs.sum()),
        )

    def flit_ps(self, source: Any, target: Any) -> Any:
        """NoC(1): latency of a flit between two cores."""
        return self.distance_ps[self.places.links(source, target), self.places.hops(source, target)]

    def flits(self, size_bytes: Count) -> Count:
        """Flits of a message."""
        return ceil_div(size_bytes, self.flit_bytes)

    def message_ps(self, source: Any, target: Any, size_bytes: Any) -> Any:
        """NoC(n) between two cores; flits follow each other without overlap."""
        return self.flit_ps(source, target) * self.flits(size_bytes)

    def handshake_ps(self, source: Any, target: Any) -> Any:
        """2 NoC(1): a sender asks and the receiver answers before the data moves."""
        return 2 * self.flit_ps(source, target)

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


def _distance_ps(machine: Machine, links: int, hops: int) -> NDArray[np.int64]:
    """Latency of a flit by links and hops, up to these.

    base_ns + hop_ns * hops, rounded (half to even) to the clock of the main kind of core, as
    the table that PIMCOMP gives to pimsim-nn; a link adds link_ns_per_flit before rounding.
    """
    noc, period = machine.chip.noc, machine.main_kind.period_ns
    on_links_ns = machine.package.link_ns_per_flit * np.arange(links + 1)[:, None]
    latency_ns = noc.base_ns + noc.hop_ns * np.arange(hops + 1) + on_links_ns
    return np.rint(np.rint(latency_ns / period) * (period * PS_PER_NS)).astype(np.int64)
