"""`place`: which core holds which part of which layer."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from imccompiler.cost.machine import MachineTiming
from imccompiler.errors import DoesNotFitError, PassError
from imccompiler.hardware.schema import Machine
from imccompiler.ir.decisions import Placement, Replication
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, ImcPass, SolverRecord
from imccompiler.passes.blocks import layer_blocks, parts_of_copy
from imccompiler.passes.build import layer_name
from imccompiler.passes.capacity import does_not_fit, no_room
from imccompiler.passes.geometry import Box, Layout, cut_grid
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.options import part_time_ns

TWICE = 1e3  # a second part of a layer on a core: only if nothing else has room
SPREAD = 1.0  # weight of a core's load beside distances on the unit square
ROOM = 0.2  # weight of a core's free crossbars


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """The parts of one layer, copy after copy.

    Attributes:
        op: The layer.
        crossbars: Of each part, shape (parts,).
        centre: Of each part's outputs on the unit square, shape (parts, 2).
        time_ns: Busy time of a part.
        cores: Where the parts stand already, None if that is open.
    """

    op: MatmulOp
    crossbars: NDArray[np.int64]
    centre: NDArray[np.float64]
    time_ns: float
    cores: NDArray[np.int64] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Placed:
    """Cores of each demand's parts, and what the cores have left and have to do."""

    cores: list[NDArray[np.int64]]
    free: NDArray[np.int64]
    load_ns: NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False)
class NoRoom:
    """A part of a layer that needs more crossbars than the emptiest core has left."""

    op: MatmulOp
    crossbars: int
    largest_free: int


@dataclass(frozen=True)
class PlacePass(ImcPass):
    """Decides `placement` of every matrix product.

    Layers with large parts are placed first, the parts of one layer on different cores while
    there are any. Cores are compared by load, by free crossbars, and by how near they lie to
    the place of the part's outputs in the picture, so that neighbouring layers keep the
    same region of the picture on the same core.

    On entry: every `imc.matmul` has a replication. On exit: every one has a placement, and no
    core holds more crossbars than it has.
    """

    name: ClassVar[str] = "place"

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Place layer after layer."""
        began = time.perf_counter()
        machine = context.machine
        layouts = assign_layouts(module)
        demands: list[Demand] = []
        for op in module.body.block.ops:
            if isinstance(op, MatmulOp):
                if op.replication is None:
                    raise PassError("has no copies", where=layer_name(op), hint="run `replicate`")
                demands.append(demand(op, op.replication, layouts[op.result], context))
        placed = place_parts(demands, machine)
        if isinstance(placed, NoRoom):
            raise misfit(demands, placed, machine)
        for d, cores in zip(demands, placed.cores, strict=True):
            if d.op.placement is None:
                d.op.properties["placement"] = Placement(tuple(int(c) for c in cores))
        busiest = float(placed.load_ns.max(initial=0.0))
        mean = float(placed.load_ns.sum()) / machine.core_count
        seconds = time.perf_counter() - began
        context.solver_records.append(
            SolverRecord(self.name, "greedy", "heuristic", busiest, mean, seconds)
        )


def demand(
    op: MatmulOp, replication: Replication, layout: Layout, context: CompileContext
) -> Demand:
    """What a layer needs of the cores if it is replicated so.

    Raises:
        PassError: The layer is not quantised or not tiled.
    """
    if op.tiling is None or op.integer is None:
        raise PassError("is not tiled", where=layer_name(op), hint="run `partition`")
    machine = context.machine
    bits, pack = op.integer.weight_bits, op.tiling.pack
    blocks = layer_blocks(op, machine, bits, pack, replication.unroll)
    whole = blocks.grouped(layout.whole)
    parts = parts_of_copy(blocks, replication.row_split, replication.column_split)
    sizes = np.array([p.crossbars(blocks.columns_per_crossbar) for p in parts], np.int64)
    boxes = cut_grid(whole, (replication.grid[0], replication.grid[1]))
    tile = max(boxes, key=lambda b: b.positions)
    times = MachineTiming.of(machine)
    standing = op.placement
    return Demand(
        op,
        np.tile(sizes, len(boxes)),
        np.repeat(_centres(boxes, whole), len(parts), axis=0),
        part_time_ns(op, blocks, parts, tile, replication.row_split, times, machine),
        None if standing is None else np.array(standing.cores, np.int64),
    )


def misfit(demands: Sequence[Demand], failed: NoRoom, machine: Machine) -> DoesNotFitError:
    """Why parts cannot be placed: too few crossbars in all, or none of the cores has enough."""
    needed = sum(int(d.crossbars.sum()) for d in demands)
    capacity = machine.main_kind.crossbars * machine.core_count
    if needed > capacity:
        return does_not_fit(needed, capacity, machine.core_count)
    layer = layer_name(failed.op)
    return no_room(layer, failed.crossbars, failed.largest_free, machine.core_count)


def place_parts(demands: Sequence[Demand], machine: Machine) -> Placed | NoRoom:
    """Cores of all parts, or the part that finds no room.

    Raises:
        PassError: A placement that stands asks too much of a core.
    """
    free = np.full(machine.core_count, machine.main_kind.crossbars, np.int64)
    load = np.zeros(machine.core_count)
    cores: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(demands)
    positions = _core_positions(machine.core_count, machine.chip.grid[1])
    largest = [-int(d.crossbars.max()) if d.cores is None else -(1 << 30) for d in demands]
    for index in np.argsort(largest, kind="stable").tolist():
        d = demands[index]
        found = d.cores if d.cores is not None else _place_layer(d, free, load, positions)
        if isinstance(found, NoRoom):
            return found
        np.subtract.at(free, found, d.crossbars)
        np.add.at(load, found, d.time_ns)
        if free.min() < 0:
            core = int(free.argmin())
            raise PassError(
                f"core {core} would hold {-int(free[core])} crossbars too many",
                where=layer_name(d.op),
                hint="change the placement that stands",
            )
        cores[index] = found
    return Placed(cores, free, load)


def _centres(boxes: list[Box], whole: Box) -> NDArray[np.float64]:
    return np.array(
        [[(b.y0 + b.y1) / 2 / whole.height, (b.x0 + b.x1) / 2 / whole.width] for b in boxes]
    )


def _core_positions(cores: int, columns: int) -> NDArray[np.float64]:
    """Each core's place on the unit square."""
    index = np.arange(cores)
    rows = -(-cores // columns)
    return np.stack([(index // columns + 0.5) / rows, (index % columns + 0.5) / columns], axis=1)


def _place_layer(
    d: Demand, free: NDArray[np.int64], load: NDArray[np.float64], positions: NDArray[np.float64]
) -> NDArray[np.int64] | NoRoom:
    """Cores of a layer's parts, those that need most first."""
    left = free.copy()
    used = np.zeros(len(left), np.int64)
    cores = np.full(len(d.crossbars), -1, np.int64)
    fixed = SPREAD * load / max(float(load.max(initial=0.0)), 1.0)
    room = ROOM / max(int(free.max()), 1)
    for part in np.argsort(-d.crossbars, kind="stable").tolist():
        need = d.crossbars[part]
        distance = np.abs(positions - d.centre[part]).sum(axis=1)
        score = used * TWICE + distance + fixed - room * left
        score[left < need] = np.inf
        core = int(score.argmin())
        if left[core] < need:
            return NoRoom(d.op, int(need), int(left.max()))
        cores[part] = core
        used[core] += 1
        left[core] -= need
    return cores
