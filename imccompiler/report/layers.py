"""The report's view of a mapped module: its layers, and the crossbars they use."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from math import prod
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation

from imccompiler.hardware.cores import of_cores
from imccompiler.hardware.schema import Machine
from imccompiler.ir import decisions as d
from imccompiler.ir.decision import Decision
from imccompiler.ir.dialect import DigitalOp, DynamicMatmulOp, MatmulOp
from imccompiler.ir.types import shape_of
from imccompiler.passes.build import layer_name
from imccompiler.passes.families import heads
from imccompiler.passes.kinds import kind_of
from imccompiler.program.artifact import GROUP_COLUMNS, TILE_COLUMNS, Program
from imccompiler.program.isa import IMM, LAYER, OP, Op
from imccompiler.program.tiles import written_groups
from imccompiler.report.schema import Crossbars, Layer

_CORE, _CROSSBAR, _MATRIX = (TILE_COLUMNS.index(n) for n in ("core", "crossbar", "matrix"))
_SHOWN = ("quant", "kind", "tiling", "segment", "replication", "placement", "grain")


def layers(
    module: ModuleOp, program: Program | None, energy_pj: Mapping[str, float]
) -> tuple[Layer, ...]:
    """Every op of the module that computes something, in order."""
    crossbars = {} if program is None else crossbars_by_layer(program)
    return tuple(
        _layer(op, crossbars, energy_pj)
        for op in module.body.block.ops
        if isinstance(op, (MatmulOp, DynamicMatmulOp, DigitalOp))
    )


def crossbar_use(module: ModuleOp, program: Program, machine: Machine) -> Crossbars:
    """How many crossbars hold weights, and how many of their cells.

    Zeros that fill a packed block up hold no weight of the network. Crossbars that weights of
    several segments take turns on are there once, and their cells are counted for each segment.
    """
    places = program.tiles[:, [_CORE, _CROSSBAR]]
    used = np.unique(places, axis=0)
    loaded = np.unique(np.column_stack([_segments(module, program), places]), axis=0)
    cells = of_cores(machine, lambda kind: kind.crossbar.rows * kind.crossbar.columns)
    filled = sum(
        prod(shape_of(op.weight))
        * (op.replication.copies if op.replication else 1)
        * kind_of(op, machine).columns_per_weight(program.weight_bits)
        for op in heads(module)  # products of one weight share crossbars
    )
    held = int(cells[loaded[:, 1]].sum())
    core, counts = _writes(program, loaded)
    survives = of_cores(machine, lambda kind: kind.cell.endurance_writes or np.inf)
    images = float((survives[core] / counts).min(initial=np.inf))
    return Crossbars(
        counting=machine.crossbar_count,
        used=len(used),
        available=int(of_cores(machine, lambda kind: kind.crossbars).sum()),
        cell_utilisation=filled / held if held else 0.0,
        segments=len(np.unique(loaded[:, 0])) if len(loaded) else 1,
        writes_per_image=int(counts.max(initial=0)),
        images_until_worn=images if np.isfinite(images) else None,
    )


def _writes(
    program: Program, loaded: NDArray[np.integer]
) -> tuple[NDArray[np.integer], NDArray[np.int64]]:
    """The core of each crossbar that an image writes, and how often it does; shape (crossbars,).

    `loaded` are the (segment, core, crossbar) that hold weights: cores that program groups have
    each of their crossbars written once a segment.
    """
    writing = np.array(sorted({core for core, _ in written_groups(program)}), np.int64)
    rows = loaded[np.isin(loaded[:, 1], writing)]
    places, counts = np.unique(rows[:, 1:], axis=0, return_counts=True)
    return places[:, 0], counts


def _segments(module: ModuleOp, program: Program) -> NDArray[np.int64]:
    """The segment of every tile, by the name of its matrix, which begins with its layer's."""
    segments = {
        op.source.node: op.segment.number
        for op in module.body.block.ops
        if isinstance(op, MatmulOp) and op.source is not None and op.segment is not None
    }
    if not segments:
        return np.zeros(len(program.tiles), np.int64)
    of_matrix = [segments.get(name.rsplit(".", 2)[0], 0) for name in program.matrices]
    return np.array(of_matrix, np.int64)[program.tiles[:, _MATRIX]]


def crossbars_by_layer(program: Program) -> dict[str, int]:
    """Crossbars that the groups of each layer drive (a shared one counts for each layer)."""
    code = program.code
    core_of = np.repeat(np.arange(program.core_count), np.diff(program.core_start))
    calls = np.flatnonzero((code[:, OP] == Op.MVMUL) & (code[:, LAYER] >= 0))
    group, layer = code[calls, IMM], code[calls, LAYER]
    shape = (program.core_count, int(group.max(initial=0)) + 1, len(program.layers))
    driven = np.unique(np.ravel_multi_index((core_of[calls], group, layer), shape))
    groups = _group_crossbars(program)
    totals: dict[str, int] = {}
    for core, group, layer in np.stack(np.unravel_index(driven, shape), axis=1).tolist():
        name = program.layers[layer]
        totals[name] = totals.get(name, 0) + groups[core, group]
    return totals


def _group_crossbars(program: Program) -> dict[tuple[int, int], int]:
    columns = [GROUP_COLUMNS.index(name) for name in ("core", "group", "crossbars")]
    rows: NDArray[np.int32] = program.groups[:, columns]
    return {(int(core), int(group)): int(crossbars) for core, group, crossbars in rows}


def _layer(
    op: MatmulOp | DynamicMatmulOp | DigitalOp,
    crossbars: Mapping[str, int],
    energy_pj: Mapping[str, float],
) -> Layer:
    source = op.source
    name = layer_name(op)
    placement = op.placement
    rows, columns, copies = _matrix(op)
    return Layer(
        name=name,
        op_type=source.op_type if source is not None else op.name,
        kind=_kind(op),
        shape=shape_of(op.result),
        macs=0 if isinstance(op, DigitalOp) else op.macs,
        rows=rows,
        columns=columns,
        copies=copies,
        crossbars=crossbars.get(name),
        cores=tuple(sorted(set(placement.cores))) if placement is not None else (),
        energy_pj=energy_pj.get(name),
        decisions={
            field: as_mapping(decision)
            for field in _SHOWN
            if isinstance(decision := op.properties.get(field), Decision)
        },
    )


def _kind(op: Operation) -> Any:
    if isinstance(op, MatmulOp):
        return "crossbar"
    return "dynamic" if isinstance(op, DynamicMatmulOp) else "digital"


def _matrix(op: Operation) -> tuple[int | None, int | None, int | None]:
    if not isinstance(op, MatmulOp):
        return None, None, None
    weight = shape_of(op.weight)
    columns = op.output_channels
    replication = op.properties.get("replication")
    copies = replication.copies if isinstance(replication, d.Replication) else None
    return prod(weight) // columns * op.window.groups, columns, copies


def as_mapping(decision: Decision) -> dict[str, Any]:
    """A decision as plain data, as `Decision.from_mapping` and a pin file take it."""
    fields = dataclasses.fields(cast("Any", decision))
    values = ((f.name, getattr(decision, f.name)) for f in fields)
    return {n: list(cast("Any", v)) if isinstance(v, tuple) else v for n, v in values}
