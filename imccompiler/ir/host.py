"""Digital operators on the host: their names, and the attributes that they have beside the node's.

An operator of the dialect whose name has a domain in front runs on the host: `ai.onnx.GridSample`,
`com.microsoft.FusedMatMul`. Without one it runs on the vector unit. So no pass takes one for the
other.
"""

from __future__ import annotations

DEFAULT_DOMAIN = "ai.onnx"

VERSION = "host_version"
"""The version of the operator's domain whose meaning the node has."""

TYPES = "host_types"
"""ONNX's number of the element type of every input, 0 for an absent one."""

OUTPUTS = "host_outputs"
"""For every output of the node 1 if it has a name, else 0."""


def host_name(domain: str, op_type: str) -> str:
    """The dialect's name of an operator on the host; an empty domain is ONNX's own."""
    return f"{domain or DEFAULT_DOMAIN}.{op_type}"


def on_host(op_type: str) -> bool:
    """Whether a digital operator of this name runs on the host."""
    return "." in op_type


def split_name(op_type: str) -> tuple[str, str]:
    """Domain, empty for ONNX's own, and operator of a dialect's name."""
    domain, _, name = op_type.rpartition(".")
    return "" if domain == DEFAULT_DOMAIN else domain, name
