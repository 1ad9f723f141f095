"""Quantised networks through the first passes, and the reference on what comes out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from imccompiler.frontend import load_onnx
from imccompiler.hardware.load import load
from imccompiler.ir.decisions import Quant
from imccompiler.ir.dialect import MatmulOp, OutputOp
from imccompiler.ir.verify import verify
from imccompiler.passes.base import CompileContext, XdslContext
from imccompiler.passes.registry import DEFAULT_PIPELINE, parse
from imccompiler.simulator.execute import Executor
from imccompiler.simulator.reference import dequantize_outputs, quantize_inputs, run_reference

QUANTIZE = "fold,canonicalize,quantize"


@dataclass(frozen=True)
class Quantised:
    """A network with decided codes; `outputs` are what the integer reference computes."""

    module: Any
    context: CompileContext
    outputs: Mapping[str, np.ndarray]

    @property
    def kinds(self) -> list[str]:
        """Names of the ops that compute, digital ones by their operator."""
        ops = [op for op in self.module.body.block.ops if op.results]
        names = [getattr(op, "op_type", None) for op in ops]
        found = [
            op.name.removeprefix("imc.") if name is None else name.data
            for op, name in zip(ops, names, strict=True)
        ]
        return [name for name in found if name not in {"input", "weight"}]

    @property
    def matmuls(self) -> list[MatmulOp]:
        return [op for op in self.module.body.block.ops if isinstance(op, MatmulOp)]

    def codes(self, index: int) -> np.ndarray:
        """Integer weights of a product."""
        return self.context.store[self.matmuls[index].integer.weight]

    def quant(self, port: str) -> Quant:
        """Codes of an output."""
        ops = self.module.body.block.ops
        (found,) = [op for op in ops if isinstance(op, OutputOp) and op.port.data == port]
        return found.value.owner.quant

    def steps_from(self, expected: Mapping[str, np.ndarray]) -> np.ndarray:
        """Differences from what is expected, in steps of the output's code."""
        gaps = [
            np.abs(self.outputs[port].reshape(want.shape) - want.astype(np.float64))
            / self.quant(port).scale
            for port, want in expected.items()
        ]
        return np.concatenate([gap.ravel() for gap in gaps])


@pytest.fixture(scope="session")
def quantised() -> Callable[..., Quantised]:
    """Compile a quantised model and run the reference; executed programs must equal it."""

    def run(
        model: Any,
        feeds: Mapping[str, np.ndarray],
        *,
        execute: bool = False,
        calibration: Any = None,
        machine: str = "pimcomp",
    ) -> Quantised:
        network, hardware = load_onnx(model), load(machine)
        module = network.module.clone()
        context = CompileContext(hardware, network.store.copy(), effort=0, calibration=calibration)
        context.notes.extend(network.notes)
        xdsl = XdslContext(context)
        for each in parse(DEFAULT_PIPELINE if execute else QUANTIZE):
            each.apply(xdsl, module)
        verify(module)
        codes = quantize_inputs(module, feeds)
        found = run_reference(module, context.store, codes)
        if execute:
            executed = Executor(context.program, hardware, mode="exact").run(codes)
            for port, want in found.items():
                np.testing.assert_array_equal(executed[port], want)
        return Quantised(module, context, dequantize_outputs(module, found))

    return run


@pytest.fixture(scope="session")
def run_runtime() -> Callable[..., dict[str, np.ndarray]]:
    """A model as it stands in ONNX Runtime, image after image."""

    def run(model: Any, feeds: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        import onnxruntime  # noqa: PLC0415

        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        options.log_severity_level = 4
        options.intra_op_num_threads = 1
        session = onnxruntime.InferenceSession(model.SerializeToString(), options)
        names = [output.name for output in session.get_outputs()]
        count = len(next(iter(feeds.values())))
        each = [
            session.run(names, {k: v[i : i + 1] for k, v in feeds.items()}) for i in range(count)
        ]
        return {name: np.concatenate([e[i] for e in each]) for i, name in enumerate(names)}

    return run
