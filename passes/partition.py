"""`partition`: cut every weight matrix into row blocks, column blocks and bit slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.dialects.builtin import ModuleOp

from imccompiler.errors import PassError
from imccompiler.ir.decisions import Tiling
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, ImcPass
from imccompiler.passes.blocks import LayerBlocks, layer_blocks
from imccompiler.passes.build import layer_name


@dataclass(frozen=True)
class PartitionPass(ImcPass):
    """Decides `tiling` of every matrix product.

    Small convolution groups are packed onto common crossbars, block-diagonally, as many as fit;
    a `tiling` that stands keeps its `pack`, and its other fields are verified.

    On entry: every `imc.matmul` is quantised. On exit: every one has a tiling.
    """

    name: ClassVar[str] = "partition"

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Decide or verify each tiling."""
        for op in module.body.block.ops:
            if not isinstance(op, MatmulOp):
                continue
            if op.integer is None:
                raise PassError("is not quantised", where=layer_name(op), hint="run `quantize`")
            standing = op.tiling
            pack = standing.pack if standing is not None else 0
            blocks = layer_blocks(op, context.machine, op.integer.weight_bits, pack)
            tiling = tiling_of(blocks)
            if standing is not None and standing != tiling:
                raise PassError(
                    f"{standing} stands, but pack {pack} makes it {tiling}",
                    where=layer_name(op),
                    hint="pin `pack` alone, with the other fields as computed",
                )
            op.properties["tiling"] = tiling


def tiling_of(blocks: LayerBlocks) -> Tiling:
    """The decision that describes some blocks."""
    pack = blocks.packs[0]
    columns = -(-(pack.out1 - pack.out0) // blocks.columns_per_crossbar)
    return Tiling(blocks.row_blocks, columns, blocks.slices, blocks.pack)
