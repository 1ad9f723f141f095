"""The program artefact: everything that the simulators need, as immutable tables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.ir.host import on_host
from imccompiler.program.isa import Code

FORMAT_VERSION = 1

GROUP_COLUMNS = ("core", "group", "first_tile", "tiles", "rows", "outputs", "crossbars")
TILE_COLUMNS = (
    "core",
    "crossbar",
    "row_offset",  # first driven word line
    "column_offset",  # first bit line
    "matrix",  # index into `Program.matrix_names`
    "matrix_row",
    "rows",
    "matrix_column",
    "columns",  # whole weights, not bit lines
    "output",  # position of the first column among the group's outputs
    "input",  # position of the first row among the group's inputs
)


GLOBAL = -1
"""In place of a core's number: the global memory."""


@dataclass(frozen=True, slots=True)
class Quantization:
    """An affine code: real value = scale * (code - zero_point), codes two's complement."""

    scale: float
    zero_point: int
    bits: int

    @property
    def low(self) -> int:
        """Smallest code."""
        return -(1 << (self.bits - 1))

    @property
    def high(self) -> int:
        """Largest code."""
        return (1 << (self.bits - 1)) - 1


@dataclass(frozen=True, slots=True)
class Port:
    """A network input or output in global memory.

    The bytes at `address` are the codes of the tensor in the order of its axes `layout`
    (for a channel-last image of an NCHW tensor: (0, 2, 3, 1)).
    """

    name: str
    shape: tuple[int, ...]
    layout: tuple[int, ...]
    quantization: Quantization
    address: int


@dataclass(frozen=True, slots=True)
class Operand:
    """One operand block of a digital function, as it lies in local memory."""

    shape: tuple[int, ...]  # ONNX order
    layout: tuple[int, ...]  # order of the axes in memory
    quantization: Quantization


@dataclass(frozen=True, slots=True)
class Function:
    """A digital function that `vfun` calls: an ONNX operator on quantised blocks.

    With a domain in front of its name, such as `ai.onnx.GridSample`, the host computes it.

    `constants` maps operand positions to float arrays (such as a LayerNormalization's
    scale); the other positions are taken from `operands` in order.
    """

    op_type: str
    attributes: Mapping[str, Any]
    operands: tuple[Operand, ...]
    result: Operand
    constants: Mapping[int, NDArray[np.float32]] = field(default_factory=dict[int, Any])
    macs: int = 0  # of a product of two activations, else 0

    @property
    def on_host(self) -> bool:
        """Whether the host computes it."""
        return on_host(self.op_type)


@dataclass(frozen=True, slots=True)
class Program:
    """A program for one machine.

    Attributes:
        code: Instructions of all cores, core after core, shape (n, 7); columns in `isa.COLUMNS`.
        core_start: First instruction of each core and the end, shape (cores + 1,).
        groups: Crossbar groups, columns in `GROUP_COLUMNS`, sorted by core and group.
        tiles: Weight tiles on crossbars, columns in `TILE_COLUMNS`.
        matrices: Weight codes by name, each (rows, columns), as the tiles cut them.
        images: Constant bytes in memory before time zero: (core, address, bytes); the core is
            `GLOBAL` for the global memory.
        functions: What `vfun` calls.
        inputs, outputs: Where the network's tensors lie in global memory.
        layers: Names of the layers that the column `layer` counts.
        weight_bits, input_bits: Widths of the weight codes and of `mvmul` inputs.
        local_bytes: Local memory used by each core, shape (cores,).
        global_bytes: Global memory used.
    """

    code: Code
    core_start: NDArray[np.int64]
    groups: NDArray[np.int32]
    tiles: NDArray[np.int32]
    matrices: Mapping[str, NDArray[np.int16]]
    images: tuple[tuple[int, int, NDArray[np.uint8]], ...]
    functions: tuple[Function, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    layers: tuple[str, ...]
    weight_bits: int
    input_bits: int
    local_bytes: NDArray[np.int64]
    global_bytes: int

    @property
    def core_count(self) -> int:
        """Cores that the program addresses."""
        return len(self.core_start) - 1

    @property
    def matrix_names(self) -> tuple[str, ...]:
        """Names of the matrices in the order that tiles count them."""
        return tuple(self.matrices)
