"""Sliding windows of ONNX: strides, dilations and pads, `auto_pad` resolved."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from imccompiler.errors import ModelError
from imccompiler.frontend.graph import Node


def window_attributes(
    node: Node, attributes: Mapping[str, Any], x: Sequence[int], kernel: Sequence[int]
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
