"""Runs a program with data, by local-memory address, all images of a batch at once.

Cores run until they must wait for another; a send is buffered, since a rendezvous affects time
only. Every rule of `docs/program.md` that a wrong program would break is checked, and the error
says on which core, at which instruction and for which layer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from imccompiler.errors import ProgramError, UserInputError
from imccompiler.hardware.schema import Machine
from imccompiler.program.artifact import GLOBAL, Port, Program
from imccompiler.program.isa import COLUMNS, IMM, OP, REGISTERS, Op
from imccompiler.program.validate import check_registers
from imccompiler.simulator import core as c
from imccompiler.simulator.crossbars import Crossbars, Mode, Residency
from imccompiler.simulator.run import Run


class Executor:
    """Runs a program on a machine.

    Args:
        program: What to run.
        machine: The machine that it was compiled for.
        mode: How crossbars multiply. `exact`: the integer product; `bit_serial`: digit by digit
            and slice by slice on ideal cells with converters as wide as needed; `adc`: with the
            chip's own converters and noise.
        seed: Of all noise.
        sample: Which chip of a Monte Carlo study: each has programming errors of its own.
    """

    def __init__(
        self,
        program: Program,
        machine: Machine,
        *,
        mode: Mode = "bit_serial",
        seed: int = 0,
        sample: int = 0,
    ) -> None:
        if program.core_count > machine.core_count:
            raise ProgramError(
                f"the program uses {program.core_count} cores, {machine.name} has "
                f"{machine.core_count}"
            )
        self.program = program
        self.machine = machine
        self.crossbars = Crossbars(program, machine, mode, seed=seed, sample=sample)
        check_registers(program)
        bounds = zip(program.core_start[:-1], program.core_start[1:], strict=True)
        streams = [np.array(program.code[begin:end], np.int32) for begin, end in bounds]
        self._rows = [stream.tolist() for stream in streams]
        idle = _fresh(np.zeros((0, len(COLUMNS)), np.int32), np.zeros((0, 2), np.int64))
        self._cores = [
            _fresh(stream, self.crossbars.sizes(core)) if len(stream) else idle
            for core, stream in enumerate(streams)
        ]
        self._memories: list[NDArray[np.uint8]] = []

    def run(
        self, inputs: Mapping[str, NDArray[Any]], *, first_image: int = 0
    ) -> dict[str, NDArray[np.int64]]:
        """Run once for each image.

        Args:
            inputs: Codes by port name, each of shape (images, *port.shape).
            first_image: Number of the first one; an image's read noise depends on its number,
                so that a set of images can be cut into batches.

        Returns:
            Codes by port name, each of shape (images, *port.shape).

        Raises:
            ProgramError: The program breaks a rule of the instruction set.
            UserInputError: An input is missing, or its shape or a code does not fit.
        """
        images = _batch_size(self.program, inputs)
        run = Run(
            self.program,
            self.crossbars,
            Residency(self.program, self.machine),
            self._start(images),
            self._rows,
            images=images,
            first_image=first_image,
        )
        for core, address, values in self.program.images:
            if core == GLOBAL:
                run.global_memory.hold(address, values)
        for port in self.program.inputs:
            run.global_memory.write_port(port, inputs[port.name])
        # the products are small: a second BLAS thread gains little on an idle machine, and on a
        # busy one (a search with several workers) its spinning costs ten times the whole run
        with ThreadpoolController().limit(limits=1, user_api="blas"):
            run.finish()
        return {p.name: run.global_memory.read_port(p) for p in self.program.outputs}

    def _start(self, images: int) -> list[c.CoreArrays]:
        """All cores before time zero.

        Their memories are those of the last run: what it left there is undefined anyway.
        """
        sizes = self.program.local_bytes.tolist()
        if not self._memories or len(self._memories[0]) != images:
            self._memories = [np.empty((images, size), np.uint8) for size in sizes]
        cores = [
            core._replace(
                state=np.zeros_like(core.state),
                registers=np.zeros_like(core.registers),
                memory=memory,
                defined=np.zeros(memory.shape[1], np.uint8),
            )
            if len(core.code) or memory.size
            else core
            for core, memory in zip(self._cores, self._memories, strict=True)
        ]
        for core, address, values in self.program.images:
            if core == GLOBAL:
                continue
            cores[core].memory[:, address : address + len(values)] = values
            cores[core].defined[address : address + len(values)] = 1
        return cores


def _fresh(stream: NDArray[np.int32], groups: NDArray[np.int64]) -> c.CoreArrays:
    """A core before time zero, without memory."""
    vectors = (stream[:, OP] >= Op.VVADD) & (stream[:, OP] <= Op.VVACC)
    longest = int(stream[vectors, IMM].max(initial=1))
    return c.CoreArrays(
        code=stream,
        groups=groups,
        state=np.zeros(c.STATE_SIZE, np.int64),
        registers=np.zeros(REGISTERS, np.int32),
        memory=np.zeros((0, 0), np.uint8),
        defined=np.zeros(0, np.uint8),
        scratch=np.zeros((2, max(1, longest)), np.int64),
    )


def _batch_size(program: Program, inputs: Mapping[str, NDArray[Any]]) -> int:
    sizes: set[int] = set()
    for port in program.inputs:
        if port.name not in inputs:
            raise UserInputError(
                f"input {port.name!r} is missing", hint=f"given are {', '.join(inputs)}"
            )
        sizes.add(_images(port, inputs[port.name]))
    unknown = sorted(set(inputs) - {p.name for p in program.inputs})
    if unknown:
        raise UserInputError(f"the network has no input {unknown[0]!r}")
    if len(sizes) > 1:
        raise UserInputError(f"inputs have different numbers of images: {sorted(sizes)}")
    return sizes.pop() if sizes else 1


def _images(port: Port, codes: NDArray[Any]) -> int:
    if codes.ndim == 0 or codes.shape[1:] != port.shape:
        raise UserInputError(
            f"input {port.name!r} must have shape (images, {', '.join(map(str, port.shape))}), "
            f"not {codes.shape}"
        )
    low, high = port.quantization.low, port.quantization.high
    if codes.size and not (low <= codes.min() and codes.max() <= high):
        raise UserInputError(f"codes of input {port.name!r} must lie within {low} to {high}")
    return len(codes)
