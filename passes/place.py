"""`place`: which core holds which part of which layer."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp

from imccompiler.cost.machine import MachineTiming
from imccompiler.errors import PassError
from imccompiler.ir.decisions import Placement
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, ImcPass, SolverRecord
from imccompiler.passes.blocks import layer_blocks, parts_of_copy
from imccompiler.passes.build import layer_name
from imccompiler.passes.geometry import Box, cut_grid
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.options import part_time_ns
from imccompiler.passes.replicate import does_not_fit


@dataclass(frozen=True, slots=True)
class Demand:
    """The parts of one layer, copy after copy."""

    op: MatmulOp
    crossbars: NDArray[np.int64]  # of each part
    centre: NDArray[np.float64]  # of each part's outputs on the unit square, shape (parts, 2)
    time_ns: float  # busy time of a part


@dataclass(frozen=True)
class PlacePass(ImcPass):
    """Decides `placement` of every matrix product.

    Layers with large parts are placed first, the parts of one layer on different cores while
    there are any. Cores are compared by free crossbars, by load, and by how much of
    the part's input they have at hand.

    On entry: every `imc.matmul` has a replication. On exit: every one has a placement, and no
    core holds more crossbars than it has.
    """

    name: ClassVar[str] = "place"

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Place layer after layer."""
        began = time.perf_counter()
        machine = context.machine
        demands = demands_of(module, context)
        capacity = np.full(machine.core_count, machine.main_kind.crossbars, np.int64)
        load = np.zeros(machine.core_count)
        for demand in demands:
            if demand.op.placement is not None:
                _take(demand, np.array(demand.op.placement.cores), capacity, load)
        positions = _core_positions(machine.core_count, machine.chip.grid[1])
        for demand in sorted(demands, key=lambda d: -int(d.crossbars.max())):
            if demand.op.placement is None:
                cores = place_layer(demand, capacity, load, positions)
                if cores is None:
                    raise does_not_fit(
                        int(demand.crossbars.sum()), int(capacity.sum()), machine.core_count
                    )
                _take(demand, cores, capacity, load)
                demand.op.properties["placement"] = Placement(tuple(int(c) for c in cores))
        busiest, mean = float(load.max(initial=0.0)), float(load.mean()) if load.size else 0.0
        context.solver_records.append(
            SolverRecord(
                self.name, "greedy", "heuristic", busiest, mean, time.perf_counter() - began
            )
        )


def demands_of(module: ModuleOp, context: CompileContext) -> list[Demand]:
    """What the layers need of cores."""
    layouts = assign_layouts(module)
    times = MachineTiming.of(context.machine)
    demands: list[Demand] = []
    for op in module.body.block.ops:
        if not isinstance(op, MatmulOp):
            continue
        if op.tiling is None or op.integer is None or op.replication is None:
            raise PassError("is not replicated", where=layer_name(op), hint="run `replicate`")
        r = op.replication
        blocks = layer_blocks(op, context.machine, op.integer.weight_bits, op.tiling.pack)
        parts = parts_of_copy(blocks, r.row_split, r.column_split)
        sizes = np.array([p.crossbars(blocks.columns_per_crossbar) for p in parts], np.int64)
        boxes = cut_grid(layouts[op.result].whole, (r.grid[0], r.grid[1]))
        tile = max(boxes, key=lambda b: b.positions)
        demands.append(
            Demand(
                op,
                np.tile(sizes, len(boxes)),
                np.repeat(_centres(boxes, layouts[op.result].whole), len(parts), axis=0),
                part_time_ns(op, blocks, parts, tile, r.row_split, times, context.machine),
            )
        )
    return demands


def _centres(boxes: list[Box], whole: Box) -> NDArray[np.float64]:
    return np.array(
        [[(b.y0 + b.y1) / 2 / whole.height, (b.x0 + b.x1) / 2 / whole.width] for b in boxes]
    )


def _core_positions(cores: int, columns: int) -> NDArray[np.float64]:
    """Each core's place on the unit square."""
    index = np.arange(cores)
    rows = -(-cores // columns)
    return np.stack([(index // columns + 0.5) / rows, (index % columns + 0.5) / columns], axis=1)


def _take(
    demand: Demand, cores: NDArray[np.int64], capacity: NDArray[np.int64], load: NDArray[np.float64]
) -> None:
    np.subtract.at(capacity, cores, demand.crossbars)
    np.add.at(load, cores, demand.time_ns)
    if capacity.min() < 0:
        core = int(capacity.argmin())
        raise PassError(
            f"core {core} would hold {-int(capacity[core])} crossbars too many",
            where=layer_name(demand.op),
        )


def place_layer(
    demand: Demand,
    capacity: NDArray[np.int64],
    load: NDArray[np.float64],
    positions: NDArray[np.float64],
) -> NDArray[np.int64] | None:
    """Cores of a layer's parts, None if there is no room.

    Parts that need much go first. A core is taken twice for one layer only when no other has
    room. Among cores with room, one near the picture's place is preferred, so that neighbouring
    layers keep the same region of the picture on the same core.
    """
    left = capacity.copy()
    used = np.zeros(len(left), np.int64)
    cores = np.full(len(demand.crossbars), -1, np.int64)
    spread = load / max(float(load.max(initial=0.0)), 1.0)
    for part in np.argsort(-demand.crossbars, kind="stable"):
        need = demand.crossbars[part]
        fits = left >= need
        if not fits.any():
            return None
        distance = np.abs(positions - demand.centre[part]).sum(axis=1)
        score = used * 1e3 + distance + spread - 0.2 * left / max(int(capacity.max()), 1)
        score[~fits] = np.inf
        core = int(score.argmin())
        cores[part] = core
        used[core] += 1
        left[core] -= need
    return cores
