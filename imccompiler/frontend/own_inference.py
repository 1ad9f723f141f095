"""Types of results for operators of which ONNX's own inference says something wrong, or nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from imccompiler.frontend.constants import Array
from imccompiler.frontend.rules import is_static, shape_of_type

if TYPE_CHECKING:
    from onnx import NodeProto, TypeProto


def explicit(node: NodeProto) -> NodeProto:
    """The node with the defaults that ONNX's inference forgets: STFT is one-sided unless told."""
    if node.op_type != "STFT" or any(a.name == "onesided" for a in node.attribute):
        return node
    from onnx import NodeProto, helper  # noqa: PLC0415

    spelled = NodeProto()
    spelled.CopyFrom(node)
    spelled.attribute.append(helper.make_attribute("onesided", 1))
    return spelled


def own_types(
    node: NodeProto, types: Mapping[str, TypeProto], values: Mapping[str, Array]
) -> dict[str, TypeProto] | None:
    """Types of the results of a node of ONNX's own domain; None if ONNX's inference says them.

    MeanVarianceNormalization keeps the type, but its function in ONNX is not sound. Compress has a
    fixed shape where its condition is constant.
    """
    first = types.get(node.input[0]) if node.input else None
    if not is_static(first):
        return None
    if node.op_type == "MeanVarianceNormalization":
        return {node.output[0]: first}
    if node.op_type == "Compress" and len(node.input) > 1 and node.input[1] in values:
        return {node.output[0]: _compressed(node, first, values[node.input[1]])}
    return None


def _compressed(node: NodeProto, first: TypeProto, condition: Array) -> TypeProto:
    from onnx import helper  # noqa: PLC0415

    shape = list(shape_of_type(first))
    axis = next((a.i for a in node.attribute if a.name == "axis"), None)
    if axis is None:
        shape, axis = [int(np.prod(shape))], 0
    shape[axis] = int(np.count_nonzero(condition.ravel()[: shape[axis]]))
    return helper.make_tensor_type_proto(first.tensor_type.elem_type, shape)
