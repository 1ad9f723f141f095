"""Attributes by which a digital operator is known to run on the host."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

VERSION = "host"
"""The version of the operator's domain whose meaning the node has."""

TYPES = "host_types"
"""ONNX's number of the element type of every input, 0 for an absent one."""

OUTPUTS = "host_outputs"
"""For every output of the node 1 if it has a name, else 0."""


def on_host(attributes: Mapping[str, Any]) -> bool:
    """Whether an operator with these attributes runs on the host."""
    return VERSION in attributes


def split_name(op_type: str) -> tuple[str, str]:
    """Domain and name of an operator: `com.microsoft.Gelu` is Gelu of com.microsoft."""
    domain, _, name = op_type.rpartition(".")
    return domain, name
