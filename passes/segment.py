"""`segment`: which layers are resident when. All at once, if the chip holds them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.dialects.builtin import ModuleOp

from imccompiler.errors import PassError
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, ImcPass
from imccompiler.passes.blocks import layer_blocks, parts_of_copy
from imccompiler.passes.build import layer_name
from imccompiler.passes.capacity import does_not_fit


@dataclass(frozen=True)
class SegmentPass(ImcPass):
    """Checks that one copy of every layer fits the chip's crossbars.

    On entry: every `imc.matmul` has a tiling. On exit: all weights are resident at once.
    Raises `DoesNotFitError` with the demand and the levers otherwise.
    """

    name: ClassVar[str] = "segment"

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Add up one copy of each layer."""
        machine = context.machine
        demand = 0
        for op in module.body.block.ops:
            if not isinstance(op, MatmulOp):
                continue
            if op.tiling is None or op.integer is None:
                raise PassError("has no tiling", where=layer_name(op), hint="run `partition`")
            blocks = layer_blocks(op, machine, op.integer.weight_bits, op.tiling.pack)
            (part,) = parts_of_copy(blocks, 1, 1)
            demand += part.crossbars(blocks.columns_per_crossbar)
        capacity = machine.main_kind.crossbars * machine.core_count
        if demand > capacity:
            raise does_not_fit(demand, capacity, machine.core_count)
