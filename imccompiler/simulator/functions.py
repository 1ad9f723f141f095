"""Digital functions of the instruction set: bytes in, bytes out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import ProgramError
from imccompiler.program.artifact import Function, Operand
from imccompiler.program.isa import byte_width
from imccompiler.simulator.core import read_values, write_values
from imccompiler.simulator.digital import evaluate_codes


def operand_bytes(operand: Operand) -> int:
    """Bytes that an operand takes in local memory."""
    return prod(operand.shape) * byte_width(operand.quantization.bits)


def elementwise(function: Function, n: int) -> Function:
    """The function on a plain block of n values, for `vtanh` and `vsigm`."""
    operands = tuple(replace(o, shape=(n,), layout=(0,)) for o in function.operands)
    return replace(
        function, operands=operands, result=replace(function.result, shape=(n,), layout=(0,))
    )


def call_function(function: Function, blocks: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    """Evaluate a function on the bytes of its operands, each of shape (images, bytes).

    Returns:
        The bytes of the result, shape (images, bytes).

    Raises:
        ProgramError: The result does not have the shape that the function declares.
        UserInputError: The operator is not supported.
    """
    count = max([len(blocks) + len(function.constants), *(1 + i for i in function.constants)])
    operands: list[NDArray[Any] | None] = [None] * count
    quants: list[Any] = [None] * count
    for position, constant in function.constants.items():
        operands[position] = constant
    free = (i for i in range(count) if i not in function.constants)
    for operand, block, position in zip(function.operands, blocks, free, strict=False):
        operands[position] = _unpack(operand, block)
        quants[position] = operand.quantization
    result = function.result
    codes = evaluate_codes(
        function.op_type, function.attributes, operands, quants, result.quantization
    )
    if codes.shape[1:] != result.shape:
        raise ProgramError(
            f"function {function.op_type} gives shape {codes.shape[1:]}, not {result.shape}"
        )
    return _pack(result, codes)


def _unpack(operand: Operand, block: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Codes in ONNX order, shape (images, *operand.shape)."""
    bits = operand.quantization.bits
    values = read_values(np.ascontiguousarray(block), 0, prod(operand.shape), bits)
    in_memory = values.reshape(len(block), *(operand.shape[a] for a in operand.layout))
    order = (operand.layout.index(a) for a in range(len(operand.shape)))
    return in_memory.transpose(0, *(1 + i for i in order))


def _pack(operand: Operand, codes: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Bytes in memory order, shape (images, bytes)."""
    in_memory = codes.transpose(0, *(1 + a for a in operand.layout)).reshape(len(codes), -1)
    block = np.zeros((len(codes), operand_bytes(operand)), np.uint8)
    write_values(block, 0, np.ascontiguousarray(in_memory), operand.quantization.bits)
    return block
