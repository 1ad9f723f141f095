"""One form for the attributes of digital operators, whatever the version of ONNX.

Defaults are spelled out, what newer versions give as constant inputs becomes attributes, axes
count from the front, `auto_pad` becomes `pads`. `docs/ir.md` has the table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.graph import Node
from imccompiler.frontend.window import window_attributes

REDUCTIONS = tuple(
    f"Reduce{kind}"
    for kind in (
        "L1",
        "L2",
        "LogSum",
        "LogSumExp",
        "Max",
        "Mean",
        "Min",
        "Prod",
        "Sum",
        "SumSquare",
    )
)
POOLS = ("MaxPool", "AveragePool", "LpPool")

# Inputs that become attributes, by position.
ATTRIBUTE_INPUTS: Mapping[str, Mapping[int, str]] = {
    "Clip": {1: "min", 2: "max"},
    "CumSum": {1: "axis"},
    "Expand": {1: "shape"},
    "OneHot": {1: "depth"},
    "Pad": {1: "pads", 2: "constant_value", 3: "axes"},
    "Reshape": {1: "shape"},
    "Resize": {1: "roi", 2: "scales", 3: "sizes"},
    "Slice": {1: "starts", 2: "ends", 3: "axes", 4: "steps"},
    "Split": {1: "split"},
    "Squeeze": {1: "axes"},
    "Tile": {1: "repeats"},
    "TopK": {1: "k"},
    "Trilu": {1: "k"},
    "Unsqueeze": {1: "axes"},
    "Upsample": {1: "scales"},
    **{reduction: {1: "axes"} for reduction in REDUCTIONS},
}

# Follow from the shape of the result, or say nothing about inference.
_DROPPED: Mapping[str, tuple[str, ...]] = {
    "BatchNormalization": ("momentum", "training_mode", "spatial"),
    "Cast": ("saturate", "round_mode"),
    "LayerNormalization": ("stash_type",),
    "Reshape": ("allowzero",),
}

_LARGEST = float(np.finfo(np.float32).max)

Attributes = dict[str, Any]
Shape = tuple[int, ...]


def canonical_attributes(
    node: Node,
    opset: int,
    inputs: Sequence[Shape],
    result: Shape,
    constant: Callable[[str], np.ndarray[Any, Any]],
) -> Attributes:
    """The attributes of a node in the form of `docs/ir.md`.

    Args:
        node: The ONNX node.
        opset: Version of the default domain.
        inputs: Shapes of the node's inputs, empty for absent ones.
        result: Shape of its first output.
        constant: Gives a constant input's values, and raises if it is none.

    Raises:
        ModelError: An attribute is not possible, or depends on data.
    """
    attributes = {**_defaults(node.op_type, opset), **node.attributes}
    if node.op_type not in {"Expand", "Reshape"}:  # static shapes say it already
        for position, name in ATTRIBUTE_INPUTS.get(node.op_type, {}).items():
            if node.input(position):
                attributes[name] = constant(node.input(position)).ravel().tolist()
    for name in _DROPPED.get(node.op_type, ()):
        attributes.pop(name, None)
    if "axis" in attributes:
        rank = len(result) if node.op_type == "OneHot" else len(inputs[0])
        attributes["axis"] = _axis(node, int(attributes["axis"]), rank)
    rule = _RULES.get(node.op_type)
    if rule is not None:
        attributes = rule(_Case(node, attributes, inputs[0], result))
    return {name: value for name, value in attributes.items() if value is not None}


@cache
def _defaults(op_type: str, opset: int) -> Mapping[str, Any]:
    from onnx import defs, helper  # noqa: PLC0415

    schema = defs.get_schema(op_type, opset, "")
    return {
        name: plain(helper.get_attribute_value(attribute.default_value))
        for name, attribute in schema.attributes.items()
        if attribute.default_value.name
    }


def plain(value: Any) -> Any:
    """An ONNX attribute value as Python's: text decoded, floats the shortest that mean the same.

    ONNX holds floats in single precision; 0.1 there is 0.1 here, not 0.10000000149.
    """
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if isinstance(value, float):
        return float(str(np.float32(value)))
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return value


def _axis(node: Node, axis: int, rank: int) -> int:
    if node.op_type == "Flatten" and axis == rank:
        return axis
    if not -rank <= axis < max(rank, 1):
        raise ModelError(f"axis {axis} of a tensor of rank {rank}", where=node.where)
    return axis % rank if rank else 0


@dataclass(frozen=True, slots=True)
class _Case:
    """What a rule looks at: the node, its attributes so far, its first input's shape and rank."""

    node: Node
    attributes: Attributes
    x: Shape
    result: Shape

    def axes(self, axes: Sequence[int], rank: int) -> list[int]:
        return sorted(_axis(self.node, axis, rank) for axis in axes)

    def scalar(self, name: str, default: float = 0) -> Any:
        """An attribute that newer versions hold as a tensor of one element."""
        value = self.attributes.get(name, default)
        return value[0] if isinstance(value, list) else value

    def require(self, condition: bool, message: str) -> None:
        """Raise a ModelError that names the node, unless `condition` holds."""
        if not condition:
            raise ModelError(message, where=self.node.where)


