"""`place`: which core holds which part of which layer."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import SSAValue

from imccompiler.cost.places import Places
from imccompiler.errors import DoesNotFitError, PassError
from imccompiler.hardware.cores import of_cores
from imccompiler.hardware.schema import Machine
from imccompiler.ir.decisions import IntegerMatmul, Placement, Replication
from imccompiler.ir.dialect import MatmulOp
from imccompiler.passes.base import CompileContext, ImcPass, SolverRecord
from imccompiler.passes.blocks import layer_blocks
from imccompiler.passes.build import layer_name
from imccompiler.passes.capacity import does_not_fit, no_room
from imccompiler.passes.families import families, share
from imccompiler.passes.geometry import Box, Layout, cut
from imccompiler.passes.kinds import Stock, kind_name, stock
from imccompiler.passes.layouts import assign_layouts
from imccompiler.passes.spread import Spread, copies_busy_ns, spread

PLACED = "placed"
TWICE = 1e3  # a second part of a layer on a core: only if nothing else has room
SPREAD = 1.0  # weight of a core's load beside distances on the unit square
ROOM = 0.2  # weight of a core's free crossbars
SCANNED = 4096  # cores up to which all are looked at for every part
ROUNDING = 1e-9  # of scores


@dataclass(frozen=True, slots=True, eq=False)
class Demand:
    """The parts of one layer, copy after copy.

    Attributes:
        op: The layer.
        crossbars: Of each part, shape (parts,).
        centre: Of each copy's outputs on the unit square, shape (copies, 2).
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

    On entry: every `imc.matmul` has a replication. On exit: every one has a placement on cores of
    its kind, and no core holds more crossbars than it has.
    """

    name: ClassVar[str] = "place"

    def run(self, context: CompileContext, module: ModuleOp) -> None:
        """Place layer after layer."""
        began = time.perf_counter()
        machine = context.machine
        placed = context.analysis(PLACED, module, lambda: _place_all(context, module))
        together = [family for each in by_segment(module) for family in each]
        for family, cores in zip(together, placed.cores, strict=True):
            if family[0].placement is None:
                family[0].properties["placement"] = Placement(tuple(cores.tolist()))
            share(family, "placement")
        busiest = float(placed.load_ns.max(initial=0.0))
        mean = float(placed.load_ns.sum()) / machine.core_count
        seconds = time.perf_counter() - began
        context.solver_records.append(
            SolverRecord(self.name, "greedy", "heuristic", busiest, mean, seconds)
        )


def _place_all(context: CompileContext, module: ModuleOp) -> Placed:
    """Where the parts of a module's layers go if `replicate` has not found that out.

    Raises:
        PassError: A layer has no copies.
        DoesNotFitError: A part finds no room.
    """
    layouts = assign_layouts(module)
    parts: list[Placed] = []
    for together in by_segment(module):
        replications: list[Replication] = []
        for op in [family[0] for family in together]:
            if op.replication is None:
                raise PassError("has no copies", where=layer_name(op), hint="run `replicate`")
            replications.append(op.replication)
        demands = demands_of(together, replications, layouts, context)
        placed = place_parts(demands, context.machine)
        if isinstance(placed, NoRoom):
            raise misfit(demands, placed, context.machine)
        parts.append(placed)
    return joined(parts, context.machine)


def by_segment(module: ModuleOp) -> list[list[list[MatmulOp]]]:
    """The families of each segment, in the order of the segments; first those that have none."""
    segments: dict[int, list[list[MatmulOp]]] = {}
    for family in families(module):
        segment = family[0].segment
        segments.setdefault(segment.number if segment is not None else -1, []).append(family)
    return [segments[number] for number in sorted(segments)]


def joined(parts: Sequence[Placed], machine: Machine) -> Placed:
    """Placements of segments one after the other."""
    cores = [cores for part in parts for cores in part.cores]
    free = of_cores(machine, lambda kind: kind.crossbars)
    load = np.zeros(machine.core_count)
    for part in parts:
        np.minimum(free, part.free, out=free)
        load += part.load_ns
    return Placed(cores, free, load)


def demands_of(
    together: Sequence[Sequence[MatmulOp]],
    replications: Sequence[Replication],
    layouts: Mapping[SSAValue, Layout],
    context: CompileContext,
) -> list[Demand]:
    """What families of layers need of the cores if they are replicated so.

    Raises:
        PassError: A layer is not quantised or not tiled.
    """
    copies: list[Spread] = []
    outputs: list[Box] = []
    integers: list[IntegerMatmul] = []
    ops = [family[0] for family in together]
    for op, r in zip(ops, replications, strict=True):
        if op.tiling is None or op.integer is None:
            raise PassError("is not tiled", where=layer_name(op), hint="run `partition`")
        bits, pack = op.integer.weight_bits, op.tiling.pack
        blocks = layer_blocks(op, context.machine, bits, pack, r.unroll)
        copies.append(spread(blocks, r.row_split, r.column_split))
        outputs.append(blocks.grouped(layouts[op.result].whole))
        integers.append(op.integer)
    grids = [r.grid for r in replications]
    kinds = [kind_name(op, context.machine) for op in ops]
    busy = copies_busy_ns(copies, outputs, grids, integers, kinds, context)
    busy = [ns * len(family) for ns, family in zip(busy, together, strict=True)]
    return [
        _demand(op, copy, _centres(whole, grid), time_ns)
        for op, copy, whole, grid, time_ns in zip(ops, copies, outputs, grids, busy, strict=True)
    ]


def _demand(op: MatmulOp, copy: Spread, centre: NDArray[np.float64], time_ns: float) -> Demand:
    crossbars = np.tile(copy.crossbars.reshape(-1), len(centre))
    standing = op.placement
    cores = None if standing is None else np.array(standing.cores, np.int64)
    return Demand(op, crossbars, centre, time_ns, cores)


def misfit(demands: Sequence[Demand], failed: NoRoom, machine: Machine) -> DoesNotFitError:
    """Why parts cannot be placed: too few crossbars in all, or none of the cores has enough."""
    kind = kind_name(failed.op, machine)
    of = stock(machine)[kind]
    needed = sum(int(d.crossbars.sum()) for d in demands if kind_name(d.op, machine) == kind)
    if needed > of.crossbars:
        return does_not_fit(needed, of.crossbars, of.count, kind=of.told)
    layer = layer_name(failed.op)
    return no_room(layer, failed.crossbars, failed.largest_free, of.count, of.told)


def place_parts(demands: Sequence[Demand], machine: Machine) -> Placed | NoRoom:
    """Cores of all parts, which are on the chip together, or the part that finds no room.

    A network without segments takes the first chips of a package, as many as have a core for each
    part: there, no part finds less room than on all.

    Raises:
        PassError: A placement that stands asks too much of a core.
    """
    free, kinds = of_cores(machine, lambda kind: kind.crossbars), stock(machine)
    segment = demands[0].op.segment if demands else None
    if segment is not None:
        free[: segment.first] = free[segment.first + segment.cores :] = 0
    load = np.zeros(machine.core_count)
    count = machine.core_count if segment is not None else _cores_at_work(demands, machine, kinds)
    cores: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * len(demands)
    places = Places.of(machine)
    largest = [-int(d.crossbars.max()) if d.cores is None else -(1 << 30) for d in demands]
    for index in np.argsort(largest, kind="stable").tolist():
        d = demands[index]
        found, own = d.cores, kinds[kind_name(d.op, machine)].cores
        if found is None:
            room = free if len(kinds) == 1 else np.where(own, free, 0)
            found = _place_layer(d, room[:count], load[:count], places)
        elif not own[found].all():
            raise PassError(
                f"core {int(found[~own[found]][0])} is not of the layer's kind, "
                f"{kind_name(d.op, machine)!r}",
                where=layer_name(d.op),
                hint="change the placement or the kind that stands",
            )
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


def _cores_at_work(demands: Sequence[Demand], machine: Machine, kinds: Mapping[str, Stock]) -> int:
    """Cores of the fewest chips that have one for each part, of all chips if they have fewer."""
    parts = dict.fromkeys(kinds, 0)
    for d in demands:
        parts[kind_name(d.op, machine)] += len(d.crossbars)
    most = machine.package.chips
    chips = max(-(-count * most // kinds[name].count) for name, count in parts.items())
    return min(max(1, chips), most) * machine.cores_per_chip


def _centres(whole: Box, grid: Sequence[int]) -> NDArray[np.float64]:
    """Centres of the copies' tiles on the unit square, row by row, shape (copies, 2)."""
    rows, columns = (
        [(a + b) / 2 / size for a, b in cut(size, parts)]
        for size, parts in zip((whole.height, whole.width), grid, strict=True)
    )
    return np.array([(row, column) for row in rows for column in columns])


