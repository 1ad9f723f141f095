"""Layers cut by their outputs into several, for chips that do not hold one of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from imccompiler.errors import PassError
from imccompiler.ir.attributes import to_attributes
from imccompiler.ir.decisions import IntegerMatmul, Source
from imccompiler.ir.dialect import DigitalOp, MatmulOp, WeightOp, shape_of
from imccompiler.ir.types import dtype_of, tensor_type
from imccompiler.passes.base import CompileContext
from imccompiler.passes.blocks import LayerBlocks, layer_blocks
from imccompiler.passes.build import layer_name
from imccompiler.passes.capacity import does_not_fit
from imccompiler.passes.families import families
from imccompiler.passes.geometry import cut
from imccompiler.passes.kinds import kind_name, stock
from imccompiler.passes.partition import tiling_of
from imccompiler.passes.spread import spread


def blocks_of(op: MatmulOp, context: CompileContext, unroll: int = 1) -> LayerBlocks:
    """How a layer is cut into crossbars.

    Raises:
        PassError: It has no tiling.
    """
    if op.tiling is None or op.integer is None:
        raise PassError("has no tiling", where=layer_name(op), hint="run `partition`")
    return layer_blocks(op, context.machine, op.integer.weight_bits, op.tiling.pack, unroll)


def crossbars_of_copy(op: MatmulOp, context: CompileContext) -> int:
    """Crossbars of one copy of a layer."""
    return int(spread(blocks_of(op, context), 1, 1).crossbars.sum())


def crossbars_of_unit(op: MatmulOp, context: CompileContext) -> int:
    """Crossbars of the fewest outputs that a layer can be cut into; one with groups cannot."""
    blocks = blocks_of(op, context)
    if op.window.groups > 1:
        return crossbars_of_copy(op, context)
    return int(spread(blocks, 1, len(blocks.column_units)).crossbars.sum(axis=0).max())


def cut_outputs(module: ModuleOp, context: CompileContext, capacities: Mapping[str, int]) -> None:
    """Replace products that need more crossbars than there are by some with fewer outputs each.

    `capacities` are those of some kinds of core; layers on others stay. The results are put side by
    side again. Of a family all members are cut alike.

    Raises:
        DoesNotFitError: The fewest outputs that can be told apart need too many.
    """
    for family in families(module):
        kind = kind_name(family[0], context.machine)
        if kind not in capacities:
            continue
        needed, capacity = crossbars_of_copy(family[0], context), capacities[kind]
        if needed <= capacity:
            continue
        blocks, each = blocks_of(family[0], context), crossbars_of_unit(family[0], context)
        if each > capacity:
            of = stock(context.machine)[kind]
            raise does_not_fit(needed, capacity, of.count, layer_name(family[0]), of.told)
        units = blocks.column_units
        parts = cut(len(units), -(-len(units) // (capacity // each)))
        ranges = [(units[a][0], units[b - 1][1]) for a, b in parts]
        weights = _weights(family[0], ranges, context)
        for op in family:
            _replace(op, ranges, weights, context)


def _weights(
    op: MatmulOp, ranges: list[tuple[int, int]], context: CompileContext
) -> list[WeightOp]:
    """The weight of each range of outputs, ahead of the first member of the family."""
    owner = op.weight.owner
    if not isinstance(owner, WeightOp) or op.parent is None:
        raise PassError("its weight is not a constant", where=layer_name(op))
    key, whole = owner.key.data, context.store[owner.key.data]
    made: list[WeightOp] = []
    for c0, c1 in ranges:
        part = whole[c0:c1] if op.window.kernel else whole[:, c0:c1]
        weight = WeightOp(
            context.store.add(f"{key}[{c0}:{c1}]", part), tensor_type(part.shape, part.dtype)
        )
        op.parent.insert_op_before(weight, op)
        made.append(weight)
    return made


def _replace(
    op: MatmulOp, ranges: list[tuple[int, int]], weights: list[WeightOp], context: CompileContext
) -> None:
    block, source, integer = op.parent, op.source, op.integer
    if block is None or source is None or integer is None:
        raise PassError("is not quantised", where=layer_name(op), hint="run `quantize`")
    shape = shape_of(op.result)
    axis = 1 if op.window.kernel else len(shape) - 1
    results: list[SSAValue] = []
    for (c0, c1), weight in zip(ranges, weights, strict=True):
        part = MatmulOp(
            op.input,
            weight.result,
            _bias(op, c0, c1, context),
            tensor_type((*shape[:axis], c1 - c0, *shape[axis + 1 :]), dtype_of(op.result)),
            window=op.window,
            activation=op.activation.data,
            source=replace(source, node=f"{source.node}[{c0}:{c1}]"),
        )
        part.properties["quant"] = op.properties["quant"]
        part.properties["integer"] = _sliced(integer, op, c0, c1, context)
        if op.kind is not None:
            part.properties["kind"] = op.kind
        block.insert_op_before(part, op)
        part.properties["tiling"] = tiling_of(
            layer_blocks(part, context.machine, integer.weight_bits)
        )
        results.append(part.result)
    joined = DigitalOp(
        "Concat",
        results,
        op.result.type,
        to_attributes({"axis": axis}),
        Source(f"{source.node}/joined", "Concat"),
    )
    joined.properties["quant"] = op.properties["quant"]
    block.insert_op_before(joined, op)
    op.result.replace_all_uses_with(joined.result)
    op.detach()
    op.erase()


def _bias(op: MatmulOp, c0: int, c1: int, context: CompileContext) -> SSAValue | None:
    if op.bias is None or op.parent is None:
        return None
    owner = op.bias.owner
    if not isinstance(owner, WeightOp):
        raise PassError("its bias is not a constant", where=layer_name(op))
    key = owner.key.data
    part = context.store[key][c0:c1]
    weight = WeightOp(
        context.store.add(f"{key}[{c0}:{c1}]", part), tensor_type(part.shape, part.dtype)
    )
    op.parent.insert_op_before(weight, op)
    return weight.result


def _sliced(
    integer: IntegerMatmul, op: MatmulOp, c0: int, c1: int, context: CompileContext
) -> IntegerMatmul:
    """The integer form of some outputs."""

    def part(key: str, *, weight: bool = False) -> str:
        array = context.store[key]
        some = array[:, c0:c1] if weight and not op.window.kernel else array[c0:c1]
        return context.store.add(f"{key}[{c0}:{c1}]", some)

    return replace(
        integer,
        weight=part(integer.weight, weight=True),
        bias=part(integer.bias),
        multiplier=part(integer.multiplier),
        shift=part(integer.shift),
    )
