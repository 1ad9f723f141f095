"""Coverage: which part of a network's work runs on crossbars, and why the rest does not."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from xdsl.dialects.builtin import ModuleOp

from imccompiler.frontend.host_macs import host_macs
from imccompiler.ir.dialect import DigitalOp, DynamicMatmulOp, MatmulOp
from imccompiler.ir.host import on_host, split_name
from imccompiler.ir.types import shape_of

Unit = Literal["crossbar", "dynamic", "digital", "host"]

REASONS: dict[Unit, str] = {
    "crossbar": "product with static weights",
    "dynamic": "product of two activations: no operand can stay on crossbars",
    "digital": "not a product",
    "host": "no unit of the chip does this, or not in this form: ONNX Runtime runs it",
}
UNCOUNTED = "; its multiply-accumulates, if it has any, are not counted"


@dataclass(frozen=True, slots=True)
class OperatorCount:
    """All ops of one ONNX operator on one kind of unit.

    Attributes:
        op_type: The ONNX operator that the ops come from.
        unit: Where they run.
        count: How many ops.
        macs: Their multiply-accumulates for one image; 0 where none is counted.
        elements: Their results for one image.
        reason: Why they run there.
    """

    op_type: str
    unit: Unit
    count: int
    macs: int
    elements: int
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """Work for one image by the kind of unit that does it."""

    operators: tuple[OperatorCount, ...]

    def macs(self, unit: Unit) -> int:
        """Multiply-accumulates of one kind of unit."""
        return sum(o.macs for o in self.operators if o.unit == unit)

    def elements(self, unit: Unit) -> int:
        """Results of one kind of unit."""
        return sum(o.elements for o in self.operators if o.unit == unit)

    def share(self, unit: Unit) -> float:
        """Share of the multiply-accumulates that one kind of unit does, from 0 to 1."""
        total = sum(o.macs for o in self.operators)
        return self.macs(unit) / total if total else 0.0

    @property
    def crossbar_macs(self) -> int:
        """Multiply-accumulates with static weights."""
        return self.macs("crossbar")

    @property
    def dynamic_macs(self) -> int:
        """Multiply-accumulates of two activations."""
        return self.macs("dynamic")

    @property
    def digital_elements(self) -> int:
        """Results of digital operators."""
        return self.elements("digital")

    @property
    def crossbar_share(self) -> float:
        """Share of the multiply-accumulates that crossbars do, from 0 to 1."""
        return self.share("crossbar")


def coverage_of(module: ModuleOp) -> Coverage:
    """Coverage of a module at any level, most work first."""
    groups: dict[tuple[str, Unit], list[tuple[int, int]]] = defaultdict(list)
    for op in module.body.block.ops:
        if isinstance(op, MatmulOp | DynamicMatmulOp):
            unit: Unit = "crossbar" if isinstance(op, MatmulOp) else "dynamic"
            op_type = op.source.op_type if op.source else op.name
            groups[op_type, unit].append((op.macs, math.prod(shape_of(op.result))))
        elif isinstance(op, DigitalOp):
            unit = "host" if on_host(op.op_type.data) else "digital"
            macs = host_macs(op) if unit == "host" else 0
            op_type = split_name(op.op_type.data)[1]
            groups[op_type, unit].append((macs, math.prod(shape_of(op.result))))
    counts = [
        OperatorCount(
            op_type,
            unit,
            len(work),
            sum(macs for macs, _ in work),
            sum(elements for _, elements in work),
            REASONS[unit] + (UNCOUNTED if unit == "host" and not any(m for m, _ in work) else ""),
        )
        for (op_type, unit), work in groups.items()
    ]
    return Coverage(tuple(sorted(counts, key=lambda o: (-o.macs, -o.elements, o.op_type, o.unit))))
