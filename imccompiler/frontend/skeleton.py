"""The constants of a model, parted from the nodes: what is left is small."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.order import describe

if TYPE_CHECKING:
    from onnx import GraphProto, NodeProto, TensorProto

LIMIT_ELEMENTS = 2**32
"""Of any tensor; the largest of a language model, its embedding, has some 2^30."""


def split(graph: GraphProto) -> tuple[list[NodeProto], dict[str, TensorProto]]:
    """The nodes of a graph without `Constant`s, and all constants by name; nothing is copied.

    Raises:
        ModelError: A constant is given twice, or of a kind that is not supported.
    """
    if graph.sparse_initializer:
        raise ModelError(
            "sparse tensors are not supported",
            where="sparse_initializer",
            hint="export the network with dense weights",
        )
    nodes: list[NodeProto] = []
    found = [(tensor.name, tensor) for tensor in graph.initializer]
    for node in graph.node:
        if node.op_type == "Constant" and node.domain in {"", "ai.onnx"}:
            found.append((node.output[0] if node.output else "", constant_tensor(node)))
        else:
            nodes.append(node)
    tensors: dict[str, TensorProto] = {}
    for name, tensor in found:
        if name in tensors:
            raise ModelError(
                "is given twice", where=f"tensor {name!r}", hint="rename one of the two"
            )
        check_dims(name, tensor)
        tensors[name] = tensor
    return nodes, tensors


def check_dims(name: str, tensor: TensorProto) -> None:
    """Check that a constant has a shape.

    Raises:
        ModelError: A dimension is negative, or there are more elements than any network has.
    """
    check_elements(tuple(tensor.dims), f"tensor {name!r}")
    if any(dim < 0 for dim in tensor.dims):
        raise ModelError(
            f"has shape {tuple(tensor.dims)}",
            where=f"tensor {name!r}",
            hint="is the model damaged? export it again",
        )


def check_elements(shape: tuple[int, ...], where: str) -> None:
    """Check that a tensor is no bomb.

    Raises:
        ModelError: It has more than `LIMIT_ELEMENTS`.
    """
    if math.prod(shape) > LIMIT_ELEMENTS:
        raise ModelError(
            f"is too large: shape {shape}, and no tensor may have more than {LIMIT_ELEMENTS:,} "
            "elements",
            where=where,
            hint="check the sizes that the model gives and those that are bound",
        )


def constant_tensor(node: NodeProto) -> TensorProto:
    """The tensor that a `Constant` node holds in one of its attributes.

    Raises:
        ModelError: It holds none, or one of a kind that is not supported.
    """
    from onnx import helper, numpy_helper  # noqa: PLC0415

    attribute = node.attribute[0] if len(node.attribute) == 1 and node.output else None
    if attribute is not None and attribute.name == "value" and attribute.HasField("t"):
        return attribute.t
    kinds: dict[str, Any] = {"value_float": np.float32, "value_int": np.int64}
    kind = kinds.get(attribute.name.removesuffix("s")) if attribute is not None else None
    value = helper.get_attribute_value(attribute) if attribute is not None and kind else None
    plural = attribute is not None and attribute.name.endswith("s")
    if kind is None or isinstance(value, Sequence) != plural or not _numbers(value):
        raise ModelError(
            "is not a constant that is supported",
            where=describe(node),
            hint="constants are dense tensors, numbers or lists of numbers",
        )
    return numpy_helper.from_array(np.array(value, kind))


def _numbers(value: Any) -> bool:
    listed = value if isinstance(value, Sequence) else [value]
    return all(isinstance(item, (int, float)) for item in listed)
