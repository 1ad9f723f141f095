"""What is known about a network before it is built."""

from __future__ import annotations

import math
from dataclasses import dataclass

from imccompiler.errors import ModelError


@dataclass(frozen=True, slots=True)
class ModelInput:
    """One input of a network as built with its default options.

    Attributes:
        name: The ONNX graph input.
        shape: Its dimensions, batch (always 1) first.
        dtype: Its numpy element type.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """A network that `imccompiler.models` can build.

    Attributes:
        name: What `build` calls it.
        description: One line for a list of networks.
        inputs: The graph inputs, in order.
        source: The paper or code that defines the network.
        trained: Whether its weights were learnt; otherwise they are drawn from a seed.
        absent: Whether it has no weights, only their shapes: too many for a file. It is compiled
            for shapes only.
    """

    name: str
    description: str
    inputs: tuple[ModelInput, ...]
    source: str
    trained: bool = False
    absent: bool = False


def check_range(name: str, value: int, minimum: int, maximum: float = math.inf) -> None:
    """Raise a ModelError if the option `name` of a builder is not within its inclusive range."""
    if not minimum <= value <= maximum:
        rule = f"from {minimum} to {maximum}" if maximum < math.inf else f"at least {minimum}"
        raise ModelError(f"{name} is {value}, and must be {rule}", where=name)
