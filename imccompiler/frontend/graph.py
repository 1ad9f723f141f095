"""A static ONNX graph as the importer reads it: nodes, tensor types and constants by name."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.constants import Constants
from imccompiler.frontend.quantised_code import Code, ConstantCodes


@dataclass(frozen=True, slots=True)
class Node:
    """One ONNX node; `name` is unique in its graph, attributes are plain Python values.

    `domain` is empty for ONNX's own operators.
    """

    name: str
    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    domain: str = ""

    def input(self, position: int) -> str:
        """The tensor at an input position, or an empty string if it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""

    @property
    def where(self) -> str:
        """How errors name this node."""
        return f"node {self.name!r} ({self.op_type})"


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Shape and element type of a tensor."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


@dataclass(frozen=True, slots=True)
class Graph:
    """A graph without control flow, in which every shape is static.

    Attributes:
        nodes: In topological order.
        inputs: Names of the network's inputs.
        outputs: Names of the network's outputs.
        types: Of every tensor.
        constants: Every tensor that is known before the network runs.
        opset: Version of the default domain.
        codes: What is known of constants that stand for integers (`quantised.py`).
        input_codes: Codes of integer inputs that are quantised values.
        notes: Things the user should know.
    """

    nodes: tuple[Node, ...]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    types: Mapping[str, TensorInfo]
    constants: Constants
    opset: int
    codes: Mapping[str, ConstantCodes] = field(default_factory=dict[str, ConstantCodes])
    input_codes: Mapping[str, Code] = field(default_factory=dict[str, Code])
    notes: tuple[str, ...] = ()

    def type_of(self, name: str, where: str) -> TensorInfo:
        """Shape and element type of a tensor.

        Raises:
            ModelError: They are not known.
        """
        try:
            return self.types[name]
        except KeyError:
            raise ModelError(
                f"the shape of tensor {name!r} is not known before the network runs",
                where=where,
                hint="bind every dynamic dimension, or export the network with fixed shapes",
            ) from None
