"""The activation functions of recurrent operators, as digital operators."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from imccompiler.frontend.graph import Node


@dataclass(frozen=True, slots=True)
class Activation:
    """An activation function with its parameters; `name` as ONNX writes it."""

    name: str
    alpha: float = 0.0
    beta: float = 0.0


DEFAULTS: Mapping[str, tuple[str, ...]] = {
    "GRU": ("Sigmoid", "Tanh"),
    "LSTM": ("Sigmoid", "Tanh", "Tanh"),
    "RNN": ("Tanh",),
}

ACTIVATIONS: Mapping[str, tuple[float | None, float | None]] = {
    "Affine": (1.0, 0.0),
    "Elu": (1.0, None),
    "HardSigmoid": (0.2, 0.5),
    "LeakyRelu": (0.01, None),
    "Relu": (None, None),
    "ScaledTanh": (1.0, 1.0),
    "Sigmoid": (None, None),
    "Softplus": (None, None),
    "Softsign": (None, None),
    "Tanh": (None, None),
    "ThresholdedRelu": (1.0, None),
}
"""Defaults of alpha and beta, as of the operators of these names; None where there is none."""

_NAMES = {name.lower(): name for name in ACTIVATIONS}
_EXPLICIT = frozenset({"Affine", "ScaledTanh"})  # ONNX gives them no defaults


def activations_of(node: Node) -> tuple[Activation, ...] | None:
    """The functions of all directions, one after the other; None if one has no digital form.

    Parameters are handed to the functions that take them, in order.
    """
    count = 2 if node.attributes.get("direction") == "bidirectional" else 1
    default = DEFAULTS[node.op_type]
    given = [str(name) for name in node.attributes.get("activations") or default * count]
    names = [_NAMES.get(name.lower(), "") for name in given]
    if not all(names) or len(names) != count * len(default):
        return None
    alphas = list(node.attributes.get("activation_alpha") or ())
    betas = list(node.attributes.get("activation_beta") or ())
    found: list[Activation] = []
    for name in names:
        alpha, beta = ACTIVATIONS[name]
        if name in _EXPLICIT and not (alphas and betas):
            return None
        if alpha is not None and alphas:
            alpha = float(alphas.pop(0))
        if beta is not None and betas:
            beta = float(betas.pop(0))
        found.append(Activation(name, alpha or 0.0, beta or 0.0))
    return tuple(found)