def _result_shape(case: _Case) -> Attributes:
    return {"shape": list(case.result)}


def _squeeze(case: _Case) -> Attributes:
    given = case.attributes.get("axes")
    axes = [i for i, dim in enumerate(case.x) if dim == 1] if given is None else given
    return {"axes": case.axes(axes, len(case.x))}


def _unsqueeze(case: _Case) -> Attributes:
    return {"axes": case.axes(case.attributes["axes"], len(case.result))}


def _reduce(case: _Case) -> Attributes:
    axes = case.attributes.get("axes") or []
    reduces = bool(axes) or not case.attributes.get("noop_with_empty_axes")
    case.require(reduces, "reduces no axis")
    axes = case.axes(axes or range(len(case.x)), len(case.x))
    return {"axes": axes, "keepdims": case.attributes["keepdims"]}


def _clip(case: _Case) -> Attributes:
    """A bound that no float32 exceeds is none: before version 11 those were the defaults."""
    bounds = {name: case.scalar(name, math.inf) for name in ("min", "max")}
    return {name: bound for name, bound in bounds.items() if abs(bound) < _LARGEST}


def _integer(name: str) -> Callable[[_Case], Attributes]:
    return lambda case: {**case.attributes, name: int(case.scalar(name))}


def _cumsum(case: _Case) -> Attributes:
    axis = _axis(case.node, int(case.scalar("axis")), len(case.x))
    return {**case.attributes, "axis": axis}


def _pad(case: _Case) -> Attributes:
    rank = len(case.x)
    axes = case.attributes.get("axes")
    axes = [_axis(case.node, axis, rank) for axis in (range(rank) if axes is None else axes)]
    given, pads = case.attributes["pads"], [0] * (2 * rank)
    case.require(len(given) == 2 * len(axes), f"{len(given)} pads for {len(axes)} axes")
    for position, axis in enumerate(axes):
        pads[axis], pads[axis + rank] = given[position], given[position + len(axes)]
    value = case.scalar("constant_value", case.attributes.get("value", 0.0))
    return {"mode": case.attributes["mode"], "pads": pads, "constant_value": value}


def _slice(case: _Case) -> Attributes:
    given = case.attributes
    count = len(given["starts"])
    axes = given.get("axes") or list(range(count))
    steps = given.get("steps") or [1] * count
    lists = (axes, given["starts"], given["ends"], steps)
    case.require(len({len(each) for each in lists}) == 1, "starts, ends, axes and steps differ")
    case.require(0 not in steps, "a step cannot be 0")
    rows: list[tuple[int, int, int, int]] = []
    for given_axis, start, end, step in zip(*lists, strict=True):
        axis = _axis(case.node, given_axis, len(case.x))
        size = case.x[axis]
        begin, stop, _ = slice(start, end, step).indices(size)
        # A backward slice to the front ends before element 0; -1 would mean the last one.
        rows.append((axis, begin, stop if stop >= 0 else -size - 1, step))
    rows = [row for row in sorted(rows) if row[1:] != (0, case.x[row[0]], 1)]
    names = ("axes", "starts", "ends", "steps")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _resize(case: _Case) -> Attributes:
    attributes = dict(case.attributes)
    policy = attributes.pop("keep_aspect_ratio_policy", "stretch")
    case.require(policy == "stretch", "keep_aspect_ratio_policy must be stretch")
    axes = attributes.pop("axes", None) or list(range(len(case.x)))
    scales, sizes = attributes.pop("scales", None), attributes.pop("sizes", None)
    given = scales or sizes or []
    case.require(len(given) == len(axes), f"{len(given)} scales for {len(axes)} axes")
    full = [1.0] * len(case.x)
    for position, axis in enumerate(axes):
        full[axis] = scales[position] if scales else sizes[position] / case.x[axis]
    if case.node.op_type == "Upsample":  # as ONNX's version converter maps it
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    if attributes.get("coordinate_transformation_mode") != "tf_crop_and_resize":
        attributes.pop("roi", None)
    return {**attributes, "scales": full, "sizes": list(case.result)}


def _transpose(case: _Case) -> Attributes:
    return {"perm": case.attributes.get("perm") or list(range(len(case.x)))[::-1]}


def _pool(case: _Case) -> Attributes:
    window = window_attributes(case.node, case.attributes, case.x, case.attributes["kernel_shape"])
    kept = {k: v for k, v in case.attributes.items() if k not in {"auto_pad", "storage_order"}}
    return {**kept, **window}


_RULES: Mapping[str, Callable[[_Case], Attributes]] = {
    "Clip": _clip,
    "CumSum": _cumsum,
    "Expand": _result_shape,
    "OneHot": _integer("depth"),
    "Pad": _pad,
    "Reshape": _result_shape,
    "Resize": _resize,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "TopK": _integer("k"),
    "Transpose": _transpose,
    "Trilu": _integer("k"),
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
    **dict.fromkeys(POOLS, _pool),
    **dict.fromkeys(REDUCTIONS, _reduce),
}
