"""Products with the same weights, as the steps of a recurrent layer: they share crossbars."""

from __future__ import annotations

from collections.abc import Hashable, Iterable

from xdsl.dialects.builtin import ModuleOp

from imccompiler.ir.dialect import MatmulOp, shape_of


def families(module: ModuleOp) -> list[list[MatmulOp]]:
    """All matrix products; those of one weight, geometry and result shape stand together."""
    found: dict[Hashable, list[MatmulOp]] = {}
    for op in module.body.block.ops:
        if isinstance(op, MatmulOp):
            bits = op.integer.weight_bits if op.integer is not None else 0
            key = (op.weight, op.window, shape_of(op.result), bits, op.kind, op.tiling)
            found.setdefault(key, []).append(op)
    return list(found.values())


def heads(module: ModuleOp) -> list[MatmulOp]:
    """The first of each family."""
    return [family[0] for family in families(module)]


def share(family: Iterable[MatmulOp], name: str) -> None:
    """Give a decision of the first member to all others that have none."""
    head, *others = family
    for op in others:
        op.properties.setdefault(name, head.properties[name])
