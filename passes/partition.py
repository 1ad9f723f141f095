"""`partition`: the kind of core of every weight matrix, and its cut into blocks and bit slices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from xdsl.dialects.builtin import ModuleOp

from imccompiler.errors import PassError
from imccompiler.hardware.cores import crossbar_kinds
from imccompiler.ir.decisions import Kind, Tiling
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, ImcPass
from imccompiler.passes.blocks import LayerBlocks, layer_blocks
from imccompiler.passes.build import layer_name
from imccompiler.passes.choose_kinds import choose_kinds
from imccompiler.passes.kinds import kind_name


@dataclass(frozen=True)
class PartitionPass(ImcPass):
    """Decides `tiling` of every matrix product, and its `kind` where the machine has several.

    Kinds of core are chosen as `choose_kinds` says; a `kind` that stands is kept. Small convolution
    groups are packed onto common crossbars, block-diagonally, as many as fit; a `tiling` that
    stands keeps its `pack`, and its other fields are verified.

    On entry: every `imc.matmul` is quantised. On exit: every one has a tiling, and a kind where
    several kinds of core have crossbars.
    """

    name: ClassVar[str] = "partition"

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Decide or verify each kind and tiling."""
        ops = [op for op in module.body.block.ops if isinstance(op, MatmulOp)]
        for op in ops:
            if op.integer is None:
                raise PassError("is not quantised", where=layer_name(op), hint="run `quantize`")
            kind_name(op, context.machine)  # verifies the one that stands
        if len(crossbar_kinds(context.machine)) > 1:
            for op, kind in choose_kinds(module, context):
                op.properties["kind"] = Kind(kind)
        for op in ops:
            op.properties["tiling"] = _tiling(op, context)


def _tiling(op: MatmulOp, context: CompileContext) -> Tiling:
    """The tiling of a layer on its kind of core.

    Raises:
        PassError: Another one stands.
    """
    standing = op.tiling
    pack = standing.pack if standing is not None else 0
    bits = op.integer.weight_bits if op.integer is not None else 0
    tiling = tiling_of(layer_blocks(op, context.machine, bits, pack))
    if standing is not None and standing != tiling:
        raise PassError(
            f"{standing} stands, but pack {pack} makes it {tiling}",
            where=layer_name(op),
            hint="pin `pack` alone, with the other fields as computed",
        )
    return tiling


def tiling_of(blocks: LayerBlocks) -> Tiling:
    """The decision that describes some blocks."""
    pack = blocks.packs[0]
    columns = -(-(pack.out1 - pack.out0) // blocks.columns_per_crossbar)
    return Tiling(blocks.row_blocks, columns, blocks.slices, blocks.pack)
