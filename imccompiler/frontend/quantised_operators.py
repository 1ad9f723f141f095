"""Operators on quantised tensors (QLinearConv and its like): dequantise, compute, quantise.

Of the default domain and of com.microsoft. What they compute is what the plain operator between
a DequantizeLinear for each operand and a QuantizeLinear computes, up to the rounding of the
requantisation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from imccompiler.frontend.graph import Node, TensorInfo
from imccompiler.frontend.quantised import Lowering, Rule
from imccompiler.frontend.quantised_linear import dequantize_linear, quantize_linear

Triple = tuple[str, str, str]
"""A tensor, its scale and its zero point."""

_BACKEND_ATTRIBUTES = frozenset({"channels_last", "opset"})


def real(g: Lowering, node: Node, part: str, triple: Triple, axis: int = 1) -> str:
    """The real values of an operand."""
    out = g.fresh(f"{node.name}/{part}/real")
    g.types[out] = TensorInfo(g.shape(triple[0], node), np.dtype(np.float32))
    name = g.fresh(f"{node.name}/{part}")
    dequantize_linear(g, Node(name, "DequantizeLinear", triple, (out,), {"axis": axis}))
    return out


def compute(
    g: Lowering,
    node: Node,
    op_type: str,
    operands: Sequence[str],
    result: tuple[str, str],
    attributes: Mapping[str, Any] | None = None,
) -> None:
    """Append the plain operator and quantise its result by a scale and a zero point."""
    given = {k: v for k, v in node.attributes.items() if k not in _BACKEND_ATTRIBUTES}
    out = node.outputs[0]
    shape = g.shape(out, node)
    y = g.emit(node, op_type, operands, given if attributes is None else attributes, shape=shape)
    triple = (y, *result)
    quantize_linear(g, Node(g.fresh(f"{node.name}/codes"), "QuantizeLinear", triple, (out,), {}))


def _is_static(g: Lowering, node: Node, positions: Sequence[int]) -> bool:
    """Whether scales and zero points are constants, and the layout is ONNX's."""
    plain = not node.attributes.get("channels_last")
    return plain and all(g.is_constant(node.input(i)) for i in positions)


def _bias(g: Lowering, node: Node, name: str, scale: Any) -> str:
    """An integer bias, whose step is that of the products."""
    values = g.array(name).astype(np.float64) * np.asarray(scale, np.float64).reshape(-1)
    return g.constant(f"{node.name}/bias", values.astype(np.float32))


def qlinear_conv(g: Lowering, node: Node) -> None:
    """x, its scale and zero point, w likewise, then those of y, and a bias."""
    if not _is_static(g, node, (1, 2, 3, 4, 5, 6, 7, 8)):
        g.keep(node)
        return
    i = node.input
    operands = [real(g, node, "x", (i(0), i(1), i(2))), real(g, node, "w", (i(3), i(4), i(5)), 0)]
    if i(8):
        operands.append(_bias(g, node, i(8), g.array(i(1)) * g.array(i(4))))
    compute(g, node, "Conv", operands, (i(6), i(7)))


def qlinear_matmul(g: Lowering, node: Node) -> None:
    """a, its scale and zero point, b likewise, then those of y."""
    if not _is_static(g, node, (1, 2, 4, 5, 6, 7)):
        g.keep(node)
        return
    i = node.input
    operands = [real(g, node, "a", (i(0), i(1), i(2))), real(g, node, "b", (i(3), i(4), i(5)), -1)]
    compute(g, node, "MatMul", operands, (i(6), i(7)))


def qgemm(g: Lowering, node: Node) -> None:
    """A, its scale and zero point, B likewise, C, and those of Y, without which Y is real."""
    if not _is_static(g, node, (1, 2, 4, 5, 6, 7, 8)):
        g.keep(node)
        return
    i, alpha = node.input, float(node.attributes.get("alpha", 1.0))
    columns = 0 if node.attributes.get("transB") else -1
    operands = [
        real(g, node, "a", (i(0), i(1), i(2))),
        real(g, node, "b", (i(3), i(4), i(5)), columns),
    ]
    if i(6):
        operands.append(_bias(g, node, i(6), alpha * g.array(i(1)) * g.array(i(4))))
    if i(7):
        compute(g, node, "Gemm", operands, (i(7), i(8)))
    else:
        shape = g.shape(node.outputs[0], node)
        g.emit(node, "Gemm", operands, node.attributes, shape=shape, out=node.outputs[0])


def _unary(op_type: str) -> Rule:
    """X, its scale and zero point, then those of Y."""

    def rule(g: Lowering, node: Node) -> None:
        if not _is_static(g, node, (1, 2, 3, 4)):
            g.keep(node)
            return
        i = node.input
        compute(g, node, op_type, [real(g, node, "x", (i(0), i(1), i(2)))], (i(3), i(4)))

    return rule


def _several(op_type: str, firsts: Sequence[int], result: int) -> Rule:
    """Operands at `firsts`, each with its scale and zero point; those of the result at `result`.

    What stands before the first of them is handed on.
    """

    def rule(g: Lowering, node: Node) -> None:
        i = node.input
        starts = firsts or range(2, len(node.inputs), 3)
        known = [j for first in starts for j in (first + 1, first + 2)]
        if not _is_static(g, node, [*known, result, result + 1]):
            g.keep(node)
            return
        reals = [real(g, node, str(f), (i(f), i(f + 1), i(f + 2))) for f in starts]
        handed = list(node.inputs[: min(starts)]) if firsts else []
        compute(g, node, op_type, [*handed, *reals], (i(result), i(result + 1)))

    return rule


def qlinear_softmax(g: Lowering, node: Node) -> None:
    """Softmax over one axis; before version 13 it ran over all axes from there on."""
    i = node.input
    last = len(g.shape(i(0), node)) - 1
    axis = int(node.attributes.get("axis", -1)) % (last + 1)
    flat = int(node.attributes.get("opset", 13)) < 13 and axis < last
    if not _is_static(g, node, (1, 2, 3, 4)) or flat != (g.graph.opset < 13 and axis < last):
        g.keep(node)
        return
    operand = real(g, node, "x", (i(0), i(1), i(2)))
    compute(g, node, "Softmax", [operand], (i(3), i(4)), {"axis": axis})


LINEAR: Mapping[str, Callable[[Lowering, Node], None]] = {
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
    "QLinearConv": qlinear_conv,
    "QLinearMatMul": qlinear_matmul,
    "QGemm": qgemm,
    "QLinearAdd": _several("Add", (0, 3), 6),
    "QLinearMul": _several("Mul", (0, 3), 6),
    "QLinearConcat": _several("Concat", (), 0),
    "QLinearWhere": _several("Where", (1, 4), 7),
    "QLinearAveragePool": _unary("AveragePool"),
    "QLinearGlobalAveragePool": _unary("GlobalAveragePool"),
    "QLinearLeakyRelu": _unary("LeakyRelu"),
    "QLinearReduceMean": _unary("ReduceMean"),
    "QLinearSigmoid": _unary("Sigmoid"),
    "QLinearSoftmax": qlinear_softmax,
}
