"""Multiply-accumulates of products that run on the host, where they are easily counted."""

from __future__ import annotations

import math

from imccompiler.ir.dialect import DigitalOp
from imccompiler.ir.host import split_name
from imccompiler.ir.types import shape_of

CONVOLUTIONS = frozenset({"Conv", "ConvInteger", "DeformConv", "FusedConv", "NhwcConv"})
MATRICES = frozenset(
    {"FusedGemm", "FusedMatMul", "FusedMatMulActivation", "Gemm", "MatMul", "MatMulInteger"}
    | {"MatMulIntegerToFloat", "TransposeMatMul"}
)


def host_macs(op: DigitalOp) -> int:
    """Multiply-accumulates for one image of a convolution or matrix product, else 0."""
    name, attributes = split_name(op.op_type.data)[1], op.python_attributes()
    shapes, result = [shape_of(v) for v in op.operands_], shape_of(op.result)
    if attributes.get("output", 0) or len(shapes) < 2:
        return 0
    if name in CONVOLUTIONS:
        return math.prod(result) * math.prod(shapes[1][1:])
    if name == "ConvTranspose":
        return math.prod(shapes[0]) * math.prod(shapes[1][1:])
    if name in MATRICES:
        turned = attributes.get("transA", 0)
        first = [*shapes[0]] or [1]
        return math.prod(result) * (first[-2] if turned and len(first) > 1 else first[-1])
    if name == "Einsum":
        return _einsum(str(attributes["equation"]), shapes)
    return 0


def _einsum(equation: str, shapes: list[tuple[int, ...]]) -> int:
    """The product of the sizes of all labels."""
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    sizes: dict[str, int] = {}
    for term, shape in zip(terms, shapes, strict=True):
        before, dots, behind = term.partition("...")
        extra = len(shape) - len(before) - len(behind)
        labels = [*before, *(f"...{extra - i}" for i in range(extra if dots else 0)), *behind]
        for label, size in zip(labels, shape, strict=False):
            sizes[label] = max(size, sizes.get(label, 1))
    return math.prod(sizes.values())
