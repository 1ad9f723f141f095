"""Which values each tensor takes: ranges observed by running the network in floating point."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from xdsl.dialects.builtin import ModuleOp
from xdsl.ir import Operation, SSAValue

from imccompiler.ir.absent import is_absent
from imccompiler.ir.attributes import to_python
from imccompiler.ir.dialect import (
    DigitalOp,
    DynamicMatmulOp,
    InputOp,
    MatmulOp,
    WeightOp,
    shape_of,
)
from imccompiler.ir.store import WeightStore
from imccompiler.ir.types import dtype_of
from imccompiler.simulator.digital import is_movement
from imccompiler.simulator.float_model import run_float, split_samples

Array = NDArray[Any]
Range = tuple[float, float]
Method = Literal["minmax", "percentile", "mse"]

UNKNOWN: Range = (-1.0, 1.0)  # of everything, if not all weights are known
SUBSAMPLE = 1 << 14  # elements of a tensor that percentiles and errors are measured on, a sample
MSE_SHARES = np.linspace(0.3, 1.0, 36)  # of the full range that `mse` tries
MANY = 10_000  # observations that show a tensor's range


@dataclass(frozen=True, slots=True)
class Calibration:
    """How ranges are observed.

    Attributes:
        inputs: Float inputs by port; None: seeded noise.
        samples: Samples that are run, at most.
        seed: Of the noise.
        method: `minmax`; `percentile` of each side; `mse`: the range with the least squared
            error of rounding and saturating.
        percentile: Of the method `percentile`.
        bits: Width of the codes that the ranges are for.
    """

    inputs: Mapping[str, Array] | None
    samples: int
    seed: int
    method: Method
    percentile: float
    bits: int

    def content(self) -> tuple[object, ...]:
        """All of it, to be compared with `==`: the inputs as SHA-256 over names and arrays."""
        digest = hashlib.sha256()
        for port, array in sorted((self.inputs or {}).items()):
            digest.update(f"{port}\0{array.dtype.str}\0{array.shape}\0".encode())
            digest.update(np.ascontiguousarray(array).data)
        inputs = self.seed if self.inputs is None else digest.digest()
        return (inputs, self.samples, self.method, self.percentile, self.bits)


def observed_ranges(
    module: ModuleOp, store: WeightStore, calibration: Calibration
) -> dict[SSAValue, Range]:
    """Smallest and largest value to represent, for each value that is not a constant.

    Raises:
        UserInputError: A calibration input is missing or has the wrong shape, or an operator is
            not supported.
    """
    if any(is_absent(array) for array in store.entries.values()):
        return dict.fromkeys(_values(module), UNKNOWN)
    seen: dict[SSAValue, list[Array]] = {}
    rows = {v: axis for v in _values(module) if (axis := softmax_axis(v)) is not None}

    def observe(value: SSAValue, array: Array) -> None:
        if value in rows:
            array = _without_vanishing(array, rows[value], calibration.bits)
        seen.setdefault(value, []).append(_summary(array, calibration.method))

    run_float(module, store, calibration_inputs(module, store, calibration), observe)
    ranges: dict[SSAValue, Range] = {}
    for value, parts in seen.items():
        owner = value.owner
        if isinstance(owner, Operation):
            low, high = _table_range(owner, store) or _range(np.concatenate(parts), calibration)
            margin = _margin(owner, len(parts) * prod(shape_of(value)))
            ranges[value] = low * margin, high * margin
    return ranges


def _values(module: ModuleOp) -> list[SSAValue]:
    return [op.results[0] for op in module.body.block.ops if op.results]


def _summary(array: Array, method: Method) -> Array:
    """What of an array decides its range: its ends, or an even subsample with its ends."""
    flat = array.ravel()
    ends = np.array([flat.min(), flat.max()], dtype=np.float64)
    if method == "minmax":
        return ends
    return np.concatenate([flat[:: max(1, flat.size // SUBSAMPLE)].astype(np.float64), ends])


def _range(values: Array, calibration: Calibration) -> Range:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return 0.0, 0.0
    low, high = float(finite.min()), float(finite.max())
    if calibration.method == "percentile":
        share = calibration.percentile
        low, high = (float(p) for p in np.percentile(finite, [100 - share, share]))
    elif calibration.method == "mse" and high > low:
        share = _best_share(finite, low, high, calibration.bits)
        low, high = low * share, high * share
    return low, high


def _best_share(values: Array, low: float, high: float, bits: int) -> float:
    """The share of the range at which rounding and saturating cost least."""
    low, high = min(low, 0.0), max(high, 0.0)
    errors: list[float] = []
    for share in MSE_SHARES:
        step = (high - low) * share / (2**bits - 1)
        kept = np.clip(np.rint(values / step), np.rint(low * share / step), high * share / step)
        errors.append(float(np.mean((values - kept * step) ** 2)))
    return float(MSE_SHARES[int(np.argmin(errors))])


def _margin(op: Operation, observations: int) -> float:
    """Room for values of sums beyond those seen, where few were seen, such as logits.

    The largest of n normal values is near sqrt(2 ln n) standard deviations: the margin is to
    the largest of `MANY`.
    """
    sums = isinstance(op, MatmulOp | DynamicMatmulOp) or (
        isinstance(op, DigitalOp) and op.op_type.data in {"Add", "Sub"}
    )
    return max(1.0, math.sqrt(math.log(MANY) / math.log(max(observations, 2)))) if sums else 1.0


def softmax_axis(value: SSAValue) -> int | None:
    """The axis along which a value goes into a Softmax, if it goes nowhere else."""
    users = [use.operation for use in value.uses]
    if len(users) != 1 or not isinstance(users[0], DigitalOp):
        return None
    op = users[0]
    if op.op_type.data not in {"Softmax", "LogSoftmax"}:
        return None
    return int(to_python(op.attrs).get("axis", -1))  # pyright: ignore[reportArgumentType]


def _without_vanishing(array: Array, axis: int, bits: int) -> Array:
    """Raise entries that together weigh less than half a code of a softmax's result.

    Masks add huge negative numbers; their range would leave no codes for the others. Entries
    ln(2^(bits + 1) n) below the largest of n sum up to less than 2^-(bits + 1).
    """
    margin = (bits + 1) * math.log(2) + math.log(array.shape[axis])
    return np.maximum(array, array.max(axis=axis, keepdims=True) - margin)


def _table_range(op: Operation, store: WeightStore) -> Range | None:
    """Range of a look-up in a constant table: the whole table's."""
    table = constant_table(op, store)
    return None if table is None else (float(table.min()), float(table.max()))


