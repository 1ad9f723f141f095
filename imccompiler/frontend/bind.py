"""Binding: dynamic dimensions and scalar inputs become constants."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import element_type

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto

Bindings = Mapping[str, int | float | bool]

IMAGE_RANKS = (4, 5)  # batch, channels, and two or three axes of space


@dataclass(frozen=True, slots=True)
class _Dim:
    """A dynamic dimension: `axis` of `input`; `name` is empty if the model gives it none."""

    input: str
    axis: int
    name: str
    image: bool

    @property
    def label(self) -> str:
        """What a binding calls it."""
        return self.name or f"{self.input}.{self.axis}"


def bind(
    model: ModelProto, network_inputs: list[str], bindings: Bindings
) -> dict[str, int | float]:
    """Give `model` the bound dimensions and scalars, in place; return all that was bound.

    A dimension goes by its name, or as `input.axis` if it has none. A scalar input goes by its
    own name and becomes a constant. A leading dimension of an image input is 1 unless bound.

    Raises:
        ModelError: Dimensions stay unbound, a name is unknown, or a value is not possible.
    """
    inputs = [i for i in model.graph.input if i.name in network_inputs]
    dims = [dim for value in inputs for dim in _dynamic_dims(value)]
    scalars = {i.name: i for i in inputs if i.name in bindings}
    _check_names(bindings, dims, scalars, inputs)
    sizes = {dim.label: 1 for dim in dims if dim.axis == 0 and dim.image}
    sizes |= {d.label: _size(d.label, bindings[d.label]) for d in dims if d.label in bindings}
    dims = [dim for dim in dims if dim.input not in scalars]
    if unbound := list(dict.fromkeys(d.label for d in dims if d.label not in sizes)):
        raise ModelError(
            f"dimensions {', '.join(unbound)} are not bound",
            hint="give each a size: " + " ".join(f"--bind {label}=N" for label in unbound),
        )
    shapes = {value.name: value.type.tensor_type.shape for value in inputs}
    for dim in dims:
        shapes[dim.input].dim[dim.axis].dim_value = sizes[dim.label]
    for name, value in scalars.items():
        _bind_scalar(model, value, bindings[name])
    return {**sizes, **{name: bindings[name] for name in scalars}}


def forget_types(model: ModelProto) -> None:
    """Drop the shapes of all but the inputs: they may name dimensions that are bound now."""
    del model.graph.value_info[:]
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")


def _dynamic_dims(value: ValueInfoProto) -> Iterator[_Dim]:
    if not value.type.HasField("tensor_type"):
        raise ModelError("is not a tensor", where=f"input {value.name!r}")
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise ModelError("does not say its rank", where=f"input {value.name!r}")
    dtype = element_type(tensor.elem_type, f"input {value.name!r}")
    image = len(tensor.shape.dim) in IMAGE_RANKS and dtype.kind in "fu"
    for axis, dim in enumerate(tensor.shape.dim):
        if not dim.HasField("dim_value") or dim.dim_value < 1:
            yield _Dim(value.name, axis, dim.dim_param, image)


def _check_names(
    bindings: Bindings,
    dims: list[_Dim],
    scalars: Mapping[str, ValueInfoProto],
    inputs: list[ValueInfoProto],
) -> None:
    known = list(dict.fromkeys([*(d.label for d in dims), *(i.name for i in inputs)]))
    for name in bindings:
        if name not in scalars and name not in known:
            raise ModelError(
                f"there is no dimension or input {name!r} to bind",
                hint=f"there are {', '.join(known)}",
            )


def _size(label: str, value: Any) -> int:
    if isinstance(value, bool) or value != int(value) or value < 1:
        raise ModelError(f"cannot be {value}", where=f"dimension {label!r}")
    return int(value)


def _bind_scalar(model: ModelProto, value: ValueInfoProto, number: float) -> None:
    from onnx import numpy_helper  # noqa: PLC0415

    where = f"input {value.name!r}"
    dims = [d.dim_value if d.HasField("dim_value") else 1 for d in value.type.tensor_type.shape.dim]
    dtype = element_type(value.type.tensor_type.elem_type, where)
    if any(dim != 1 for dim in dims):
        raise ModelError(f"has shape {tuple(dims)}; only a scalar can be bound", where=where)
    if dtype.type(number) != number and dtype.kind != "f":
        raise ModelError(f"cannot be {number}: its elements are {dtype}", where=where)
    array = np.full(dims, number, dtype)
    model.graph.input.remove(value)
    model.graph.initializer.append(numpy_helper.from_array(array, value.name))
