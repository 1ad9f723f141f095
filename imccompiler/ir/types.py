"""Tensor types: numpy element types to builtin MLIR ones and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from xdsl.dialects.builtin import (
    Float16Type,
    Float32Type,
    Float64Type,
    IntegerType,
    Signedness,
    TensorType,
)
from xdsl.ir import Attribute, SSAValue
from xdsl.utils.exceptions import VerifyException

Tensor = TensorType[Attribute]

_ELEMENTS: dict[str, Attribute] = {
    "float16": Float16Type(),
    "float32": Float32Type(),
    "float64": Float64Type(),
    "bool": IntegerType(1),
    **{f"int{bits}": IntegerType(bits) for bits in (8, 16, 32, 64)},
    **{f"uint{bits}": IntegerType(bits, Signedness.UNSIGNED) for bits in (8, 16, 32, 64)},
}
_DTYPES = {element: np.dtype(name) for name, element in _ELEMENTS.items()}


def tensor_type(shape: Sequence[int], dtype: np.dtype[Any] | str = "float32") -> Tensor:
    """The type of a tensor of `shape`, in which every element is a numpy `dtype`.

    Raises:
        VerifyException: The dialect has no such element type.
    """
    name = np.dtype(dtype).name
    if name not in _ELEMENTS:
        raise VerifyException(f"no tensor can hold elements of type {name}")
    return TensorType(_ELEMENTS[name], shape)


def dtype_of(value: SSAValue) -> np.dtype[Any]:
    """The numpy element type of a tensor value.

    Raises:
        VerifyException: The value is not a tensor, or numpy has no such element type.
    """
    if not isinstance(value.type, TensorType):
        raise VerifyException(f"{value} is not a tensor")
    dtype = _DTYPES.get(value.type.element_type)
    if dtype is None:
        raise VerifyException(f"numpy has no element type {value.type.element_type}")
    return dtype


def shape_of(value: SSAValue) -> tuple[int, ...]:
    """The static shape of a tensor value.

    Raises:
        VerifyException: The value is not a tensor, or a dimension is not static.
    """
    if not isinstance(value.type, TensorType):
        raise VerifyException(f"{value} is not a tensor")
    shape = value.type.get_shape()
    if any(dim < 0 for dim in shape):
        raise VerifyException(f"every dimension must be static, not {value.type}")
    return shape
