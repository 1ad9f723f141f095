"""QONNX's operators for ONNX's own evaluator, by the formulas of the qonnx package's executor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from imccompiler.frontend.constants import Array
from imccompiler.frontend.domains import QONNX
from imccompiler.frontend.quantised_code import integer_range
from imccompiler.frontend.quantised_qonnx import ROUNDINGS, minifloat

Attribute = Callable[[str, Any], Any]
"""An attribute of a node by its name, or a default."""


def qonnx_operators() -> list[type]:
    """Classes for `ReferenceEvaluator(new_ops=...)`, for each name of the domain."""
    from onnx.reference.op_run import OpRun  # noqa: PLC0415

    def made(domain: str, name: str, formula: Callable[..., Array]) -> type:
        def run(self: Any, *inputs: Array, **_: Any) -> tuple[Array]:
            def attribute(key: str, default: Any) -> Any:
                return getattr(self, key, default)

            result = formula(attribute, *(np.asarray(i, np.float32) for i in inputs))
            return (np.asarray(result, np.float32),)

        return type(name, (OpRun,), {"op_domain": domain, "_run": run})

    formulas = {
        "Quant": _quant,
        "IntQuant": _quant,
        "BipolarQuant": _bipolar_quant,
        "Trunc": _trunc,
        "FloatQuant": _float_quant,
    }
    return [made(d, name, formula) for d in sorted(QONNX) for name, formula in formulas.items()]


def _rounding(attribute: Attribute, default: str) -> Callable[[Array], Array]:
    return ROUNDINGS[str(attribute("rounding_mode", default)).upper()]


def _quant(attribute: Attribute, x: Array, scale: Array, zero: Array, bits: Array) -> Array:
    width, signed = int(bits), bool(attribute("signed", 1))
    if width == 1 and signed:
        return _bipolar_quant(attribute, x / scale + zero, np.ones_like(scale)) * scale
    narrow = bool(attribute("narrow", 1))
    low, high = integer_range(width, signed=signed, narrow=narrow)
    steps = np.clip(x / scale + zero, low, high)
    return (_rounding(attribute, "ROUND")(steps) - zero) * scale


def _bipolar_quant(_: Attribute, x: Array, scale: Array) -> Array:
    return np.where(x >= 0, np.float32(1), np.float32(-1)) * scale


def _trunc(attribute: Attribute, x: Array, scale: Array, zero: Array, *rest: Array) -> Array:
    steps = np.rint(x / scale + zero)
    rounding = _rounding(attribute, "FLOOR")
    if len(rest) == 2:  # bits before and after; the scale stays
        return (rounding(steps / 2 ** (rest[0] - rest[1])) - zero) * scale
    _, out_scale, bits = rest
    ratio = 2 ** np.rint(np.log2(out_scale / scale))
    low, high = integer_range(
        int(bits), signed=bool(attribute("signed", 1)), narrow=bool(attribute("narrow", 0))
    )
    return (rounding(np.clip(steps / ratio, low, high)) - zero / ratio) * out_scale


def _float_quant(attribute: Attribute, x: Array, scale: Array, *rest: Array) -> Array:
    exponent, mantissa = (float(r) for r in rest[:2])
    bias = float(rest[2]) if len(rest) > 2 else 2 ** (exponent - 1) - 1
    reach = (2 - 2.0**-mantissa) * 2.0 ** (2**exponent - 1 - bias)
    reach = min(reach, float(rest[3])) if len(rest) > 3 else reach
    step = 2.0 ** (1 - bias - mantissa)
    return minifloat(x / scale, mantissa, step, reach, _rounding(attribute, "ROUND")) * scale
