"""Which domains of operators there are, and which operators they have."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import NodeProto

DEFAULT = frozenset({"", "ai.onnx"})
RUNTIME = frozenset({"com.microsoft"})
"""Of ONNX Runtime itself: its own operators run on the host."""

QONNX = frozenset({"qonnx.custom_op.general", "onnx.brevitas", "finn.custom_op.general"})
"""Arbitrary-precision quantisation: the domain of the qonnx package and its two earlier names."""

QONNX_OPERATORS = frozenset({"Quant", "IntQuant", "BipolarQuant", "Trunc", "FloatQuant"})


def is_known(node: NodeProto, opset: int) -> bool:
    """Whether the node's domain has its operator."""
    if node.domain in DEFAULT:
        from onnx import defs  # noqa: PLC0415

        return defs.has(node.op_type, opset, "")
    if node.domain in QONNX:
        return node.op_type in QONNX_OPERATORS
    return (node.domain, node.op_type) in _runtime_operators()


def same_type(node: NodeProto) -> bool:
    """Whether the results of a node of a domain unknown to ONNX have the type of its input."""
    return node.domain in QONNX and len(node.input) > 0


def runtime_operators() -> frozenset[str]:
    """ONNX Runtime's own operators."""
    return frozenset(name for _, name in _runtime_operators())


@cache
def _runtime_operators() -> frozenset[tuple[str, str]]:
    # onnxruntime offers its schemas through this compiled module only.
    state = import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    schemas = state.get_all_operator_schema()
    return frozenset((s.domain, s.name) for s in schemas if s.domain in RUNTIME)
