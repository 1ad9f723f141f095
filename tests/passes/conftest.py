"""Networks through the pipeline, kept for all tests of a session, and what they must equal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest

from imccompiler import models
from imccompiler.frontend import Network, load_onnx
from imccompiler.hardware.load import load, vary
from imccompiler.hardware.schema import Machine
from imccompiler.ir.decision import Decision
from imccompiler.ir.decisions import Replication
from imccompiler.ir.verify import verify
from imccompiler.passes.base import CompileContext, XdslContext
from imccompiler.passes.build import layer_name
from imccompiler.passes.registry import DEFAULT_PIPELINE, parse
from imccompiler.passes.schedule import Planned, planned
from imccompiler.program.artifact import Program
from imccompiler.simulator.execute import Executor
from imccompiler.simulator.reference import run_reference

NETWORKS: Mapping[str, Mapping[str, Any]] = {
    "digits-mlp": {},
    "digits-cnn": {},
    "lenet": {},
    "squeezenet": {"image_size": 32, "classes": 10},
    "bert-tiny": {"tokens": 16},
}


@dataclass(frozen=True)
class Mapped:
    """A network after the passes."""

    module: Any
    context: CompileContext

    @property
    def machine(self) -> Machine:
        return self.context.machine

    @property
    def plan(self) -> Planned:
        return planned(self.context, self.module)

    @property
    def program(self) -> Program:
        assert self.context.program is not None
        return self.context.program

    def op(self, layer: str) -> Any:
        """The op of a layer, by the name of its ONNX node."""
        (found,) = [o for o in self.module.body.block.ops if layer_name(o) == layer]
        return found

    def codes(self, images: int = 1, seed: int = 0) -> dict[str, np.ndarray]:
        """Random input codes over all of their range; tokens, which are wide, are below 1,000."""
        rng = np.random.default_rng(seed)
        codes: dict[str, np.ndarray] = {}
        for p in self.program.inputs:
            low, high = p.quantization.low, p.quantization.high + 1
            low, high = (0, 1000) if p.quantization.bits > 8 else (low, high)
            codes[p.name] = rng.integers(low, high, (images, *p.shape))
        return codes

    def differing(self, program: Program | None = None, *, seed: int = 0) -> int:
        """Output codes in which the executed program differs from the reference."""
        codes = self.codes(images=2, seed=seed)
        expected = run_reference(self.module, self.context.store, codes)
        found = Executor(program or self.program, self.machine, mode="exact").run(codes)
        assert found.keys() == expected.keys()
        return sum(int(np.count_nonzero(found[n] != expected[n])) for n in expected)


@cache
def _network(name: str) -> Network:
    return load_onnx(models.build(name, **NETWORKS[name]))


def _map(
    network: Network,
    machine: Machine | str,
    *,
    pins: Mapping[str, Sequence[Decision]] | None = None,
    pipeline: str = DEFAULT_PIPELINE,
    effort: int = 0,
    **options: Any,
) -> Mapped:
    module = network.module.clone()
    pinned = dict(pins or {})
    for op in module.body.block.ops:
        for decision in pinned.pop(layer_name(op), ()):
            op.properties[type(decision).name.removeprefix("imc.")] = decision
    assert not pinned, f"no such layers: {pinned}"
    machine = load(machine) if isinstance(machine, str) else machine
    context = CompileContext(machine, network.store.copy(), effort=effort, **options)
    xdsl = XdslContext(context)
    for each in parse(pipeline):
        each.apply(xdsl, module)
    verify(module)
    return Mapped(module, context)


@cache
def _mapped(name: str, hardware: str, effort: int) -> Mapped:
    pipeline = DEFAULT_PIPELINE.replace("schedule", "schedule{solver_tasks=0}")
    return _map(_network(name), hardware, effort=effort, pipeline=pipeline)


@pytest.fixture(scope="session")
def mapped() -> Callable[[str, str, int], Mapped]:
    """A named network on a preset at an effort, without a solver; do not change it."""
    return lambda name, hardware, effort=0: _mapped(name, hardware, effort)


@pytest.fixture(scope="session")
def named_network() -> Callable[[str], Network]:
    """A named network, imported; do not change it."""
    return _network


@pytest.fixture(scope="session")
def map_network() -> Callable[..., Mapped]:
    """A network through a pipeline, with decisions pinned by layer."""
    return _map


@pytest.fixture(scope="session")
def map_nodes(make_model: Callable[..., Any]) -> Callable[..., Mapped]:
    """Nodes through the pipeline; names of inputs and outputs as in `make_model`."""

    def run(
        nodes: Sequence[Any],
        inputs: Mapping[str, tuple[int, ...]],
        weights: Mapping[str, np.ndarray] | None = None,
        machine: Machine | str = "isaac",
        outputs: Sequence[str] = ("y",),
        **options: Any,
    ) -> Mapped:
        arrays = {name: np.zeros(shape, np.float32) for name, shape in inputs.items()}
        model = make_model(nodes, arrays, dict(weights or {}), outputs)
        return _map(load_onnx(model), machine, **options)

    return run


@pytest.fixture(scope="session")
def machine_of_four() -> Machine:
    """Pimcomp with four cores."""
    return vary(load("pimcomp"), {"chip.grid": [2, 2]})


@pytest.fixture(scope="session")
def make_conv() -> Callable[..., tuple[Any, Any, Any]]:
    """A convolution with seeded weights and a bias, as arguments of `map_nodes`."""

    def make(shape: tuple[int, ...], kernel: tuple[int, ...], **attributes: Any) -> Any:
        from onnx import helper  # noqa: PLC0415

        rng = np.random.default_rng(0)
        weights = {
            "w": rng.standard_normal(kernel).astype(np.float32),
            "b": rng.standard_normal(kernel[0]).astype(np.float32),
        }
        node = helper.make_node("Conv", ["x", "w", "b"], ["y"], "conv", **attributes)
        return [node], {"x": shape}, weights

    return make


@pytest.fixture(scope="session")
def solved(map_nodes: Callable[..., Mapped]) -> Callable[[int], Mapped]:
    """A perceptron of two layers on four cores, small enough to be solved to the optimum."""
    from onnx import helper  # noqa: PLC0415

    def run(effort: int) -> Mapped:
        rng = np.random.default_rng(0)
        weights = {n: rng.standard_normal((64, 64)).astype(np.float32) for n in "ab"}
        nodes = [
            helper.make_node("MatMul", ["x", "a"], ["h"], "first"),
            helper.make_node("MatMul", ["h", "b"], ["y"], "second"),
        ]
        pins = {"first": (Replication(1, 1, 2),), "second": (Replication(1, 1, 2),)}
        machine = vary(load("pimcomp"), {"chip.grid": [2, 2]})
        return map_nodes(nodes, {"x": (1, 64)}, weights, machine, effort=effort, pins=pins)

    return run
