"""One run of a program: cores side by side, with their messages and the global memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import ProgramError
from imccompiler.program.artifact import Operand, Program
from imccompiler.program.isa import AUX, IMM, LAYER, OP, RD, RS1, RS2, Op
from imccompiler.program.text import instruction_text
from imccompiler.simulator import core as c
from imccompiler.simulator.crossbars import Crossbars, Residency
from imccompiler.simulator.exchange import Blocked, Exchange
from imccompiler.simulator.functions import call_function, elementwise, operand_bytes
from imccompiler.simulator.global_memory import GlobalMemory

_REASONS = {
    c.UNDEFINED: "reads byte {address} of local memory, which nothing has written",
    c.BEYOND: "touches {bytes} bytes at {address}, outside the core's {size} bytes of memory",
    c.OVERLAP: "writes over an operand",
    c.NO_WIDTHS: "needs bit widths from 1 to 62; is `setbw` missing?",
    c.BAD_SHIFT: "shifts by a negative number",
    c.BAD_LOOP: "is no valid loop: empty, too deep or ending outside the loop around it",
}


class Run:
    """A run of a batch of images.

    Args:
        program: What is run.
        crossbars: Its products.
        residency: Which groups are programmed before time zero.
        cores: The cores before time zero.
        rows: Their instructions as plain integers.
        images: Images of the batch.
        first_image: Number of the first one.
    """

    def __init__(
        self,
        program: Program,
        crossbars: Crossbars,
        residency: Residency,
        cores: Sequence[c.CoreArrays],
        rows: Sequence[list[list[int]]],
        *,
        images: int,
        first_image: int,
    ) -> None:
        self.program = program
        self.crossbars = crossbars
        self.residency = residency
        self.cores = cores
        self.rows = rows
        self.global_memory = GlobalMemory(images, program.global_bytes)
        self.exchange = Exchange()
        self.first_image = first_image
        self.calls = [[0] * len(core.groups) for core in cores]
        self.actions: dict[int, Callable[[int, list[int]], None]] = {
            Op.MVMUL: self._multiply,
            Op.MVWR: self._program_group,
            Op.VFUN: self._call,
            Op.VTANH: self._call,
            Op.VSIGM: self._call,
            Op.LD: self._load,
            Op.ST: self._store,
            Op.SEND: self._send,
            Op.RECV: self._receive,
            Op.SYNC: self._sync,
            Op.WAIT: self._wait,
        }

    def finish(self) -> None:
        """Run all cores to their ends."""
        ready = deque(core for core, rows in enumerate(self.rows) if rows)
        blocked: dict[int, Blocked] = {}
        while ready:
            core = ready.popleft()
            reason = self._run_core(core)
            if reason is not None:
                blocked[core] = reason
            for other in self.exchange.take_woken():
                if blocked.pop(other, None) is not None:
                    ready.append(other)
        if blocked:
            waits = [f"{self._where(i)} waits for {b.what}" for i, b in sorted(blocked.items())]
            raise ProgramError(
                f"deadlock: {len(blocked)} cores wait for ever\n  " + "\n  ".join(waits[:20])
            )
        self.exchange.check_empty()

    def _run_core(self, core: int) -> Blocked | None:
        arrays, rows, actions = self.cores[core], self.rows[core], self.actions
        state = arrays.state
        while True:
            status = c.run_core(arrays)
            if status == c.FINISHED:
                return None
            row = rows[state[c.PC]]
            if status != c.OUTSIDE_CORE:
                raise self._broken(core, status)
            action = actions.get(row[OP])
            if action is None:
                raise self._error(core, "is no instruction")
            try:
                action(core, row)
            except Blocked as blocked:
                return blocked
            state[c.RESUME] = 1

    # instructions that leave the core

    def _multiply(self, core: int, row: list[int]) -> None:
        product = self.crossbars.product(core, row[IMM])
        if product is None:
            raise self._error(core, f"drives group {row[IMM]}, which the core does not have")
        if not self.residency.programmed(core, row[IMM]):
            raise self._error(core, f"drives group {row[IMM]}, whose cells hold other weights")
        arrays = self.cores[core]
        bits, output_bits = arrays.state[c.INPUT_BITS], arrays.state[c.OUTPUT_BITS]
        source, n = arrays.registers[row[RS1]], arrays.groups[row[IMM], 0]
        if bits == 8:
            x = arrays.memory[:, source : source + n].view(np.int8)
        else:
            x = c.read_values(arrays.memory, source, n, bits)
        call = self.calls[core][row[IMM]]
        self.calls[core][row[IMM]] += 1
        sums = product(x, int(bits), call, self.first_image)
        c.write_values(arrays.memory, arrays.registers[row[RD]], sums, output_bits)

    def _program_group(self, core: int, row: list[int]) -> None:
        if self.crossbars.product(core, row[IMM]) is None:
            raise self._error(core, f"programs group {row[IMM]}, which the core does not have")
        self.residency.write(core, row[IMM])

    def _call(self, core: int, row: list[int]) -> None:
        if not 0 <= row[AUX] < len(self.program.functions):
            raise self._error(core, f"calls function {row[AUX]}, which the program does not have")
        function = self.program.functions[row[AUX]]
        arrays = self.cores[core]
        if row[OP] != Op.VFUN:
            function = elementwise(function, row[IMM])
        addresses = self._operand_addresses(core, row, function.operands)
        blocks = [self._read(core, a, s) for a, s in addresses]
        result = call_function(function, blocks)
        target = int(arrays.registers[row[RD]])
        size = result.shape[1]
        if any(a < target + size and target < a + s for a, s in addresses):
            raise self._broken(core, c.OVERLAP)
        self._write(core, target, result)

    def _operand_addresses(
        self, core: int, row: list[int], operands: tuple[Operand, ...]
    ) -> list[tuple[int, int]]:
        """Address and bytes of each operand: at rs1, at rs2, the others packed behind."""
        sizes = [operand_bytes(o) for o in operands]
        registers = self.cores[core].registers
        starts = [int(registers[row[RS1]]), int(registers[row[RS2]])][: len(sizes)]
        for size in sizes[1:-1]:
            starts.append(starts[-1] + size)
        return list(zip(starts, sizes, strict=True))

    def _load(self, core: int, row: list[int]) -> None:
        address = self._global_address(core, row[RS1])
        values = self.global_memory.read(address, row[IMM])
        if values is None:
            raise self._error(core, self.global_memory.complaint(address, row[IMM]))
        self._write(core, int(self.cores[core].registers[row[RD]]), values)

    def _store(self, core: int, row: list[int]) -> None:
        values = self._read(core, int(self.cores[core].registers[row[RS1]]), row[IMM])
        address = self._global_address(core, row[RD])
        if not self.global_memory.write(address, values):
            raise self._error(core, self.global_memory.complaint(address, row[IMM]))

    def _global_address(self, core: int, register: int) -> int:
        high, low = self.cores[core].registers[register : register + 2].tolist()
        return (high << 32) + (low & 0xFFFFFFFF)

    def _send(self, core: int, row: list[int]) -> None:
        values = self._read(core, int(self.cores[core].registers[row[RS1]]), row[IMM])
        self._check_core(core, row[AUX])
        self.exchange.send(core, row[AUX], values.copy())

    def _receive(self, core: int, row: list[int]) -> None:
        self._check_core(core, row[AUX])
        values = self.exchange.receive(row[AUX], core)
        if values.shape[1] != row[IMM]:
            raise self._error(
                core,
                f"takes {row[IMM]} bytes, but the next message of core {row[AUX]} has "
                f"{values.shape[1]}",
            )
        self._write(core, int(self.cores[core].registers[row[RD]]), values)

    def _sync(self, core: int, row: list[int]) -> None:
        self._check_core(core, row[AUX])
        self.exchange.raise_event(row[AUX], row[IMM])

    def _wait(self, core: int, row: list[int]) -> None:
        self.exchange.wait(core, row[IMM], row[AUX])

    # memory and errors

    def _check_core(self, core: int, other: int) -> None:
        if not 0 <= other < len(self.cores) or other == core:
            raise self._error(core, f"names core {other}, which is not another core")

    def _read(self, core: int, address: int, size: int) -> NDArray[np.uint8]:
        arrays = self.cores[core]
        status = c.check_read(arrays, address, size)
        if status != c.FINISHED:
            raise self._broken(core, status)
        return arrays.memory[:, address : address + size]

    def _write(self, core: int, address: int, values: NDArray[np.uint8]) -> None:
        arrays = self.cores[core]
        status = c.check_write(arrays, address, values.shape[1])
        if status != c.FINISHED:
            raise self._broken(core, status)
        arrays.memory[:, address : address + values.shape[1]] = values

    def _broken(self, core: int, status: int) -> ProgramError:
        state = self.cores[core].state
        reason = _REASONS[status].format(
            address=state[c.BAD_ADDRESS],
            bytes=state[c.BAD_BYTES],
            size=len(self.cores[core].defined),
        )
        return self._error(core, reason)

    def _error(self, core: int, message: str) -> ProgramError:
        return ProgramError(message, where=self._where(core))

    def _where(self, core: int) -> str:
        index = int(self.cores[core].state[c.PC])
        row = self.rows[core][index]
        layers = self.program.layers
        layer = f", layer {layers[row[LAYER]]!r}" if 0 <= row[LAYER] < len(layers) else ""
        try:
            text = instruction_text(row)
        except ProgramError:
            text = str(row)
        return f"core {core}, instruction {index} ({text}){layer}"
