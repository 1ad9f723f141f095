"""Reading an ONNX model safely: from a file, bytes, or a model in memory."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from imccompiler.errors import ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto

LIMIT_BYTES = 2**31 - 1  # a protobuf message cannot be longer
OLDEST_OPSET = 7  # before it, broadcasting and dropout had other rules


@dataclass(frozen=True, slots=True)
class Model:
    """A model as read, external data not yet.

    Attributes:
        proto: The ONNX model; never changed.
        name: Of the file, else of the graph.
        folder: Where external data may lie; None if the model did not come from a file.
    """

    proto: ModelProto
    name: str
    folder: Path | None

    @property
    def opset(self) -> int:
        """Version of the default operator domain."""
        return max(o.version for o in self.proto.opset_import if o.domain in {"", "ai.onnx"})


def read_model(source: Path | str | bytes | ModelProto) -> Model:
    """Read a model and check that it is one.

    Raises:
        ModelError: It cannot be read, is not an ONNX model, or its operators are too old or new.
    """
    if isinstance(source, bytes):
        model = Model(_parse(source, "<bytes>"), "", None)
    elif isinstance(source, (str, Path)):
        path = Path(source)
        model = Model(_parse(_read_bytes(path), str(path)), path.stem, path.resolve().parent)
    else:
        model = Model(source, "", None)
    _check(model.proto, model.name or "the model")
    return Model(model.proto, model.name or model.proto.graph.name or "network", model.folder)


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > LIMIT_BYTES:
            raise ModelError(
                "the file is above 2 GiB, which no ONNX file can be",
                where=str(path),
                hint="save the weights as external data",
            )
        return path.read_bytes()
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror or error}", where=str(path)) from error


def _parse(data: bytes, where: str) -> ModelProto:
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from onnx import ModelProto  # noqa: PLC0415

    if not data:
        raise ModelError("is empty", where=where)
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError("is not an ONNX model, or is cut off", where=where) from error
    return model


def _check(model: ModelProto, where: str) -> None:
    from onnx import defs  # noqa: PLC0415

    if not model.HasField("graph") or not model.graph.output:
        raise ModelError("is not an ONNX model, or is cut off: it has no outputs", where=where)
    if not all(isinstance(text, str) for text in _texts(model.graph)):  # else bytes
        raise ModelError("contains names that are not text", where=where)
    versions = [o.version for o in model.opset_import if o.domain in {"", "ai.onnx"}]
    if not versions:
        raise ModelError("does not say which version of ONNX's operators it uses", where=where)
    newest = defs.onnx_opset_version()
    if not OLDEST_OPSET <= max(versions) <= newest:
        raise ModelError(
            f"uses version {max(versions)} of ONNX's operators",
            where=where,
            hint=f"convert it to a version from {OLDEST_OPSET} to {newest} "
            "(onnx.version_converter)",
        )


def _texts(graph: GraphProto) -> Iterator[object]:
    """Every name in a graph."""
    yield graph.name
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
        yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    for tensor in graph.initializer:
        yield tensor.name
    for node in graph.node:
        yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
        for attribute in node.attribute:
            yield attribute.name
            for body in (attribute.g, *attribute.graphs):
                yield from _texts(body)
