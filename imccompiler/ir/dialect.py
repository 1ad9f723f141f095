"""The `imc` dialect: operations, their verifiers and the dialect object.

A module is flat: inputs, weights, operations in topological order, outputs. One op has one
result. See `docs/ir.md`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from xdsl.dialects.builtin import DictionaryAttr, StringAttr, TensorType
from xdsl.ir import Dialect, SSAValue
from xdsl.irdl import (
    IRDLOperation,
    ParsePropInAttrDict,
    irdl_op_definition,
    operand_def,
    opt_operand_def,
    opt_prop_def,
    prop_def,
    result_def,
    traits_def,
    var_operand_def,
)
from xdsl.traits import Pure
from xdsl.utils.exceptions import VerifyException

from imccompiler.errors import IRError
from imccompiler.ir import decisions as d
from imccompiler.ir.attributes import to_python
from imccompiler.ir.shapes import matmul_output_shape
from imccompiler.ir.types import Tensor, shape_of

__all__ = [
    "IMC",
    "DigitalOp",
    "DynamicMatmulOp",
    "InputOp",
    "MatmulOp",
    "OutputOp",
    "WeightOp",
    "shape_of",
]


@irdl_op_definition
class InputOp(IRDLOperation):
    """A network input; the host quantises it with `quant`."""

    name = "imc.input"
    port = prop_def(StringAttr)
    quant = opt_prop_def(d.Quant)
    result = result_def(TensorType)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$port attr-dict `:` type($result)"

    def __init__(self, port: str, result_type: Tensor, quant: d.Quant | None = None) -> None:
        super().__init__(
            properties={"port": StringAttr(port), "quant": quant}, result_types=[result_type]
        )


@irdl_op_definition
class WeightOp(IRDLOperation):
    """A constant: names an entry of the weight store."""

    name = "imc.weight"
    key = prop_def(StringAttr)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$key attr-dict `:` type($result)"

    def __init__(self, key: str, result_type: Tensor) -> None:
        super().__init__(properties={"key": StringAttr(key)}, result_types=[result_type])


@irdl_op_definition
class MatmulOp(IRDLOperation):
    """Every product with static weights: Conv, Gemm, MatMul, grouped and depthwise Conv.

    With a `kernel`, the input is (1, C, spatial...) and the weight (N, C / groups, kernel...);
    without, the input is (..., K) and the weight (K, N).
    """

    name = "imc.matmul"
    input = operand_def(TensorType)
    weight = operand_def(TensorType)
    bias = opt_operand_def(TensorType)
    window = prop_def(d.Window)
    activation = prop_def(StringAttr)
    source = opt_prop_def(d.Source)
    quant = opt_prop_def(d.Quant)
    codes = opt_prop_def(d.WeightCodes)
    integer = opt_prop_def(d.IntegerMatmul)
    kind = opt_prop_def(d.Kind)
    tiling = opt_prop_def(d.Tiling)
    segment = opt_prop_def(d.Segment)
    replication = opt_prop_def(d.Replication)
    placement = opt_prop_def(d.Placement)
    grain = opt_prop_def(d.Grain)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$input `,` $weight (`bias` $bias^)? attr-dict `:` "
        "type($input) `,` type($weight) (`,` type($bias)^)? `->` type($result)"
    )

    ACTIVATIONS: ClassVar[tuple[str, ...]] = ("none", "relu")

    def __init__(
        self,
        input_value: SSAValue,
        weight: SSAValue,
        bias: SSAValue | None,
        result_type: Tensor,
        *,
        window: d.Window,
        activation: str = "none",
        source: d.Source | None = None,
    ) -> None:
        super().__init__(
            operands=[input_value, weight, [] if bias is None else [bias]],
            properties={
                "window": window,
                "activation": StringAttr(activation),
                "source": source,
            },
            result_types=[result_type],
        )

    def verify_(self) -> None:
        """Shapes follow from the window; decisions agree with each other."""
        expected = matmul_output_shape(shape_of(self.input), shape_of(self.weight), self.window)
        if expected != shape_of(self.result):
            raise VerifyException(f"result must have shape {expected}")
        if self.bias is not None and shape_of(self.bias) != (self.output_channels,):
            raise VerifyException(f"bias must have shape ({self.output_channels},)")
        if self.activation.data not in self.ACTIVATIONS:
            raise VerifyException(f"activation must be one of {self.ACTIVATIONS}")
        if self.replication is not None and self.placement is not None:
            r = self.replication
            parts = r.copies * r.row_split * r.column_split
            if len(self.placement.cores) != parts:
                raise VerifyException(
                    f"placement names {len(self.placement.cores)} cores for {parts} parts"
                )

    @property
    def output_channels(self) -> int:
        """Columns of the whole weight matrix."""
        shape = shape_of(self.weight)
        return shape[0] if self.window.kernel else shape[-1]

    @property
    def inner_size(self) -> int:
        """Products that are summed for one result: rows of one group's weight matrix."""
        shape = shape_of(self.weight)
        return math.prod(shape[1:]) if self.window.kernel else shape[0]

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return math.prod(shape_of(self.result)) * self.inner_size


