"""The global memory of a run: network inputs and outputs as bytes."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import ProgramError
from imccompiler.program.artifact import Port
from imccompiler.program.isa import byte_width
from imccompiler.simulator.core import read_values, write_values


class GlobalMemory:
    """Bytes for every image, with a record of which were written."""

    def __init__(self, images: int, size: int) -> None:
        self._bytes = np.zeros((images, size), np.uint8)
        self._defined = np.zeros(size, np.bool_)

    def hold(self, address: int, values: NDArray[np.uint8]) -> None:
        """Bytes that are there from the start, the same for every image."""
        self._bytes[:, address : address + len(values)] = values
        self._defined[address : address + len(values)] = True

    def write_port(self, port: Port, codes: NDArray[Any]) -> None:
        """Put the codes of an input, shape (images, *port.shape), where the port says."""
        images = len(codes)
        axes = (0, *(1 + a for a in port.layout))
        values = np.ascontiguousarray(codes.astype(np.int64).transpose(axes).reshape(images, -1))
        bits = port.quantization.bits
        self._defined[port.address : port.address + values.shape[1] * byte_width(bits)] = True
        write_values(self._bytes, port.address, values, bits)

    def read_port(self, port: Port) -> NDArray[np.int64]:
        """Codes of an output, shape (images, *port.shape).

        Raises:
            ProgramError: Not all of it was written.
        """
        n, bits = prod(port.shape), port.quantization.bits
        size = n * byte_width(bits)
        missing = size - int(self._defined[port.address : port.address + size].sum())
        if missing:
            raise ProgramError(
                f"{missing} of {size} bytes of output {port.name!r} were not written"
            )
        values = read_values(self._bytes, port.address, n, bits)
        in_memory = values.reshape(-1, *(port.shape[a] for a in port.layout))
        return in_memory.transpose(0, *(1 + port.layout.index(a) for a in range(len(port.shape))))

    def read(self, address: int, size: int) -> NDArray[np.uint8] | None:
        """Bytes of every image; None if some are outside or were never written."""
        if not self._inside(address, size) or not self._defined[address : address + size].all():
            return None
        return self._bytes[:, address : address + size]

    def write(self, address: int, values: NDArray[np.uint8]) -> bool:
        """Write bytes, shape (images, bytes); False if some are outside."""
        size = values.shape[1]
        if not self._inside(address, size):
            return False
        self._bytes[:, address : address + size] = values
        self._defined[address : address + size] = True
        return True

    def complaint(self, address: int, size: int) -> str:
        """Why an access was refused."""
        if not self._inside(address, size):
            return (
                f"touches {size} bytes at {address}, outside the {len(self._defined)} bytes of "
                "global memory"
            )
        first = address + int(np.argmin(self._defined[address : address + size]))
        return f"reads byte {first} of global memory, which nothing has written"

    def _inside(self, address: int, size: int) -> bool:
        return address >= 0 and address + size <= len(self._defined)
