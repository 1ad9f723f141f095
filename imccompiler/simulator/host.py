"""Operators on the host: ONNX Runtime runs a model of one node.

Which operators run there, and the attributes that say how, is in `ir.host`. One that ONNX Runtime
lacks is run by ONNX's own reference implementation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.errors import UserInputError
from imccompiler.ir.host import OUTPUTS, TYPES, VERSION, split_name

_OWN = frozenset({VERSION, TYPES, OUTPUTS, "absent", "output"})
_IR_VERSION = 8  # what is built here needs nothing newer
_SESSIONS = 1024  # that are kept

Array = NDArray[Any]
Runner = Callable[[list[Array]], Array]


def evaluate_host(
    op_type: str, attributes: Mapping[str, Any], operands: Sequence[Array | None]
) -> Array:
    """One result of an operator, computed in the element types that the network gives it.

    Args:
        op_type: Operator; of another domain than ONNX's own with that in front.
        attributes: The node's, and those of the host.
        operands: In ONNX order, None for an absent one; of any element type.

    Returns:
        The result that the attribute `output` counts, in its own element type.

    Raises:
        UserInputError: The operator does not run with such operands.
    """
    run = _runner(op_type, tuple(sorted((k, _frozen(v)) for k, v in attributes.items())))
    kinds = attributes[TYPES]
    feeds = [
        _as_type(value, int(kind))
        for value, kind in zip(operands, kinds, strict=True)
        if value is not None
    ]
    try:
        return run(feeds)
    except Exception as error:  # onnxruntime's errors have no common base but this
        raise UserInputError(f"the host cannot run {op_type}: {error}") from error


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, (list, tuple)) else value


def _as_type(value: Array, kind: int) -> Array:
    """Reals as elements of an ONNX type: integers are rounded and saturated."""
    from onnx import helper  # noqa: PLC0415

    dtype, value = helper.tensor_dtype_to_np_dtype(kind), np.asarray(value)
    if value.dtype == dtype:
        return np.asarray(value, order="C")
    if dtype.kind == "b":
        return np.asarray(value != 0)
    if dtype.kind in "iu" and value.dtype.kind == "f":
        limits = np.iinfo(dtype)
        rounded = np.rint(np.nan_to_num(value))
        # float64 cannot hold the largest 64-bit integers: clip below them
        high = np.nextafter(2.0**63, 0) if dtype.itemsize == 8 else float(limits.max)
        return np.asarray(np.clip(rounded, float(limits.min), high)).astype(dtype)
    with np.errstate(over="ignore"):
        return np.asarray(value, dtype, order="C")


@lru_cache(maxsize=_SESSIONS)
def _runner(op_type: str, attributes: tuple[tuple[str, Any], ...]) -> Runner:
    """What runs the operator; made once for each form of it."""
    import onnxruntime  # noqa: PLC0415

    model, output = _model(op_type, dict(attributes))
    names = [i.name for i in model.graph.input]
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
    except Exception as error:
        if split_name(op_type)[0]:
            raise UserInputError(f"ONNX Runtime does not run {op_type}: {error}") from error
        return _reference(op_type, model, output, error)

    def run(feeds: list[Array]) -> Array:
        try:
            return np.asarray(session.run([output], dict(zip(names, feeds, strict=True)))[0])
        except Exception as error:  # it began to run what it cannot, as some functions of ONNX
            if split_name(op_type)[0]:
                raise
            return _reference(op_type, model, output, error)(feeds)

    return run


def _reference(op_type: str, model: Any, output: str, reason: Exception) -> Runner:
    """ONNX's own implementation of an operator that ONNX Runtime lacks."""
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415

    try:
        evaluator = ReferenceEvaluator(model)
    except Exception as error:  # onnx raises of several kinds
        raise UserInputError(f"ONNX Runtime does not run {op_type}: {reason}") from error
    names = [i.name for i in model.graph.input]

    def run(feeds: list[Array]) -> Array:
        found: Any = evaluator.run([output], dict(zip(names, feeds, strict=True)))
        return np.asarray(found[0])

    return run


def _model(op_type: str, attributes: Mapping[str, Any]) -> tuple[Any, str]:
    """The model of one node, and the name of the output that is wanted."""
    from onnx import ValueInfoProto, helper  # noqa: PLC0415

    domain, name = split_name(op_type)
    kinds = attributes[TYPES]
    inputs = [f"x{i}" if kind else "" for i, kind in enumerate(kinds)]
    outputs = [f"y{i}" if named else "" for i, named in enumerate(attributes[OUTPUTS])]
    output = outputs[attributes.get("output", 0)]
    version = int(attributes[VERSION])
    own = {k: v for k, v in attributes.items() if k not in _OWN}
    node = helper.make_node(name, inputs, outputs, domain=domain)
    node.attribute.extend(_attribute(domain, name, version, k, v) for k, v in own.items())
    graph = helper.make_graph(
        [node],
        "host",
        [
            helper.make_tensor_value_info(x, int(kind), None)
            for x, kind in zip(inputs, kinds, strict=True)
            if kind
        ],
        [ValueInfoProto(name=output)],
    )
    opsets = [helper.make_opsetid(domain, version)]
    if domain:
        opsets.append(helper.make_opsetid("", _RUNTIME_OPSET))
    return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION), output


_RUNTIME_OPSET = 17  # of ONNX's own domain in a model that has no such node


def _attribute(domain: str, op_type: str, version: int, name: str, value: Any) -> Any:
    """An attribute of the type that the operator's schema says, if there is a schema."""
    from onnx import defs, helper  # noqa: PLC0415

    kind: int | None = None
    if defs.has(op_type, version, domain):
        known = defs.get_schema(op_type, version, domain).attributes.get(name)
        kind_of: Any = None if known is None else known.type
        kind = None if kind_of is None else int(kind_of.value)
    if kind is None and value == ():
        kind = 7  # AttributeProto.INTS: an empty list does not say its type
    plain = list(value) if isinstance(value, tuple) else value
    return helper.make_attribute(name, plain, attr_type=kind)
