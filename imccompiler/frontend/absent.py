"""Weights that a model declares as inputs and does not give: exports without parameters."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from imccompiler.frontend.rules import is_static, shape_of_type

if TYPE_CHECKING:
    from onnx import NodeProto, TensorProto, ValueInfoProto

WEIGHTS: Mapping[str, frozenset[int]] = {
    "BatchNormalization": frozenset({1, 2, 3, 4}),
    "Conv": frozenset({1, 2}),
    "ConvTranspose": frozenset({1, 2}),
    "GRU": frozenset({1, 2, 3}),
    "Gather": frozenset({0}),
    "Gemm": frozenset({1, 2}),
    "GroupNormalization": frozenset({1, 2}),
    "InstanceNormalization": frozenset({1, 2}),
    "LSTM": frozenset({1, 2, 3, 7}),
    "LayerNormalization": frozenset({1, 2}),
    "MatMul": frozenset({1}),
    "PRelu": frozenset({1}),
    "RMSNormalization": frozenset({1}),
    "RNN": frozenset({1, 2, 3}),
}
"""Positions of inputs that are weights in all but odd networks; a MatMul's if it is a matrix."""

PASSED_ON = frozenset({"Cast", "Identity", "Transpose"})


def absent_weights(
    inputs: Sequence[ValueInfoProto], nodes: Sequence[NodeProto]
) -> dict[str, TensorProto]:
    """The inputs that are weights without values, as tensors without values.

    These are of static shape, and every node that takes them, also after a Transpose, takes them
    where weights stand. At least one input always stays one.
    """
    from onnx import TensorProto  # noqa: PLC0415

    uses: dict[str, list[tuple[NodeProto, int]]] = defaultdict(list)
    for node in nodes:
        for position, name in enumerate(node.input):
            uses[name].append((node, position))
    found: dict[str, TensorProto] = {}
    for value in inputs:
        if is_static(value.type) and _is_weight(value.name, len(shape_of_type(value.type)), uses):
            kind = value.type.tensor_type.elem_type
            dims = shape_of_type(value.type)
            found[value.name] = TensorProto(name=value.name, data_type=kind, dims=dims)
    return found if len(found) < len(inputs) else {}


def _is_weight(name: str, rank: int, uses: Mapping[str, list[tuple[NodeProto, int]]]) -> bool:
    pending, seen = [name], {name}
    used = False
    while pending:
        for node, position in uses.get(pending.pop(), ()):
            if node.op_type in PASSED_ON and node.output:
                fresh = set(node.output) - seen
                seen |= fresh
                pending += fresh
            elif position not in WEIGHTS.get(node.op_type, frozenset()) or (
                node.op_type in {"MatMul", "Gather"} and rank != 2
            ):
                return False
            else:
                used = True
    return used
