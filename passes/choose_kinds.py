"""What each kind of core offers to the layers, and which offers they take: for `partition`.

Each layer has offers on each kind of core with crossbars: copies and splits with their crossbars
and their time, as `replicate` has them, or one copy with its energy. `market` chooses among them.

A network that is larger than the chip gets its weights in segments on one kind of core, if that
will do, and keeps those on the others: as many crossbars of that kind as it wants, each at the cost
of loading it. The kind is that of least total cost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from imccompiler.cost.energy import combined, ld_pj, mvmul_pj, mvwr_pj, total_pj
from imccompiler.errors import DoesNotFitError
from imccompiler.hardware.weights import outputs_per_crossbar
from imccompiler.ir.decisions import Replication
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext
from imccompiler.passes.blocks import LayerBlocks, layer_blocks
from imccompiler.passes.build import layer_name
from imccompiler.passes.families import families
from imccompiler.passes.geometry import Box
from imccompiler.passes.kinds import Stock, stock
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.market import Market, Offer
from imccompiler.passes.options import options_on, smallest_largest_part
from imccompiler.passes.reloads import reload_ns_per_crossbar, weight_bytes
from imccompiler.passes.spread import copies_busy_ns, spread


def choose_kinds(module: ModuleOp, context: CompileContext) -> Iterator[tuple[MatmulOp, str]]:
    """The kind of every matrix product that has none, for products with the same weights one.

    The cost is time for latency and for throughput, and energy for energy.

    Raises:
        DoesNotFitError: A layer fits no kind of core, even by itself.
    """
    kinds, layouts = stock(context.machine), assign_layouts(module)
    together = families(module)
    offers = [
        _offers(family, layouts[family[0].result].whole, list(kinds.values()), context)
        for family in together
    ]
    names, market = list(kinds), Market.of(offers, len(kinds))
    room = np.array([of.crossbars for of in kinds.values()], np.int64)
    chosen = market.choose(room, slowest=context.objective == "throughput")
    if chosen is None:
        rewritable = np.array([of.kind.cell.rewritable for of in kinds.values()])
        load = np.array([_load_cost(of, context) for of in kinds.values()])
        chosen = market.choose_loaded(room, rewritable, load)
    for family, kind in zip(together, chosen.tolist(), strict=True):
        for op in family:
            if op.kind is None:
                yield op, names[kind]


def _load_cost(of: Stock, context: CompileContext) -> float:
    """Cost of bringing the weights of a crossbar from the global memory."""
    if context.objective != "energy":
        return reload_ns_per_crossbar(context, of.name)
    machine = context.machine
    weights = of.kind.crossbar.rows * outputs_per_crossbar(of.kind, machine.weight_bits)
    size = weight_bytes(weights, machine.weight_bits)
    spent = combined([(1, ld_pj(machine, of.kind, size)), (1, mvwr_pj(of.kind, 1))])
    return float(total_pj(spent))


def _offers(
    family: Sequence[MatmulOp], whole: Box, kinds: Sequence[Stock], context: CompileContext
) -> list[Offer]:
    """What each kind of core offers to layers with the same weights.

    Raises:
        DoesNotFitError: None offers anything.
    """
    op = family[0]
    able = [index for index, of in enumerate(kinds) if _suits(op, of, context)]
    found = [o for i in able for o in _offers_of(i, kinds[i], op, whole, context)]
    if not found:
        raise _fits_none(op, [kinds[i] for i in able] or list(kinds), context)
    return [o._replace(cost=o.cost * len(family)) for o in found]


def _suits(op: MatmulOp, of: Stock, context: CompileContext) -> bool:
    """Whether decisions that stand leave a kind open, and a weight fits its crossbars."""
    if op.kind is not None and op.kind.cores != of.name:
        return False
    if op.placement is not None and not of.cores[list(op.placement.cores)].all():
        return False
    if not outputs_per_crossbar(of.kind, context.machine.weight_bits):
        return False
    standing = op.tiling
    if standing is None:
        return True
    blocks = _blocks(op, of, context)
    return (standing.rows, standing.slices) == (blocks.row_blocks, blocks.slices)


def _blocks(op: MatmulOp, of: Stock, context: CompileContext, unroll: int = 1) -> LayerBlocks:
    bits = op.integer.weight_bits if op.integer is not None else 0
    pack = op.tiling.pack if op.tiling is not None else 0
    return layer_blocks(op, context.machine, bits, pack, unroll, of.kind)


def _offers_of(
    index: int, of: Stock, op: MatmulOp, whole: Box, context: CompileContext
) -> list[Offer]:
    """What a kind of core offers to a layer; nothing if it has no room for a part of it.

    A copy that is larger than all its crossbars is one that `segment` cuts, if it can.
    """
    if op.replication is not None:
        return _standing(index, of, op, whole, context)
    pack = op.tiling.pack if op.tiling is not None else 0
    options = options_on(of.name, op, whole, context, pack)
    offers = [Offer(index, o.crossbars, o.time_ns) for o in options]
    if context.objective == "energy":
        energy_pj = [_energy_pj(op, of, whole, o.unroll, context) for o in options[:1]]
        offers = [o._replace(cost=pj) for o, pj in zip(offers, energy_pj, strict=False)]
    fitting = [o for o in offers if o.crossbars <= of.crossbars]
    if fitting or not of.kind.cell.rewritable or op.window.groups > 1:
        return fitting
    return [_replicated(index, of, op, whole, Replication(1), context)]


def _standing(
    index: int, of: Stock, op: MatmulOp, whole: Box, context: CompileContext
) -> list[Offer]:
    """What a replication that stands amounts to on a kind of core, if it is one there."""
    r = op.replication
    if r is None:
        return []
    copy = spread(_blocks(op, of, context, r.unroll), r.row_split, r.column_split)
    fits = copy.crossbars.shape == (r.row_split, r.column_split)
    if not fits or copy.crossbars.max() > of.kind.crossbars:
        return []
    return [_replicated(index, of, op, whole, r, context)]


def _replicated(
    index: int, of: Stock, op: MatmulOp, whole: Box, r: Replication, context: CompileContext
) -> Offer:
    """A replication on a kind of core."""
    blocks = _blocks(op, of, context, r.unroll)
    copy = spread(blocks, r.row_split, r.column_split)
    crossbars = r.copies * int(copy.crossbars.sum())
    if context.objective == "energy":
        return Offer(index, crossbars, _energy_pj(op, of, whole, r.unroll, context))
    outputs, integers = [blocks.grouped(whole)], [op.integer] if op.integer is not None else []
    time_ns = copies_busy_ns([copy], outputs, [r.grid], integers, [of.name], context)
    return Offer(index, crossbars, time_ns[0])


def _energy_pj(op: MatmulOp, of: Stock, whole: Box, unroll: int, context: CompileContext) -> float:
    """Energy of a layer's products for one image, with their reads and writes of local memory."""
    if op.integer is None:
        return 0.0
    blocks = _blocks(op, of, context, unroll)
    widths = context.machine.weight_bits, context.machine.activation_bits
    window = sum(
        total_pj(mvmul_pj(of.kind, *widths, columns, op.integer.accumulator_bits, rows))
        for rows, columns in spread(blocks, 1, 1).busiest.shapes(blocks.columns_per_crossbar)
    )
    return window * blocks.grouped(whole).positions


