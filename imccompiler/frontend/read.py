"""Reading an ONNX model safely: from a file, bytes, or a model in memory."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from imccompiler.errors import ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, OperatorSetIdProto

LIMIT_BYTES = 2**31 - 1  # a protobuf message cannot be longer
DEFAULT_DOMAINS = frozenset({"", "ai.onnx"})
OLDEST_OPSET = 7  # before it, broadcasting and dropout had other rules

NEWER = ", or install a newer onnx"


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
        return default_version(self.proto.opset_import) or 0


def default_version(imports: Iterable[OperatorSetIdProto]) -> int | None:
    """Version of the default operator domain among the imported ones."""
    return max((o.version for o in imports if o.domain in DEFAULT_DOMAINS), default=None)


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
        status = path.stat()
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
            raise ModelError("is not a file", where=str(path), hint="check the path")
        if status.st_size > LIMIT_BYTES:
            raise ModelError(
                "the file is above 2 GiB, which no ONNX file can be",
                where=str(path),
                hint="save the weights as external data",
            )
        return path.read_bytes()
    except (OSError, ValueError) as error:  # ValueError: the path holds a NUL
        message = f"cannot be read: {getattr(error, 'strerror', None) or error}"
        raise ModelError(message, where=str(path), hint="check the path") from error


def _parse(data: bytes, where: str) -> ModelProto:
    from google.protobuf.message import DecodeError  # noqa: PLC0415
    from onnx import ModelProto  # noqa: PLC0415

    if not data:
        raise ModelError("is empty", where=where, hint="export or fetch it again")
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        raise ModelError(
            "is not an ONNX model, or is cut off", where=where, hint="export or fetch it again"
        ) from error
    return model


def _check(model: ModelProto, where: str) -> None:
    if not model.HasField("graph") or not model.graph.output:
        raise ModelError(
            "is not an ONNX model, or is cut off: it has no outputs",
            where=where,
            hint="export or fetch it again",
        )
    _check_names(model, where)
    _check_versions(model, where)


def _check_names(model: ModelProto, where: str) -> None:
    texts = chain(
        _texts(model.graph),
        *((f.name, f.domain, *f.input, *f.output, *f.attribute) for f in model.functions),
        *(_node_texts(node) for function in model.functions for node in function.node),
    )
    try:
        sound = all(isinstance(text, str) for text in texts)  # else bytes
    except RecursionError:
        raise ModelError("has bodies within bodies without end", where=where) from None
    if not sound:
        raise ModelError("contains names that are not text", where=where)


def _check_versions(model: ModelProto, where: str) -> None:
    import onnx  # noqa: PLC0415

    version = default_version(model.opset_import)
    if version is None:
        raise ModelError(
            "does not say which version of ONNX's operators it uses",
            where=where,
            hint="set opset_import, or export it again",
        )
    newest = onnx.defs.onnx_opset_version()
    if not OLDEST_OPSET <= version <= newest:
        raise ModelError(
            f"uses version {version} of ONNX's operators",
            where=where,
            hint=f"convert it to a version from {OLDEST_OPSET} to {newest} "
            "(onnx.version_converter)" + (NEWER if version > newest else ""),
        )
    if not 0 < model.ir_version <= onnx.IR_VERSION:
        raise ModelError(
            f"is of IR version {model.ir_version}, and the onnx package that is installed reads "
            f"versions up to {onnx.IR_VERSION}",
            where=where,
            hint="export it for an older version" + NEWER,
        )


def _texts(graph: GraphProto) -> Iterator[object]:
    """Every name in a graph."""
    yield graph.name
    for value in (*graph.input, *graph.output, *graph.value_info):
        yield value.name
        yield from (dim.dim_param for dim in value.type.tensor_type.shape.dim)
    for tensor in graph.initializer:
        yield tensor.name
        for entry in tensor.external_data:
            yield from (entry.key, entry.value)
    for node in graph.node:
        yield from _node_texts(node)


def _node_texts(node: NodeProto) -> Iterator[object]:
    yield from (node.name, node.op_type, node.domain, *node.input, *node.output)
    for attribute in node.attribute:
        yield from (attribute.name, attribute.ref_attr_name)
        for body in (attribute.g, *attribute.graphs):
            yield from _texts(body)
