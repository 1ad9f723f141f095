"""Constants of a model by name: read when they are needed, checked, never copied needlessly."""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import ModelError
from imccompiler.frontend.external import check_disjoint, extent_of, find_file, map_values
from imccompiler.frontend.narrow import is_narrow, narrow_bytes, narrow_dtype, unpacked
from imccompiler.ir.absent import as_absent

if TYPE_CHECKING:
    from onnx import TensorProto

Array = NDArray[Any]

READ_LIMIT_BYTES = 16 * 2**20  # with shapes only, a larger tensor is not worth its reading
SEEDED_ELEMENTS = 2**16
SHAPES_ONLY = "compile for shapes only (--shapes-only)"

_VALUE_FIELDS = (
    "external_data",
    "float_data",
    "double_data",
    "int32_data",
    "int64_data",
    "uint64_data",
    "string_data",
)


class Constants:
    """Named constant tensors.

    Args:
        tensors: As they stand in the model.
        folder: Where external data may lie; None forbids external data.
        shapes_only: Replace float tensors that are absent or large by seeded ones.
    """

    def __init__(
        self,
        tensors: Mapping[str, TensorProto],
        folder: Path | None = None,
        *,
        shapes_only: bool = False,
    ) -> None:
        self._tensors = dict(tensors)
        self._arrays: dict[str, Array] = {}
        self._sound: set[str] = set()
        self._folder = folder
        self._shapes_only = shapes_only

    def __contains__(self, name: str) -> bool:
        return name in self._arrays or name in self._tensors

    def names(self) -> list[str]:
        """All names."""
        return list(dict.fromkeys([*self._tensors, *self._arrays]))

    def declare(self, name: str, tensor: TensorProto) -> None:
        """Add a constant as it stands in a body or a function of the model."""
        self._tensors[name] = tensor

    def info(self, name: str) -> tuple[tuple[int, ...], int]:
        """Shape and ONNX element type of a constant, its values not read.

        Raises:
            ModelError: The dialect has no such element type.
        """
        if name in self._tensors:
            tensor = self._tensors[name]
            return tuple(tensor.dims), tensor.data_type
        from onnx import helper  # noqa: PLC0415

        array = self._arrays[name]
        return array.shape, int(helper.np_dtype_to_tensor_dtype(array.dtype))

    def has_values(self, name: str) -> bool:
        """Whether a constant is more than a name, a shape and a type."""
        return name in self._arrays or not is_absent(self._tensors[name])

    @property
    def external(self) -> bool:
        """Whether values lie in other files than the model's own."""
        return any(is_external(tensor) for tensor in self._tensors.values())

    def check_external(self) -> None:
        """Check where external values lie, whether or not they will be read.

        Raises:
            ModelError: A place is not possible, or two tensors share a part of their values.
        """
        outside = ((n, t) for n, t in self._tensors.items() if is_external(t))
        check_disjoint([(name, extent_of(t, _size_bytes(name, t))) for name, t in outside])

    def add(self, name: str, value: Array) -> None:
        """Add a computed constant."""
        self._arrays[name] = value

    def array(self, name: str) -> Array:
        """The values of a constant, read-only.

        Raises:
            ModelError: They are missing, damaged, or contain NaN.
        """
        if name not in self._arrays:
            self._arrays[name] = self._read(name, self._tensors[name])
            self._sound.add(name)
        if name not in self._sound:  # computed: an operator may have made NaN of numbers
            _check_finite(self._arrays[name], f"tensor {name!r}")
            self._sound.add(name)
        return self._arrays[name]

    def _read(self, name: str, tensor: TensorProto) -> Array:
        where = f"tensor {name!r}"
        shape, dtype = tuple(tensor.dims), element_type(tensor.data_type, where)
        replaceable = self._shapes_only and (dtype.kind == "f" or dtype.itemsize == 1)
        large = math.prod(shape) * dtype.itemsize > READ_LIMIT_BYTES
        unreachable = is_external(tensor) and self._folder is None
        if replaceable and (large or unreachable or is_absent(tensor)):
            return seeded(name, shape, dtype)
        if is_absent(tensor):
            raise ModelError("has no values", where=where, hint=SHAPES_ONLY)
        try:
            value = self._load(name, tensor)
        except ModelError:
            raise
        except FileNotFoundError as error:
            if replaceable:
                return seeded(name, shape, dtype)
            raise ModelError(
                f"its file {error.filename} is missing",
                where=where,
                hint=f"put it beside the model, or {SHAPES_ONLY}",
            ) from error
        except (OSError, ValueError, TypeError, RuntimeError) as error:
            raise ModelError(f"cannot be read: {error}", where=where) from error
        if value.dtype.name == "bfloat16":
            value = value.astype(np.float32)
        if value.shape != shape or value.dtype != dtype:
            raise ModelError(f"has {value.shape} values and says {shape}", where=where)
        _check_finite(value, where)
        value.flags.writeable = False
        return value

    def _load(self, name: str, tensor: TensorProto) -> Array:
        from onnx import TensorProto as Kinds  # noqa: PLC0415
        from onnx import numpy_helper  # noqa: PLC0415

        where = f"tensor {name!r}"
        if not is_external(tensor):
            raw = tensor.raw_data
            if raw and len(raw) != (needed := _size_bytes(name, tensor)):
                raise ModelError(
                    f"holds {len(raw):,} bytes, and its shape {tuple(tensor.dims)} "
                    f"takes {needed:,}",
                    where=where,
                    hint="is the model damaged? export it again",
                )
            array = numpy_helper.to_array(tensor)
            narrow = is_narrow(tensor.data_type)
            return array.astype(narrow_dtype(tensor.data_type)) if narrow else array
        extent = extent_of(tensor, _size_bytes(name, tensor))
        if self._folder is None:
            raise ModelError(
                "its values are in another file, and the model did not come from one",
                where=where,
                hint=f"give the model's path, or {SHAPES_ONLY}",
            )
        path = find_file(extent.location, self._folder, where)
        shape = tuple(tensor.dims)
        if is_narrow(tensor.data_type):
            count = (narrow_bytes(tensor),)
            return unpacked(map_values(extent, path, np.dtype(np.uint8), count, where), tensor)
        if tensor.data_type == Kinds.BFLOAT16:  # the upper half of a float32
            halves = map_values(extent, path, np.dtype(np.uint16), shape, where)
            return (halves.astype(np.uint32) << 16).view(np.float32)
        return map_values(extent, path, element_type(tensor.data_type, where), shape, where)


