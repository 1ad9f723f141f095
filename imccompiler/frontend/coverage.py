"""Coverage: which part of a network's work runs on crossbars, and why the rest does not."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Literal

from xdsl.dialects.builtin import ModuleOp

from imccompiler.ir.dialect import DigitalOp, DynamicMatmulOp, MatmulOp
from imccompiler.ir.types import shape_of

Unit = Literal["crossbar", "dynamic", "digital"]

REASONS: dict[Unit, str] = {
    "crossbar": "product with static weights",
    "dynamic": "product of two activations: no operand can stay on crossbars",
    "digital": "not a product",
}
DIGITAL_PRODUCTS = frozenset(
    {"Conv", "ConvTranspose", "ConvInteger", "DeformConv", "Einsum", "GRU", "LSTM"}
    | {"MatMulInteger", "QLinearConv", "QLinearMatMul", "RNN"}
)
DIGITAL_PRODUCT = "a product in a form that is not lowered to crossbars; its MACs are not counted"


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
        return sum(o.elements for o in self.operators if o.unit == "digital")

    @property
    def crossbar_share(self) -> float:
        """Share of the multiply-accumulates that crossbars do, from 0 to 1."""
        total = self.crossbar_macs + self.dynamic_macs
        return self.crossbar_macs / total if total else 0.0


def coverage_of(module: ModuleOp) -> Coverage:
    """Coverage of a module at any level, most work first."""
    groups: dict[tuple[str, Unit], list[tuple[int, int]]] = defaultdict(list)
    for op in module.body.block.ops:
        if isinstance(op, MatmulOp | DynamicMatmulOp):
            unit: Unit = "crossbar" if isinstance(op, MatmulOp) else "dynamic"
            op_type = op.source.op_type if op.source else op.name
            groups[op_type, unit].append((op.macs, math.prod(shape_of(op.result))))
        elif isinstance(op, DigitalOp):
            groups[op.op_type.data, "digital"].append((0, math.prod(shape_of(op.result))))
    counts = [
        OperatorCount(
            op_type,
            unit,
            len(work),
            sum(macs for macs, _ in work),
            sum(elements for _, elements in work),
            DIGITAL_PRODUCT if unit == "digital" and op_type in DIGITAL_PRODUCTS else REASONS[unit],
        )
        for (op_type, unit), work in groups.items()
    ]
    return Coverage(tuple(sorted(counts, key=lambda o: (-o.macs, -o.elements, o.op_type, o.unit))))