@irdl_op_definition
class DynamicMatmulOp(IRDLOperation):
    """Product of two activations, (..., M, K) x (..., K, N); leading axes broadcast."""

    name = "imc.dynamic_matmul"
    lhs = operand_def(TensorType)
    rhs = operand_def(TensorType)
    source = opt_prop_def(d.Source)
    quant = opt_prop_def(d.Quant)
    placement = opt_prop_def(d.Placement)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$lhs `,` $rhs attr-dict `:` type($lhs) `,` type($rhs) `->` type($result)"

    def __init__(
        self, lhs: SSAValue, rhs: SSAValue, result_type: Tensor, source: d.Source | None = None
    ) -> None:
        super().__init__(
            operands=[lhs, rhs], properties={"source": source}, result_types=[result_type]
        )

    def verify_(self) -> None:
        """Inner dimensions agree; leading ones broadcast."""
        lhs, rhs, result = shape_of(self.lhs), shape_of(self.rhs), shape_of(self.result)
        if len(lhs) < 2 or len(rhs) < 2 or lhs[-1] != rhs[-2]:
            raise VerifyException(f"cannot multiply {lhs} and {rhs}")
        try:
            expected = (*np.broadcast_shapes(lhs[:-2], rhs[:-2]), lhs[-2], rhs[-1])
        except ValueError:
            raise VerifyException(f"leading axes of {lhs} and {rhs} do not broadcast") from None
        if result != expected:
            raise VerifyException(f"result must have shape {expected}")

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return math.prod(shape_of(self.result)) * shape_of(self.lhs)[-1]


@irdl_op_definition
class DigitalOp(IRDLOperation):
    """Everything else: an ONNX operator with its attributes, in the default domain."""

    name = "imc.digital"
    operands_ = var_operand_def(TensorType)
    op_type = prop_def(StringAttr)
    attrs = prop_def(DictionaryAttr)
    source = opt_prop_def(d.Source)
    quant = opt_prop_def(d.Quant)
    placement = opt_prop_def(d.Placement)
    result = result_def(TensorType)
    traits = traits_def(Pure())
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = (
        "$op_type `(` $operands_ `)` $attrs attr-dict `:` "
        "`(` type($operands_) `)` `->` type($result)"
    )

    def __init__(
        self,
        op_type: str,
        operands: Sequence[SSAValue],
        result_type: Tensor,
        attributes: DictionaryAttr | None = None,
        source: d.Source | None = None,
    ) -> None:
        super().__init__(
            operands=[operands],
            properties={
                "op_type": StringAttr(op_type),
                "attrs": attributes or DictionaryAttr({}),
                "source": source,
            },
            result_types=[result_type],
        )

    def verify_(self) -> None:
        """The operator is named and every attribute is of a kind that Python knows."""
        if not self.op_type.data:
            raise VerifyException("op_type must not be empty")
        try:
            self.python_attributes()
        except IRError as error:
            raise VerifyException(error.message) from error

    def python_attributes(self) -> dict[str, Any]:
        """The operator's attributes by name, as Python values."""
        return to_python(self.attrs)


@irdl_op_definition
class OutputOp(IRDLOperation):
    """A network output."""

    name = "imc.output"
    value = operand_def(TensorType)
    port = prop_def(StringAttr)
    irdl_options = (ParsePropInAttrDict(),)
    assembly_format = "$port $value attr-dict `:` type($value)"

    def __init__(self, port: str, value: SSAValue) -> None:
        super().__init__(operands=[value], properties={"port": StringAttr(port)})


IMC = Dialect(
    "imc", [InputOp, WeightOp, MatmulOp, DynamicMatmulOp, DigitalOp, OutputOp], list(d.ALL)
)