def constant_table(op: Operation, store: WeightStore) -> Array | None:
    """The float table of a Gather with indices that are data."""
    if isinstance(op, DigitalOp) and op.op_type.data == "Gather":
        table, indices = (v.owner for v in op.operands)
        if isinstance(table, WeightOp) and not isinstance(indices, WeightOp):
            return store[table.key.data]
    return None


# ---- inputs


def calibration_inputs(
    module: ModuleOp, store: WeightStore, calibration: Calibration
) -> dict[str, Array]:
    """The inputs to run: the user's, or standard normal noise and uniform indices."""
    if calibration.inputs is not None:
        samples = split_samples(module, calibration.inputs)[: calibration.samples]
        return {
            port: np.concatenate([np.atleast_1d(s[port]) for s in samples]) for port in samples[0]
        }
    random = np.random.default_rng(calibration.seed)
    inputs: dict[str, Array] = {}
    for op in module.body.block.ops:
        if isinstance(op, InputOp):
            shape = shape_of(op.result)
            shape = (calibration.samples * shape[0], *shape[1:]) if shape else shape
            if dtype_of(op.result).kind in "iub":
                inputs[op.port.data] = random.integers(0, index_limit(op.result, store), shape)
            else:
                inputs[op.port.data] = random.standard_normal(shape, dtype=np.float32)
    return inputs


def index_limit(value: SSAValue, store: WeightStore) -> int:
    """Entries of the smallest table that an integer value indexes; 2 where there is none."""
    limits: list[int] = []
    for use in value.uses:
        table = constant_table(use.operation, store)
        if table is not None and isinstance(use.operation, DigitalOp):
            axis = to_python(use.operation.attrs).get("axis", 0)
            limits.append(table.shape[int(axis)])  # pyright: ignore[reportArgumentType]
        elif isinstance(use.operation, DigitalOp) and is_movement(use.operation.op_type.data):
            limits.append(index_limit(use.operation.result, store))
    return min(limits, default=2)
