"""The float network in ONNX Runtime: what a compiled program is compared with."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.compiler.arrays import Arrays
from imccompiler.errors import ModelError
from imccompiler.frontend.qonnx_reference import qonnx_operators

Run = Callable[[dict[str, Any]], list[Any]]
"""Runs one sample: inputs by name to outputs in the order of their names."""

_LACKING = ("NOT_IMPLEMENTED", "not a registered function/op", "Batchwise recurrent")
"""What ONNX Runtime says of an operator that it lacks."""

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int16)": np.int16,
    "tensor(int8)": np.int8,
    "tensor(uint64)": np.uint64,
    "tensor(uint32)": np.uint32,
    "tensor(uint16)": np.uint16,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def run_onnx(
    model: Path | bytes,
    inputs: Mapping[str, NDArray[Any]],
    bindings: Mapping[str, int | float],
    done: Callable[[int], None] = lambda _count: None,
) -> Arrays:
    """Run a model on samples, one after the other.

    Args:
        model: An ONNX file, or its bytes.
        inputs: By port name, each of shape (samples, *port.shape).
        bindings: Values of scalar inputs, as they were bound when the model was imported.
        done: Told how many samples are done.

    Returns:
        By output name, each of shape (samples, *shape of the output).

    Raises:
        ModelError: ONNX Runtime cannot run the model.
    """
    try:
        names, types, run = _session(model)
        scalars = {n: np.asarray(bindings[n], types[n]) for n in types if n in bindings}
        samples: list[list[Any]] = []
        for i in range(len(next(iter(inputs.values())))):
            feed = {name: array[i].astype(types[name]) for name, array in inputs.items()}
            samples.append(run({**scalars, **feed}))
            done(i + 1)
    except Exception as error:  # ONNX Runtime has no common class for its errors
        where = str(model) if isinstance(model, Path) else "the model"
        raise ModelError(f"ONNX Runtime cannot run it: {error}", where=where) from error
    return {n: np.stack([s[k] for s in samples]) for k, n in enumerate(names)}


def _session(model: Path | bytes) -> tuple[list[str], dict[str, Any], Run]:
    """Names of the outputs, types of the inputs, and what runs one sample."""
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(source, options)
    except Exception as error:
        if not any(word in str(error) for word in _LACKING):
            raise
        return _reference(source)
    types = {i.name: _TYPES.get(i.type, np.float32) for i in session.get_inputs()}
    names = [output.name for output in session.get_outputs()]
    return names, types, lambda feed: list(session.run(names, feed))


def _reference(source: str | bytes) -> tuple[list[str], dict[str, Any], Run]:
    """ONNX's own evaluator, for operators that ONNX Runtime lacks."""
    from onnx import helper  # noqa: PLC0415
    from onnx.reference import ReferenceEvaluator  # noqa: PLC0415

    new_ops: Any = qonnx_operators()
    evaluator = ReferenceEvaluator(source, new_ops=new_ops)
    kinds: Any = zip(evaluator.input_names, evaluator.input_types or (), strict=True)
    types = {n: helper.tensor_dtype_to_np_dtype(k.tensor_type.elem_type) for n, k in kinds}
    names = [str(name) for name in evaluator.output_names]
    return names, types, lambda feed: [np.asarray(v) for v in evaluator.run(names, feed)]


def difference(value: Mapping[str, NDArray[Any]], exact: Mapping[str, NDArray[Any]]) -> float:
    """Largest absolute difference over all outputs, where the exact value is finite."""
    gaps = (np.abs(value[n] - e)[np.isfinite(e)].max(initial=0.0) for n, e in _reals(value, exact))
    return max((float(gap) for gap in gaps), default=0.0)


def sqnr_db(value: Mapping[str, NDArray[Any]], exact: Mapping[str, NDArray[Any]]) -> float | None:
    """Signal to noise ratio 10 log10(sum exact^2 / sum (value - exact)^2) over all outputs.

    Over finite exact values; None where there is no noise or no signal.
    """
    signal = sum(float(np.square(e[np.isfinite(e)]).sum()) for _, e in _reals(value, exact))
    noise = sum(
        float(np.square(value[n] - e)[np.isfinite(e)].sum()) for n, e in _reals(value, exact)
    )
    return float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else None


def _reals(
    names: Iterable[str], exact: Mapping[str, NDArray[Any]]
) -> list[tuple[str, NDArray[np.float64]]]:
    return [(name, np.asarray(exact[name], np.float64)) for name in names]
