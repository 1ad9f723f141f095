"""What a user may give as a network and as a machine, resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from imccompiler.errors import HardwareError, ModelError, UserInputError
from imccompiler.hardware.load import load, vary
from imccompiler.hardware.logical import logical as logical_machine
from imccompiler.hardware.reading import parse_value
from imccompiler.hardware.schema import Machine

if TYPE_CHECKING:
    from onnx import ModelProto

    from imccompiler.frontend import Network


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
    model: Network | ModelProto | Path | str, bindings: Mapping[str, int], *, shapes_only: bool
) -> tuple[Network, Path | bytes | None]:
    """The network, and the float model if there is one to compare with.

    Args:
        model: An ONNX file, a model in memory, a name of `imccompiler.models`, or a network.
        bindings: Sizes of dynamic dimensions.
        shapes_only: Leave large weights out; then there is nothing to compare with.

    Raises:
        ModelError: There is no such file or network, or it cannot be imported.
    """
    from imccompiler import models  # noqa: PLC0415
    from imccompiler.frontend import Network, load_onnx  # noqa: PLC0415

    if isinstance(model, Network):
        return model, None
    source: Path | bytes
    if not isinstance(model, (str, Path)):
        source = model.SerializeToString(deterministic=True)
    elif Path(model).is_file():
        source = Path(model)
    elif str(model) in models.names():
        name = str(model)
        source = models.build(name).SerializeToString(deterministic=True)
    else:
        hint = f"or name one of {', '.join(models.names())}"
        raise ModelError("there is no such file", where=str(model), hint=hint)
    network = load_onnx(source, bindings, shapes_only=shapes_only)
    return network, None if shapes_only else source


def parse_bindings(texts: Sequence[str]) -> dict[str, int]:
    """Bindings of dynamic dimensions from `name=value` texts.

    Raises:
        UserInputError: A text has another form.
    """
    bindings: dict[str, int] = {}
    for text in texts:
        name, separator, value = text.partition("=")
        if not (name and separator and value.lstrip("-").isdigit()):
            raise UserInputError("a binding has the form name=number", where=f"--bind {text}")
        bindings[name] = int(value)
    return bindings


def _overrides(texts: Sequence[str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise HardwareError("an override is written `key=value`", where=text)
        values[key.strip()] = parse_value(value, f"override `{text}`")
    return values
