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

from imccompiler.hardware.schema import Machine
from imccompiler.ir import decisions as d
from imccompiler.ir.decision import Decision
from imccompiler.ir.dialect import DigitalOp, DynamicMatmulOp, MatmulOp, shape_of
from imccompiler.program.artifact import GROUP_COLUMNS, TILE_COLUMNS, Program
from imccompiler.program.isa import IMM, LAYER, OP, Op
from imccompiler.report.schema import Crossbars, Layer

_SHOWN = ("quant", "tiling", "replication", "placement", "grain")


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


def macs(op: Operation) -> int:
    """Multiply-accumulates of an op."""
    if isinstance(op, MatmulOp):
        weight = shape_of(op.weight)
        inner = prod(weight[1:]) if op.window.kernel else weight[0]
        return prod(shape_of(op.result)) * inner
    if isinstance(op, DynamicMatmulOp):
        return prod(shape_of(op.result)) * shape_of(op.lhs)[-1]
    return 0


def crossbar_use(program: Program, machine: Machine) -> Crossbars:
    """How many crossbars hold weights, and how many of their cells."""
    kinds = [machine.core_kinds[kind] for kind in machine.kind_of_core()]
    tiles = {name: program.tiles[:, i].astype(np.int64) for i, name in enumerate(TILE_COLUMNS)}
    used = np.unique(np.stack([tiles["core"], tiles["crossbar"]]), axis=1)
    cells_of_core = np.array([k.crossbar.rows * k.crossbar.columns for k in kinds], np.int64)
    per_weight = np.array([cells_per_weight(machine, kind) for kind in machine.kind_of_core()])
    filled = (tiles["rows"] * tiles["columns"] * per_weight[tiles["core"]]).sum()
    held = cells_of_core[used[0]].sum()
    return Crossbars(
        counting=machine.crossbar_count,
        used=used.shape[1],
        available=sum(kind.crossbars for kind in kinds),
        cell_utilisation=min(1.0, float(filled / held)) if held else 0.0,
    )


def cells_per_weight(machine: Machine, kind: str) -> int:
    """Cells of one weight on a kind of core: bit slices, twice as many in column pairs."""
    core = machine.core_kinds[kind]
    slices = -(-machine.weight_bits // core.cell.bits)
    return slices * (2 if core.crossbar.signed_weights == "differential" else 1)


def crossbars_by_layer(program: Program) -> dict[str, int]:
    """Crossbars that the groups of each layer drive (a shared one counts for each layer)."""
    code = program.code
    core_of = np.repeat(np.arange(program.core_count), np.diff(program.core_start))
    calls = code[:, OP] == Op.MVMUL
    pairs = np.unique(
        np.stack([core_of[calls], code[calls, IMM], code[calls, LAYER]]).astype(np.int64), axis=1
    )
    groups = _group_crossbars(program)
    totals: dict[str, int] = {}
    for core, group, layer in pairs.T:
        name = program.layers[layer]
        totals[name] = totals.get(name, 0) + groups[int(core), int(group)]
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
    name = source.node if source is not None else op.name
    placement = op.placement
    rows, columns, copies = _matrix(op)
    return Layer(
        name=name,
        op_type=source.op_type if source is not None else op.name,
        kind=_kind(op),
        shape=shape_of(op.result),
        macs=macs(op),
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
    return {f.name: getattr(decision, f.name) for f in fields}
