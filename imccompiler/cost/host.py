"""Time and energy of the link to the host, for operators that run there.

Only the way there and back is counted, not what the host does. Cores do not contend for the link.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from imccompiler.cost.rounding import picoseconds
from imccompiler.hardware.schema import Host


@dataclass(frozen=True, slots=True)
class HostTiming:
    """Times of the link, in picoseconds."""

    latency_ps: int
    bytes_per_ns: float

    @staticmethod
    def of(host: Host) -> HostTiming:
        """The times of a machine's link."""
        return HostTiming(picoseconds(host.latency_ns), host.bytes_per_ns)

    def call_ps(self, size_bytes: int) -> int:
        """There and back, with `size_bytes` of operands and result in all."""
        return self.latency_ps + picoseconds(size_bytes / self.bytes_per_ns)


def host_pj(host: Host, size_bytes: Any) -> dict[str, Any]:
    """Energy of moving `size_bytes` over the link."""
    return {"host": size_bytes * host.pj_per_byte}
