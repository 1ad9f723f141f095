"""ONNX's integers of 2 and 4 bits, which share bytes; here each takes a byte."""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from onnx import TensorProto


@cache
def _kinds() -> dict[int, tuple[int, bool]]:
    """Bits, and whether they are signed, by ONNX element type."""
    from onnx import TensorProto  # noqa: PLC0415

    kinds = (("INT4", 4, True), ("UINT4", 4, False), ("INT2", 2, True), ("UINT2", 2, False))
    known = TensorProto.DataType.items()
    return {number: (b, s) for name, b, s in kinds for n, number in known if n == name}


def is_narrow(data_type: int) -> bool:
    """Whether ONNX elements of a type share bytes."""
    return data_type in _kinds()


def narrow_dtype(data_type: int) -> np.dtype[Any]:
    """The numpy type that holds such elements."""
    return np.dtype(np.int8 if _kinds()[data_type][1] else np.uint8)


def narrow_bytes(tensor: TensorProto) -> int:
    """Bytes that a tensor's values take in a file."""
    return -(-math.prod(tensor.dims) * _kinds()[tensor.data_type][0] // 8)


def unpacked(data: NDArray[np.uint8], tensor: TensorProto) -> NDArray[Any]:
    """A tensor's values from the bytes that they share, the first in the lowest bits."""
    bits, signed = _kinds()[tensor.data_type]
    parts = (data[:, None] >> np.arange(0, 8, bits, dtype=np.uint8)) & np.uint8((1 << bits) - 1)
    values = parts.reshape(-1)[: math.prod(tensor.dims)].reshape(tuple(tensor.dims))
    half = 1 << (bits - 1)
    return (values ^ np.uint8(half)).astype(np.int8) - np.int8(half) if signed else values
