"""The float network in ONNX Runtime: what a compiled program is compared with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.compiler.arrays import Arrays
from imccompiler.errors import ModelError

_TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
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
    import onnxruntime  # noqa: PLC0415

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(source, options)
        types = {i.name: _TYPES.get(i.type, np.float32) for i in session.get_inputs()}
        scalars = {n: np.asarray(bindings[n], types[n]) for n in types if n in bindings}
        names = [output.name for output in session.get_outputs()]
        samples: list[list[Any]] = []
        for i in range(len(next(iter(inputs.values())))):
            feed = {name: array[i].astype(types[name]) for name, array in inputs.items()}
            samples.append(list(session.run(names, {**scalars, **feed})))
            done(i + 1)
    except Exception as error:  # ONNX Runtime has no common class for its errors
        where = str(model) if isinstance(model, Path) else "the model"
        raise ModelError(f"ONNX Runtime cannot run it: {error}", where=where) from error
    return {n: np.stack([s[k] for s in samples]) for k, n in enumerate(names)}


def difference(value: Mapping[str, NDArray[Any]], exact: Mapping[str, NDArray[Any]]) -> float:
    """Largest absolute difference over all outputs."""
    return max((float(np.abs(value[n] - exact[n]).max(initial=0.0)) for n in value), default=0.0)


def sqnr_db(value: Mapping[str, NDArray[Any]], exact: Mapping[str, NDArray[Any]]) -> float | None:
    """Signal to noise ratio 10 log10(sum exact^2 / sum (value - exact)^2) over all outputs.

    None where there is no noise or no signal.
    """
    signal = sum(float(np.square(exact[n], dtype=np.float64).sum()) for n in value)
    noise = sum(float(np.square(value[n] - exact[n], dtype=np.float64).sum()) for n in value)
    return float(10 * np.log10(signal / noise)) if signal > 0 and noise > 0 else None
