"""What a user may give as a network and as a machine, resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from imccompiler.compiler.torch_export import Module, export_module, is_module
from imccompiler.errors import HardwareError, ModelError, UserInputError
from imccompiler.hardware.load import load, vary
from imccompiler.hardware.logical import logical as logical_machine
from imccompiler.hardware.reading import parse_value
from imccompiler.hardware.schema import Machine

if TYPE_CHECKING:
    from onnx import ModelProto

    from imccompiler.frontend import Network

    NetworkSource = Network | ModelProto | Module | bytes | Path | str


def machine_of(
    hardware: Machine | Path | str, overrides: Sequence[str] = (), *, logical: bool = False
) -> Machine:
    """The machine of a preset's name, a YAML file or a `Machine`, with `key=value` overrides.

    Raises:
        HardwareError: The description or an override is not valid.
    """
    if isinstance(hardware, Machine):
        machine = vary(hardware, _overrides(overrides)) if overrides else hardware
    else:
        machine = load(hardware, overrides)
    return logical_machine(machine) if logical else machine


def network_of(
    model: NetworkSource,
    bindings: Mapping[str, int | float],
    *,
    shapes_only: bool,
    example_inputs: tuple[Any, ...] | None = None,
) -> tuple[Network, Path | bytes | None]:
    """The network, and the float model if there is one to compare with.

    Args:
        model: An ONNX file, the bytes of one, a model in memory, a `torch.nn.Module`, a name of
            `imccompiler.models`, or a network.
        bindings: Sizes of dynamic dimensions and values of scalar inputs.
        shapes_only: Leave large weights out; then there is nothing to compare with.
        example_inputs: For a `torch.nn.Module`, what its `forward` takes.

    Raises:
        ModelError: There is no such file or network, or it cannot be imported.
        UserInputError: Example inputs are missing, or given with another kind of model.
    """
    from imccompiler.frontend import Network, load_onnx  # noqa: PLC0415

    if isinstance(model, Network):
        return model, None
    opened = _exported(model, example_inputs)
    network = load_onnx(opened, bindings, shapes_only=shapes_only)
    if shapes_only:
        return network, None
    return network, opened if isinstance(opened, (Path, bytes)) else _bytes_of(opened)


def _exported(
    model: ModelProto | Module | bytes | Path | str, example_inputs: tuple[Any, ...] | None
) -> ModelProto | bytes | Path:
    """The model as ONNX."""
    if is_module(model):
        return export_module(model, example_inputs)
    if example_inputs is not None:
        raise UserInputError(
            "example inputs are for a torch.nn.Module only",
            where="example_inputs",
            hint="leave them out",
        )
    return _opened(cast("ModelProto | bytes | Path | str", model))


def _opened(model: ModelProto | bytes | Path | str) -> ModelProto | bytes | Path:
    """A name or a path resolved."""
    from imccompiler import models  # noqa: PLC0415

    if not isinstance(model, (str, Path)):
        return model
    path = Path(model)
    try:
        there = path.exists()
    except (OSError, ValueError):  # the name is too long for the file system, or holds a NUL
        there = False
    if there and not (path.is_dir() and str(model) in models.names()):
        return path
    if str(model) in models.names():
        return models.build(str(model))
    hint = f"or name one of {', '.join(models.names())}"
    raise ModelError("there is no such file", where=str(model), hint=hint)


def _bytes_of(model: ModelProto) -> bytes | None:
    """The bytes of a model in memory, for ONNX Runtime; None above 2 GiB, which it cannot take."""
    from google.protobuf.message import EncodeError  # noqa: PLC0415

    try:
        return model.SerializeToString(deterministic=True)
    except (EncodeError, ValueError):
        return None


def parse_bindings(texts: Sequence[str]) -> dict[str, int | float]:
    """Bindings of dynamic dimensions and scalar inputs from `name=value` texts.

    A value is a number, `true` or `false`.

    Raises:
        UserInputError: A text has another form, or a name is bound twice.
    """
    bindings: dict[str, int | float] = {}
    for text in texts:
        name, _, value = text.rpartition("=")
        number = _number(value.strip())
        if not name or number is None:
            raise UserInputError(
                "a binding has the form name=number",
                where=f"--bind {text}",
                hint="such as --bind batch=1",
            )
        if name in bindings:
            raise UserInputError(
                f"{name!r} is bound twice", where=f"--bind {text}", hint="leave one of them out"
            )
        bindings[name] = number
    return bindings


def _number(text: str) -> int | float | None:
    if text.lower() in {"true", "false"}:
        return int(text.lower() == "true")
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return None


def _overrides(texts: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise HardwareError("an override is written `key=value`", where=text)
        values[key.strip()] = parse_value(value, f"override `{text}`")
    return values
