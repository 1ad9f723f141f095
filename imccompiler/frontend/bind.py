"""Binding: dynamic dimensions and scalar inputs become constants."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Array, element_type

if TYPE_CHECKING:
    from onnx import ValueInfoProto

Bindings = Mapping[str, int | float | bool]

LIMIT_SIZE = 2**31  # of one dimension
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


@dataclass(frozen=True, slots=True)
class Bound:
    """What `bind` decided.

    Attributes:
        inputs: The network's inputs, all static; scalars that were bound are none any more.
        values: Of bound scalar inputs.
        bindings: Every dimension and scalar that was bound, those by default included.
    """

    inputs: tuple[ValueInfoProto, ...]
    values: Mapping[str, Array]
    bindings: dict[str, int | float]


def bind(values: Sequence[ValueInfoProto], bindings: Bindings) -> Bound:
    """Give inputs the bound dimensions and scalars; `values` are not changed.

    A dimension goes by its name, or as `input.axis` if it has none. A scalar input goes by its
    own name and becomes a constant. A leading dimension of an image input is 1 unless bound.

    Raises:
        ModelError: Dimensions stay unbound, a name is unknown, or a value is not possible.
    """
    from onnx import ValueInfoProto  # noqa: PLC0415

    copies = [ValueInfoProto.FromString(value.SerializeToString()) for value in values]
    inputs = {copy.name: copy for copy in copies}
    if len(inputs) < len(copies):
        twice = next(copy.name for copy in copies if inputs[copy.name] is not copy)
        raise ModelError("is declared twice", where=f"input {twice!r}")
    dims = [dim for value in copies for dim in _dynamic_dims(value)]
    scalars = {name: value for name, value in inputs.items() if name in bindings}
    _check_names(bindings, dims, scalars, copies)
    sizes = {dim.label: 1 for dim in dims if dim.axis == 0 and dim.image}
    sizes |= {d.label: _size(d.label, bindings[d.label]) for d in dims if d.label in bindings}
    dims = [dim for dim in dims if dim.input not in scalars]
    if unbound := list(dict.fromkeys(d.label for d in dims if d.label not in sizes)):
        raise ModelError(
            f"dimensions {', '.join(unbound)} are not bound",
            hint="give each a size: " + " ".join(f"--bind {shlex.quote(n)}=N" for n in unbound),
        )
    for dim in dims:
        inputs[dim.input].type.tensor_type.shape.dim[dim.axis].dim_value = sizes[dim.label]
    return Bound(
        tuple(value for value in copies if value.name not in scalars),
        {name: _scalar(value, bindings[name]) for name, value in scalars.items()},
        {**sizes, **{name: bindings[name] for name in scalars}},
    )


def _dynamic_dims(value: ValueInfoProto) -> Iterator[_Dim]:
    if not value.type.HasField("tensor_type"):
        raise ModelError(
            "is not a tensor",
            where=f"input {value.name!r}",
            hint="export the network with tensors as inputs",
        )
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        raise ModelError(
            "does not say its rank",
            where=f"input {value.name!r}",
            hint="export the network with shapes of its inputs",
        )
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
    if isinstance(value, bool) or not 1 <= value < LIMIT_SIZE or value != int(value):
        raise ModelError(
            f"cannot be {value}", where=f"dimension {label!r}", hint="bind it to an integer from 1"
        )
    return int(value)


def _scalar(value: ValueInfoProto, number: float) -> Array:
    where = f"input {value.name!r}"
    dims = [d.dim_value if d.HasField("dim_value") else 1 for d in value.type.tensor_type.shape.dim]
    dtype = element_type(value.type.tensor_type.elem_type, where)
    if any(dim != 1 for dim in dims):
        raise ModelError(
            f"has shape {tuple(dims)}; only a scalar can be bound",
            where=where,
            hint="bind its dynamic dimensions by their names",
        )
    whole = math.isfinite(number) and number == int(number)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        possible = whole and limits.min <= number <= limits.max
    else:
        possible = not math.isnan(number) and (dtype.kind == "f" or number in (0, 1))
    if not possible:
        raise ModelError(f"cannot be {number}: its elements are {dtype}", where=where)
    return np.full(dims, number, dtype)