def is_absent(tensor: TensorProto) -> bool:
    """Whether the model says a tensor's shape and gives no values, here or elsewhere."""
    held = tensor.HasField("raw_data") or any(len(getattr(tensor, f)) for f in _VALUE_FIELDS)
    return math.prod(tensor.dims) > 0 and not held


def is_external(tensor: TensorProto) -> bool:
    """Whether the tensor's values lie in a file of their own."""
    from onnx import TensorProto  # noqa: PLC0415

    return tensor.data_location == TensorProto.EXTERNAL


def _size_bytes(name: str, tensor: TensorProto) -> int:
    """Bytes that a tensor's values take in a file."""
    from onnx import TensorProto as Kinds  # noqa: PLC0415

    dtype = element_type(tensor.data_type, f"tensor {name!r}")
    if is_narrow(tensor.data_type):
        return narrow_bytes(tensor)
    itemsize = 2 if tensor.data_type == Kinds.BFLOAT16 else dtype.itemsize
    return math.prod(tensor.dims) * itemsize


def element_type(data_type: int, where: str) -> np.dtype[Any]:
    """The numpy type of ONNX elements; bfloat16 is read as float32, narrow integers as bytes.

    Raises:
        ModelError: The dialect has no such element type.
    """
    from onnx import TensorProto, helper  # noqa: PLC0415

    if data_type == TensorProto.BFLOAT16:
        return np.dtype(np.float32)
    if is_narrow(data_type):
        return narrow_dtype(data_type)
    known = data_type in helper.get_all_tensor_dtypes() and data_type != TensorProto.STRING
    dtype = helper.tensor_dtype_to_np_dtype(data_type) if known else np.dtype(object)
    if dtype.kind not in "fiub" or dtype.itemsize > 8 or dtype.isbuiltin != 1:
        raise ModelError(f"elements of ONNX type {data_type} are not supported", where=where)
    return dtype


def seeded(name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """Values of a given shape that stand for unknown ones: normal, scaled by the fan-in.

    The same name gives the same values. Beyond 65,536 elements, values repeat along the first
    axes, and the array is a view that takes no more memory.
    """
    inner, elements = len(shape), 1
    while inner > 0 and elements * shape[inner - 1] <= SEEDED_ELEMENTS:
        inner -= 1
        elements *= shape[inner]
    rng = np.random.Generator(np.random.Philox(zlib.crc32(name.encode())))
    block = rng.standard_normal(shape[inner:], dtype=np.float32)
    if dtype.kind == "f":
        fan_in = math.prod(shape[1:]) if len(shape) > 2 else (shape[0] if len(shape) == 2 else 1)
        block = block / np.float32(math.sqrt(max(fan_in, 1)))
    else:
        block = np.clip(np.round(block * 32), 0 if dtype.kind in "ub" else -127, 127)
    return as_absent(np.broadcast_to(block.astype(dtype), shape))


def _check_finite(value: Array, where: str) -> None:
    if value.dtype.kind == "f" and value.size and np.isnan(value.min()):  # min hands NaN on
        raise ModelError("contains NaN", where=where, hint="train or export the network again")
