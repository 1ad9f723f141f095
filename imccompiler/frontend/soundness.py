"""Soundness of single nodes: operators that exist, and ONNX's own rules for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from imccompiler.errors import ModelError
from imccompiler.frontend.domains import DEFAULT, QONNX, RUNTIME, is_known
from imccompiler.frontend.order import describe

if TYPE_CHECKING:
    from onnx import NodeProto

AT_LEAST_ONE = frozenset(
    {"blocksize", "dilations", "group", "hidden_size", "kernel_shape", "num_groups"}
    | {"num_heads", "num_outputs", "num_scan_inputs", "strides"}
)
"""Attributes by which operators divide or count; inference and ONNX Runtime trust them."""


def check_node(proto: NodeProto, opset: int, imports: Mapping[str, int], ir_version: int) -> None:
    """Check that a node's operator exists, and its numbers of inputs and kinds of attributes.

    Args:
        proto: The node; inside its bodies nothing is checked.
        opset: Version of the default domain.
        imports: Versions of all domains.
        ir_version: Of the model.

    Raises:
        ModelError: The operator is unknown, or a rule of ONNX is broken.
    """
    check_known(proto, opset)
    _check_attributes(proto)
    if proto.domain not in DEFAULT or any(attribute.HasField("g") for attribute in proto.attribute):
        return  # a body refers to tensors around it, of which a lone node knows nothing
    from onnx import checker  # noqa: PLC0415

    context = checker.C.CheckerContext()
    context.ir_version = ir_version
    context.opset_imports = {"": opset, **imports}
    try:
        checker.check_node(proto, context)
    except (checker.ValidationError, ValueError, RuntimeError) as error:
        raise ModelError(
            f"is not sound: {error}", where=describe(proto), hint="export the network again"
        ) from error


def check_known(proto: NodeProto, opset: int) -> None:
    """Check that a node is of an operator that there is.

    Raises:
        ModelError: It is not.
    """
    if is_known(proto, opset):
        return
    if proto.domain in DEFAULT:
        raise ModelError(
            f"version {opset} of ONNX (domain 'ai.onnx') has no operator {proto.op_type!r}",
            where=describe(proto),
            hint="is the name misspelt, or the version in opset_import wrong?",
        )
    if proto.domain in RUNTIME | QONNX:
        raise ModelError(
            f"the domain {proto.domain!r} has no operator {proto.op_type!r}",
            where=describe(proto),
            hint="export the network with the operators of ONNX itself",
        )
    raise ModelError(
        f"operators of the domain {proto.domain!r} are not supported",
        where=describe(proto),
        hint="export the network with the operators of ONNX itself",
    )


def _check_attributes(proto: NodeProto) -> None:
    for attribute in proto.attribute:
        if attribute.name in AT_LEAST_ONE and proto.domain in DEFAULT:
            numbers = [attribute.i] if attribute.HasField("i") else list(attribute.ints)
            if not attribute.ref_attr_name and any(number < 1 for number in numbers):
                raise ModelError(
                    f"attribute {attribute.name!r} is {numbers}, and has to be at least 1",
                    where=describe(proto),
                )
