"""Rules of shapes that ONNX's own inference does not look at."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, TypeGuard

if TYPE_CHECKING:
    from onnx import NodeProto, TypeProto

Shape = tuple[int, ...]


def is_static(kind: TypeProto | None) -> TypeGuard[TypeProto]:
    """Whether a type is that of a tensor, and every dimension is known."""
    if kind is None or not kind.HasField("tensor_type"):
        return False
    tensor = kind.tensor_type
    return (
        tensor.elem_type != 0
        and tensor.HasField("shape")
        and all(dim.HasField("dim_value") and dim.dim_value >= 0 for dim in tensor.shape.dim)
    )


def shape_of_type(kind: TypeProto) -> tuple[int, ...]:
    """The shape of a static type."""
    return tuple(dim.dim_value for dim in kind.tensor_type.shape.dim)


def contradiction(
    node: NodeProto, types: Mapping[str, TypeProto], found: Mapping[str, TypeProto]
) -> str | None:
    """What is wrong with the shapes of a node of the default domain, if anything is.

    Args:
        node: The node.
        types: Of its inputs.
        found: Of its results, as inferred.
    """
    rule = _RULES.get(node.op_type)
    first, result = (
        types.get(node.input[0]) if node.input else None,
        found.get(node.output[0]) if node.output else None,
    )
    if rule is None or not is_static(first) or not is_static(result):
        return None
    return rule(node, types, shape_of_type(first), shape_of_type(result))


def _gemm(
    node: NodeProto, types: Mapping[str, TypeProto], _first: Shape, result: Shape
) -> str | None:
    addend = types.get(node.input[2]) if len(node.input) > 2 else None
    if not is_static(addend):
        return None
    shape = shape_of_type(addend)
    pairs = zip(reversed(shape), reversed(result), strict=False)
    fits = len(shape) <= 2 and all(a in {1, r} for a, r in pairs)
    return None if fits else f"the addend {shape} does not broadcast to {result}"


def _reshape(
    _node: NodeProto, _types: Mapping[str, TypeProto], first: Shape, result: Shape
) -> str | None:
    fits = math.prod(first) == math.prod(result)
    return None if fits else f"{first} cannot become {result}"


def _transpose(
    node: NodeProto, _types: Mapping[str, TypeProto], first: Shape, _result: Shape
) -> str | None:
    given = [list(a.ints) for a in node.attribute if a.name == "perm"]
    fits = not given or sorted(given[0]) == list(range(len(first)))
    return None if fits else f"{given[0]} is no order of the axes of {first}"


_RULES: Mapping[str, Callable[[NodeProto, Mapping[str, TypeProto], Shape, Shape], str | None]] = {
    "Gemm": _gemm,
    "Reshape": _reshape,
    "Transpose": _transpose,
}