def _place_layer(
    d: Demand, free: NDArray[np.int64], load: NDArray[np.float64], places: Places
) -> NDArray[np.int64] | NoRoom:
    """Cores of a layer's parts, those that need most first."""
    cores = np.full(len(d.crossbars), -1, np.int64)
    mesh = _Mesh.of(free, load, places)
    down, across = (
        np.abs((np.arange(size) + 0.5) / size - centre[:, None])
        for size, centre in zip(mesh.core.shape, d.centre.T, strict=True)
    )
    parts_of_copy = len(d.crossbars) // len(d.centre)
    for part in np.argsort(-d.crossbars, kind="stable").tolist():
        need, copy = int(d.crossbars[part]), part // parts_of_copy
        best = mesh.best(need, down[copy], across[copy])
        if mesh.left[best] < need:
            return NoRoom(d.op, need, int(mesh.left.max()))
        mesh.take(best, need)
        cores[part] = mesh.core[best]
    return cores


@dataclass(frozen=True, slots=True, eq=False)
class _Mesh:
    """What cores have left while a layer is placed, at their places; shape (rows, columns).

    Attributes:
        core: The core's number.
        left: Its free crossbars, -1 where no core is.
        fixed, taken, spare: What its load, the layer's parts on it and its free crossbars add to
            its score (the last is subtracted); the distance comes to it.
        nearest: The best score in each row before distances, shape (rows,).
        room: Weight of a free crossbar.
    """

    core: NDArray[np.int64]
    left: NDArray[np.int64]
    fixed: NDArray[np.float64]
    taken: NDArray[np.float64]
    spare: NDArray[np.float64]
    nearest: NDArray[np.float64]
    room: float

    @staticmethod
    def of(free: NDArray[np.int64], load: NDArray[np.float64], places: Places) -> _Mesh:
        """The first cores, as many as `free` has; they hold nothing of the layer yet."""
        row, column = places.row[: len(free)], places.column[: len(free)]
        size = int(row.max()) + 1, int(column.max()) + 1
        at = np.ravel_multi_index((row, column), size)
        core, left, fixed = np.full(size, -1), np.full(size, -1), np.zeros(size)
        core.reshape(-1)[at], left.reshape(-1)[at] = np.arange(len(free)), free
        fixed.reshape(-1)[at] = SPREAD * load / max(float(load.max(initial=0.0)), 1.0)
        room = ROOM / max(int(free.max()), 1)
        spare = np.multiply(left, room, dtype=np.float64)
        nearest = np.where(left > 0, fixed - spare, np.inf).min(axis=1)
        return _Mesh(core, left, fixed, np.zeros(size), spare, nearest, room)

    def best(
        self, need: int, down: NDArray[np.float64], across: NDArray[np.float64]
    ) -> tuple[int, int]:
        """The place of least score with `need` free crossbars (any if there is none).

        Args:
            need: Crossbars.
            down: Distance to each row, shape (rows,).
            across: Distance to each column, shape (columns,).
        """
        rows = columns = slice(None)
        if self.core.size > SCANNED:
            rows, columns = self._reach(need, down, across)
        score = self._scores(rows, columns, need, down, across)
        row, column = divmod(int(score.argmin()), score.shape[1])
        return row + (rows.start or 0), column + (columns.start or 0)

    def _reach(
        self, need: int, down: NDArray[np.float64], across: NDArray[np.float64]
    ) -> tuple[slice, slice]:
        """Rows and columns among which the best place is: others are too far to beat one row's."""
        bound = down + self.nearest
        row = int(bound.argmin())
        found = self._scores(slice(row, row + 1), slice(None), need, down, across)
        best = float(found.min()) + ROUNDING
        rows, columns = np.flatnonzero(bound <= best), np.flatnonzero(across + bound[row] <= best)
        return slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)

    def _scores(
        self,
        rows: slice,
        columns: slice,
        need: int,
        down: NDArray[np.float64],
        across: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        score = down[rows, None] + across[columns]
        score += self.taken[rows, columns]
        score += self.fixed[rows, columns]
        score -= self.spare[rows, columns]
        score[self.left[rows, columns] < need] = np.inf
        return score

    def take(self, place: tuple[int, int], crossbars: int) -> None:
        """Put a part there."""
        row = place[0]
        self.left[place] -= crossbars
        self.taken[place] += TWICE
        self.spare[place] = self.room * self.left[place]
        before = self.taken[row] + self.fixed[row] - self.spare[row]
        self.nearest[row] = np.where(self.left[row] > 0, before, np.inf).min()
