"""What the importer makes of a quantised graph's codes: decisions on the ops."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from xdsl.dialects.builtin import ModuleOp

from imccompiler.frontend.builder import ModuleBuilder
from imccompiler.frontend.constants import Array
from imccompiler.frontend.graph import Graph, Node
from imccompiler.frontend.quantised import Rule, lower
from imccompiler.frontend.quantised_code import Code, ConstantCodes
from imccompiler.frontend.quantised_dynamic import DYNAMIC
from imccompiler.frontend.quantised_operators import LINEAR
from imccompiler.frontend.quantised_qonnx import QONNX_RULES
from imccompiler.ir.absent import is_absent
from imccompiler.ir.decisions import WeightCodes
from imccompiler.ir.dialect import DigitalOp, InputOp, MatmulOp, WeightOp
from imccompiler.ir.store import WeightStore
from imccompiler.ir.types import shape_of

RULES: dict[str, Rule] = {**LINEAR, **DYNAMIC, **QONNX_RULES}

TOLERANCE = 0.02
"""By which a weight in steps may miss an integer; single precision misses by 2^-9 at 16 bits."""


def lower_quantised(graph: Graph) -> Graph:
    """The graph with quantisation in the form that the importer knows (`quantised.py`).

    Raises:
        ModelError: A form of quantisation is not supported.
    """
    return lower(graph, RULES)


def import_requantize(b: ModuleBuilder, node: Node) -> None:
    """An Identity whose result's codes are decided."""
    code: Code = node.attributes["code"]
    x = b.value(node.input(0))
    info = b.info(node.outputs[0], node)
    value = b.digital(node, "Identity", [x], shape_of(x), dtype=info.dtype)
    if isinstance(value.owner, DigitalOp):
        value.owner.quant = code.quant
    b.define(node.outputs[0], value)


def decide_codes(module: ModuleOp, store: WeightStore, graph: Graph) -> list[str]:
    """Set codes of weights and of integer inputs; return what the user should know."""
    notes: list[str] = []
    nodes = {node.name: node for node in graph.nodes}
    for op in module.body.block.ops:
        if isinstance(op, InputOp) and op.port.data in graph.input_codes:
            op.quant = graph.input_codes[op.port.data].quant
        elif (
            isinstance(op, MatmulOp)
            and op.source is not None
            and isinstance(op.weight.owner, WeightOp)
        ):
            name = op.source.node
            node = nodes.get(name) or nodes.get(name.rpartition("/")[0])  # one of several products
            known = None if node is None else _known(graph, node)
            if known is None:
                continue
            key = op.weight.owner.key.data
            weight = store[key]
            peaks = peaks_of(weight if op.window.kernel else weight.T, known)
            if peaks is None:
                notes.append(
                    f"the weights of {op.source.node!r} have several scales a channel: they were "
                    "quantised anew"
                )
                continue
            op.codes = WeightCodes(store.add(f"{key}.peaks", peaks), known.bits, known.zero_bits)
    return notes


def _known(graph: Graph, node: Node) -> ConstantCodes | None:
    """What is known of the constant operand of a product."""
    known = next((graph.codes[name] for name in node.inputs[:2] if name in graph.codes), None)
    alpha = float(node.attributes.get("alpha", 1.0)) if node.op_type == "Gemm" else 1.0
    return known if known is None else replace(known, scale=known.scale * abs(alpha))


def peaks_of(weight: Array, known: ConstantCodes) -> Array | None:
    """Largest magnitude of each channel's integers, shape (channels,).

    Args:
        weight: Real values, shape (channels, ...).
        known: Scales of one element, or one a channel.

    Returns:
        None if the weights are not the scales times integers.
    """
    channels = weight.shape[0]
    scale = known.scale.reshape(-1)
    if scale.size not in {1, channels} or not np.all(scale > 0):
        return None
    if is_absent(weight):
        return np.full(channels, (1 << (known.bits - 1)) - 1, np.int32)
    steps = weight.reshape(channels, -1) / np.broadcast_to(scale, channels)[:, None]
    codes = np.rint(steps)
    if np.abs(steps - codes).max(initial=0) > TOLERANCE:
        return None
    return np.abs(codes).max(axis=1, initial=0).astype(np.int32)
