"""A model without its large tensors: small enough to be copied, inferred and rewritten freely."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Constants, element_type, is_absent, is_external

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto

KEPT_BYTES = 64 * 2**10  # shapes, indices and tables that shape computations read

LEAST_IR_VERSION = 4  # since then constants need not be inputs


def split(
    model: ModelProto, folder: Path | None, *, shapes_only: bool = False
) -> tuple[ModelProto, Constants]:
    """Part a model into a light copy and its constants.

    In the copy, constants up to 64 KiB are initializers, larger or absent ones graph inputs of the
    same name; `Constant` nodes are gone.

    Raises:
        ModelError: A constant is given twice, or of a kind that is not supported.
    """
    from onnx import ModelProto, helper, numpy_helper  # noqa: PLC0415

    source = model.graph
    light = ModelProto(ir_version=max(model.ir_version, LEAST_IR_VERSION))
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    tensors = _constants(source)
    graph = light.graph
    graph.name = source.name or "network"
    graph.node.extend(n for n in source.node if n.op_type != "Constant")
    graph.input.extend(i for i in source.input if i.name not in tensors)
    graph.output.extend(source.output)
    graph.value_info.extend(source.value_info)
    constants = Constants(tensors, folder, shapes_only=shapes_only)
    for name, tensor in tensors.items():
        bytes_ = (
            math.prod(tensor.dims) * element_type(tensor.data_type, f"tensor {name!r}").itemsize
        )
        if bytes_ > KEPT_BYTES or is_absent(tensor):
            graph.input.append(
                helper.make_tensor_value_info(name, tensor.data_type, list(tensor.dims))
            )
        elif is_external(tensor):
            graph.initializer.append(numpy_helper.from_array(constants.array(name), name))
        else:
            graph.initializer.add().CopyFrom(tensor)
            graph.initializer[-1].name = name
    return light, constants


def _constants(graph: GraphProto) -> dict[str, TensorProto]:
    if graph.sparse_initializer:
        raise ModelError("sparse tensors are not supported", where="sparse_initializer")
    tensors: dict[str, TensorProto] = {}
    found = [(t.name, t) for t in graph.initializer]
    found += [(n.output[0], _constant(n)) for n in graph.node if n.op_type == "Constant"]
    for name, tensor in found:
        if name in tensors:
            raise ModelError("is given twice", where=f"tensor {name!r}")
        if any(dim < 0 for dim in tensor.dims):
            raise ModelError(f"has shape {tuple(tensor.dims)}", where=f"tensor {name!r}")
        tensors[name] = tensor
    return tensors


def _constant(node: NodeProto) -> TensorProto:
    """The tensor that a `Constant` node holds in one of its attributes."""
    from onnx import helper, numpy_helper  # noqa: PLC0415

    attribute = node.attribute[0] if len(node.attribute) == 1 and node.output else None
    if attribute is not None and attribute.name == "value":
        return attribute.t
    kinds: dict[str, Any] = {"value_float": np.float32, "value_int": np.int64}
    kind = kinds.get(attribute.name.removesuffix("s")) if attribute is not None else None
    if attribute is None or kind is None:
        raise ModelError("is not a constant that is supported", where=f"node {node.name!r}")
    return numpy_helper.from_array(np.array(helper.get_attribute_value(attribute), kind))
