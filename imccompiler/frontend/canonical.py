"""One form for the attributes of digital operators, whatever the version of ONNX.

Defaults are spelled out, what newer versions give as constant inputs becomes attributes, axes
count from the front, `auto_pad` becomes `pads`. `docs/ir.md` has the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from imccompiler.errors import ModelError
from imccompiler.frontend.graph import Node

REDUCTIONS = tuple(
    f"Reduce{kind}"
    for kind in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
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
    **dict.fromkeys(REDUCTIONS, {1: "axes"}),
}

# Follow from the shape of the result, or say nothing about inference.
_DROPPED: Mapping[str, tuple[str, ...]] = {
    "BatchNormalization": ("momentum", "training_mode", "spatial"),
    "Cast": ("saturate", "round_mode"),
    "LayerNormalization": ("stash_type",),
    "Reshape": ("allowzero",),
}

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
                attributes[name] = constant(node.input(position)).tolist()
    for name in _DROPPED.get(node.op_type, ()):
        attributes.pop(name, None)
    rank = len(inputs[0]) if inputs else 0
    if "axis" in attributes:
        axis_rank = len(result) if node.op_type in {"OneHot", "Gather"} else rank
        attributes["axis"] = _axis(node, int(attributes["axis"]), axis_rank + (node.op_type == "Flatten"))
    rule = _RULES.get(node.op_type)
    if rule is not None:
        attributes = rule(node, attributes, inputs[0], result)
    return {name: value for name, value in attributes.items() if value is not None}


@lru_cache(maxsize=None)
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
    if not -rank <= axis < max(rank, 1):
        raise ModelError(f"axis {axis} of a tensor of rank {rank}", where=node.where)
    return axis % rank if rank else 0


def _axes(node: Node, axes: Sequence[int], rank: int) -> list[int]:
    return sorted(_axis(node, axis, rank) for axis in axes)


def _result_shape(node: Node, attributes: Attributes, x: Shape, result: Shape) -> Attributes:
    return {"shape": list(result)}


def _squeeze(node: Node, attributes: Attributes, x: Shape, result: Shape) -> Attributes:
    given = attributes.get("axes")
    axes = [i for i, dim in enumerate(x) if dim == 1] if given is None else given
    return {"axes": _axes(node, axes, len(x))}


def _unsqueeze(node: Node, attributes: Attributes, x: Shape, result: Shape) -> Attributes:
    return {"axes": _axes(node, attributes["axes"], len(result))}


def _reduce(node: Node, attributes: Attributes, x: Shape, result: Shape) -> Attributes:
    axes = attributes.get("axes") or []
    if not axes and attributes.get("noop_with_empty_axes"):
        raise ModelError("reduces no axis", where=node.where)
    axes = _axes(node, axes, len(x)) if axes else list(range(len(x)))
    return {"axes": axes, "keepdims": attributes["keepdims"]}


def _clip(node: Node, attributes: Attributes, x: Shape, result: Shape) -> Attributes:
    lowest, highest = np.finfo(np.float32).min, np.finfo(np.float32).max
    bounds: Attributes = {}
    for name in ("min", "max"):
        bound = attributes.get(name)
        bound = bound[0] if isinstance(bound, list) else bound
        if bound is not None and lowest < bound < highest:
            bounds[name] = bound
    return bounds


def _scalar(name: str) -> Callable[[Node, Attributes, Shape, Shape], Attributes]:
    def rule(node: Node, attributes: Attributes, x: Shape, result: Shape) -> Attributes:
        value = attributes.get(name, 0)
        return {**attributes, name: int(value[0] if isinstance(value, list) else value)}

    return rule


def _cumsum(node: Node, attributes: Attributes, x: Shape, result: Shape) -> Attributes:
    attributes = _scalar("axis")(node, attributes, x, result)
    return {**attributes, "axis": _axis(node, attributes["axis"], len(x))}


def _pad(node: Node, attributes: Attributes, x: Shape, result: Shape) -> Attributes:
    axes = attributes.get("axes")
    axes = [_axis(node, a, len(x)) for a in (range(len(x)) if axes is None else axes)]
    given, pads = attributes["pads"], [0] * (2 * len(x))
    for position, axis in enumerate(axes):
        pads[axis], pads[axis + len(x)] = given[position], given[position + len(axes)]
    value = attributes.get("constant_value", attributes.get("value", 0.0))
    value = value[0] if isinstance(value, list) else value
    return {"mode": attributes["mode"], "pads": pads, "constant_value": value}


def _slice(node: Node, attributes: Attributes, x: Shape, result: Shape) -> Attributes:
    starts, ends = attributes["starts"], attributes["ends"]
    axes = attributes.get("axes") or list(range(len(starts)))
    steps = attributes.get("steps") or [1] * len(starts)
    rows: list[tuple[int, int, int, int]] = []
    for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
        axis = _axis(node, axis, len(x))
        if step == 0:
            raise ModelError("a step cannot be 0", where=node.where)
        begin, stop, _ = slice(start, end, step).indices(x[axis])
        # A backward slice to the front ends before element 0; -1 would mean the last one.
        rows.append((axis, begin, stop if stop >= 0 else -x[axis] - 1, step))
    rows = [row for row in sorted(rows) if row[1:] != (0, x[row[0]], 1)]
    names = ("axes", "starts", "ends", "steps")
    return {name: [row[i] for row in rows] for i, name in enumerate(names)}


def _resize(node: Node, attributes: Attributes, x: Shape, result: Shape) -> Attributes:
    if attributes.get("keep_aspect_ratio_policy", "stretch") != "stretch":
        raise ModelError("keep_aspect_ratio_policy must be stretch", where=node.where)
    axes = attributes.pop("axes", None) or list(range(len(x)))
    scales, sizes = attributes.pop("scales", None), attributes.pop("sizes", None)
    full = [1.0] * len(x)
    for position, axis in enumerate(axes):
        full[axis] = scales[position] if scales else sizes[position] / x[axis]
    if node.op_type == "Upsample":  # as ONNX's version converter maps it
        attributes |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    attributes.pop("keep_aspect_ratio_policy", None)
    if attributes.get("coordinate_transformation_mode") != "tf_crop_and_resize":
        attributes.pop("roi", None)
    return {**attributes, "scales": full, "sizes": list(result)}


def _pool(node: Node, attributes: Attributes, x: Shape, result: Shape) -> Attributes:
    attributes = {**attributes, **window_attributes(node, attributes, x, attributes["kernel_shape"])}
    for name in ("auto_pad", "storage_order"):
        attributes.pop(name, None)
    return attributes


def window_attributes(
    node: Node, attributes: Mapping[str, Any], x: Shape, kernel: Sequence[int]
) -> dict[str, list[int]]:
    """Strides, dilations and pads of a sliding window, `auto_pad` resolved for input shape `x`.

    Raises:
        ModelError: The lists do not match the kernel.
    """
    n = len(kernel)
    strides = list(attributes.get("strides") or [1] * n)
    dilations = list(attributes.get("dilations") or [1] * n)
    pads = list(attributes.get("pads") or [0] * 2 * n)
    sizes = x[2:]
    if {len(strides), len(dilations), len(pads) // 2, len(sizes)} != {n} or len(pads) % 2:
        raise ModelError(f"window and input {x} have different numbers of axes", where=node.where)
    if min(*strides, *dilations, *kernel) < 1:
        raise ModelError("kernel, strides and dilations must be above 0", where=node.where)
    mode = attributes.get("auto_pad", "NOTSET")
    if mode in {"SAME_UPPER", "SAME_LOWER"}:
        begins, ends = [0] * n, [0] * n
        for i in range(n):
            span = dilations[i] * (kernel[i] - 1) + 1
            total = max((-(-sizes[i] // strides[i]) - 1) * strides[i] + span - sizes[i], 0)
            begins[i] = total // 2 if mode == "SAME_UPPER" else total - total // 2
            ends[i] = total - begins[i]
        pads = begins + ends
    elif mode == "VALID":
        pads = [0] * 2 * n
    return {"strides": strides, "dilations": dilations, "pads": pads}


_RULES: Mapping[str, Callable[[Node, Attributes, Shape, Shape], Attributes]] = {
    "Clip": _clip,
    "CumSum": _cumsum,
    "Expand": _result_shape,
    "OneHot": _scalar("depth"),
    "Pad": _pad,
    "Reshape": _result_shape,
    "Resize": _resize,
    "Slice": _slice,
    "Squeeze": _squeeze,
    "TopK": _scalar("k"),
    "Trilu": _scalar("k"),
    "Unsqueeze": _unsqueeze,
    "Upsample": _resize,
    **dict.fromkeys(POOLS, _pool),
    **dict.fromkeys(REDUCTIONS, _reduce),
}
