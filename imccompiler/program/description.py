"""The part of a program that is JSON: names, widths, ports and functions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import ProgramError
from imccompiler.program.artifact import Function, Operand, Port, Program, Quantization


def describe(program: Program) -> dict[str, Any]:
    """Everything of a program but its arrays, as plain data."""
    return {
        "weight_bits": program.weight_bits,
        "input_bits": program.input_bits,
        "global_bytes": program.global_bytes,
        "layers": list(program.layers),
        "matrices": list(program.matrices),
        "inputs": [_port(p) for p in program.inputs],
        "outputs": [_port(p) for p in program.outputs],
        "functions": [_function(f) for f in program.functions],
    }


def port_from(data: Mapping[str, Any]) -> Port:
    """A port from plain data."""
    return Port(
        name=data["name"],
        shape=tuple(data["shape"]),
        layout=tuple(data["layout"]),
        quantization=_quantization_from(data["quantization"]),
        address=data["address"],
    )


def function_from(data: Mapping[str, Any], constants: Mapping[int, NDArray[Any]]) -> Function:
    """A function from plain data and its constants."""
    return Function(
        op_type=data["op_type"],
        attributes={k: _tuples(v) for k, v in data["attributes"].items()},
        operands=tuple(_operand_from(o) for o in data["operands"]),
        result=_operand_from(data["result"]),
        constants=constants,
        macs=data["macs"],
    )


def _port(port: Port) -> dict[str, Any]:
    return {
        "name": port.name,
        "shape": list(port.shape),
        "layout": list(port.layout),
        "quantization": _quantization(port.quantization),
        "address": int(port.address),
    }


def _function(function: Function) -> dict[str, Any]:
    return {
        "op_type": function.op_type,
        "attributes": {k: _plain(v, k) for k, v in sorted(function.attributes.items())},
        "operands": [_operand(o) for o in function.operands],
        "result": _operand(function.result),
        "macs": int(function.macs),
    }


def _operand(operand: Operand) -> dict[str, Any]:
    return {
        "shape": [int(s) for s in operand.shape],
        "layout": [int(a) for a in operand.layout],
        "quantization": _quantization(operand.quantization),
    }


def _operand_from(data: Mapping[str, Any]) -> Operand:
    quantization = _quantization_from(data["quantization"])
    return Operand(tuple(data["shape"]), tuple(data["layout"]), quantization)


def _quantization(q: Quantization) -> dict[str, Any]:
    return {"scale": float(q.scale), "zero_point": int(q.zero_point), "bits": int(q.bits)}


def _quantization_from(data: Mapping[str, Any]) -> Quantization:
    return Quantization(float(data["scale"]), int(data["zero_point"]), int(data["bits"]))


def _plain(value: Any, name: str) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (list, tuple)):
        return [_plain(v, name) for v in value]
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ProgramError(f"attribute {name!r} of type {type(value).__name__} cannot be stored")


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value