def _fits_none(op: MatmulOp, kinds: Sequence[Stock], context: CompileContext) -> DoesNotFitError:
    """Why no kind of core can hold a layer, kind by kind."""
    told: list[str] = []
    demands: list[tuple[int, int]] = []
    for of in kinds:
        if not outputs_per_crossbar(of.kind, context.machine.weight_bits):
            told.append(f"{of.name!r} cannot hold one weight side by side")
            continue
        blocks = _blocks(op, of, context)
        needed = int(spread(blocks, 1, 1).crossbars.sum())
        if needed > of.crossbars:
            demands.append((needed, of.crossbars))
            told.append(f"of kind {of.name!r} it needs {needed} crossbars of {of.crossbars}")
        else:
            part, room = smallest_largest_part(blocks, of.count), of.kind.crossbars
            demands.append((part, room))
            told.append(f"on kind {of.name!r} a part needs {part} crossbars, a core has {room}")
    demand, capacity = min(demands, key=lambda d: d[0] / max(d[1], 1), default=(1, 0))
    return DoesNotFitError(
        "the layer fits no kind of core: " + "; ".join(told),
        demand=demand,
        capacity=capacity,
        unit="crossbars",
        levers=(
            "use more or larger cores of one of these kinds",
            "use cells with more bits, or fewer weight bits",
            "use a machine with cell.rewritable: weights then come in segments",
        ),
        where=layer_name(op),
    )
