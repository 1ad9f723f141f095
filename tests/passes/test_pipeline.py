"""Whole pipelines: the executed stream equals the reference, plan and bounds hold in simulation."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

from imccompiler.hardware.load import load, vary
from imccompiler.ir.decisions import Grain, Order, Placement, Replication
from imccompiler.passes.base import XdslContext
from imccompiler.passes.estimate import estimate
from imccompiler.passes.registry import DEFAULT_PIPELINE, parse
from imccompiler.program.validate import validate
from imccompiler.simulator.timing import simulate

HARDWARE = ("isaac", "pimcomp")
NAMES = ("digits-mlp", "digits-cnn", "lenet", "squeezenet", "bert-tiny")
TINY = {
    "chip.grid": [2, 3],
    "crossbar.rows": 32,
    "crossbar.rows_active": 32,
    "local_memory.kib": 256,
}


@pytest.fixture(scope="module", params=["summed", "separate"])
def tiny(request):
    """Cores of 32 x 128 crossbars, with row blocks summed inside a core and not."""
    sums = request.param == "summed"
    return vary(load("isaac"), {**TINY, "core.sums_row_blocks": sums})


# ---- numbers


@pytest.mark.parametrize("hardware", HARDWARE)
@pytest.mark.parametrize("name", NAMES)
def test_networks_are_exact(mapped, name, hardware):
    mapping = mapped(name, hardware, 0)
    validate(mapping.program, mapping.machine)
    assert mapping.differing() == 0


CONVOLUTIONS = {
    "plain": ((1, 3, 9, 7), (8, 3, 3, 3), {}),
    "padded": ((1, 3, 9, 7), (8, 3, 3, 3), {"pads": [1, 2, 0, 1]}),
    "strided": ((1, 5, 11, 8), (7, 5, 3, 3), {"strides": [2, 3], "pads": [1, 1, 1, 1]}),
    "dilated": ((1, 4, 12, 11), (6, 4, 3, 2), {"dilations": [2, 3], "pads": [2, 0, 2, 1]}),
    "pointwise": ((1, 37, 5, 6), (41, 37, 1, 1), {}),
    "stride past the kernel": ((1, 3, 9, 9), (4, 3, 1, 1), {"strides": [3, 2]}),
    "grouped": ((1, 12, 6, 6), (20, 3, 3, 3), {"group": 4, "pads": [1, 1, 1, 1]}),
    "grouped unevenly": ((1, 15, 5, 5), (10, 3, 3, 3), {"group": 5}),
    "depthwise": ((1, 23, 7, 6), (23, 1, 3, 3), {"group": 23, "pads": [1, 1, 1, 1]}),
    "depthwise twice": ((1, 9, 6, 6), (18, 1, 5, 5), {"group": 9, "pads": [2, 2, 2, 2]}),
    "wide groups": ((1, 80, 4, 4), (40, 40, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "many channels": ((1, 70, 4, 5), (33, 70, 3, 3), {"pads": [1, 1, 1, 1]}),
    "one dimension": ((1, 6, 17), (9, 6, 3), {"strides": [2], "pads": [1, 1]}),
    "whole picture": ((1, 5, 4, 4), (11, 5, 4, 4), {}),
    "padding only at a corner": ((1, 2, 5, 5), (3, 2, 4, 4), {"pads": [3, 3, 0, 0]}),
}


@pytest.mark.parametrize("case", CONVOLUTIONS)
def test_convolutions_are_exact(map_nodes, make_conv, tiny, case):
    shape, kernel, attributes = CONVOLUTIONS[case]
    mapping = map_nodes(*make_conv(shape, kernel, **attributes), tiny)
    validate(mapping.program, mapping.machine)
    assert mapping.differing() == 0


def pool_case(op_type, **attributes):
    """A convolution, so that the picture stands in several tiles, then a pool."""
    w = np.random.default_rng(1).standard_normal((6, 3, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node(op_type, ["c"], ["y"], "pool", **attributes),
    ]
    return nodes, {"x": (1, 3, 11, 10)}, {"w": w}


POOLS = {
    "max": ("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "max, overlapping": ("MaxPool", {"kernel_shape": [3, 2], "strides": [1, 1]}),
    "max, padded": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "max, ceil": ("MaxPool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "max, dilated": ("MaxPool", {"kernel_shape": [2, 2], "dilations": [3, 2]}),
    "average": ("AveragePool", {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "average, ceil": ("AveragePool", {"kernel_shape": [3, 3], "strides": [2, 2], "ceil_mode": 1}),
    "average, padded": ("AveragePool", {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "average, padding counted": (
        "AveragePool",
        {"kernel_shape": [3, 3], "pads": [1, 0, 1, 0], "count_include_pad": 1},
    ),
    "average of all": ("GlobalAveragePool", {}),
    "maximum of all": ("GlobalMaxPool", {}),
}


@pytest.mark.parametrize("case", POOLS)
def test_pools_are_exact(map_nodes, tiny, case):
    op_type, attributes = POOLS[case]
    mapping = map_nodes(*pool_case(op_type, **attributes), tiny)
    validate(mapping.program, mapping.machine)
    assert mapping.differing() == 0


def branches(join, **attributes):
    """Two convolutions of one input, joined, and one more behind them."""
    rng = np.random.default_rng(2)
    joined = 10 if join == "Concat" else 5
    weights = {
        name: rng.standard_normal(shape).astype(np.float32)
        for name, shape in {"a": (5, 4, 3, 3), "b": (5, 4, 1, 1), "c": (7, joined, 3, 3)}.items()
    }
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["p"], "left", pads=[1, 1, 1, 1]),
        helper.make_node("Conv", ["x", "b"], ["q"], "right"),
        helper.make_node(join, ["p", "q"], ["j"], "join", **attributes),
        helper.make_node("Relu", ["j"], ["r"], "relu"),
        helper.make_node("Conv", ["r", "c"], ["y"], "behind"),
    ]
    return nodes, {"x": (1, 4, 8, 7)}, weights


@pytest.mark.parametrize(
    ("join", "attributes"),
    [
        ("Add", {}),
        ("Sub", {}),
        ("Mul", {}),
        ("Max", {}),
        ("Concat", {"axis": 1}),
        ("Concat", {"axis": 1, "swap": True}),
    ],
)
def test_branches_are_exact(map_nodes, tiny, join, attributes):
    attributes = dict(attributes)
    swap = attributes.pop("swap", False)
    nodes, inputs, weights = branches(join, **attributes)
    if swap:
        nodes[2].input[:] = ["q", "p"]
    mapping = map_nodes(nodes, inputs, weights, tiny)
    validate(mapping.program, mapping.machine)
    assert mapping.differing() == 0


def test_a_residual_around_the_input_and_two_outputs_are_exact(map_nodes, tiny):
    w = np.random.default_rng(3).standard_normal((4, 4, 3, 3)).astype(np.float32)
    nodes = [
        helper.make_node("Conv", ["x", "w"], ["c"], "conv", pads=[1, 1, 1, 1]),
        helper.make_node("Add", ["c", "x"], ["y"], "add"),
        helper.make_node("Relu", ["y"], ["z"], "relu"),
    ]
    mapping = map_nodes(nodes, {"x": (1, 4, 6, 6)}, {"w": w}, tiny, outputs=("y", "z"))
    assert len(mapping.program.outputs) == 2
    assert mapping.differing() == 0


PINS = {
    "copies": Replication(6, 1, 1, (3, 2)),
    "uneven copies": Replication(15, 1, 1, (5, 3)),
    "unrolled": Replication(2, 1, 1, (2, 1), 4),
    "unrolled by all": Replication(1, 1, 1, (1, 1), 8),
    "row shares": Replication(2, 3, 1, (2, 1)),
    "column shares": Replication(2, 1, 2, (1, 2)),
    "both shares": Replication(1, 2, 2, (1, 1)),
    "unrolled row shares": Replication(1, 2, 1, (1, 1), 2),
}


@pytest.mark.parametrize("grain", [1, 3, 50])
@pytest.mark.parametrize("case", PINS)
def test_pinned_replications_and_grains_are_exact(map_nodes, make_conv, tiny, case, grain):
    """66 rows of 36 outputs are three row blocks and two column blocks."""
    nodes, inputs, weights = make_conv((1, 11, 9, 9), (36, 11, 3, 2), pads=[1, 0, 1, 0])
    pins = {"conv": (PINS[case], Grain(grain))}
    mapping = map_nodes(nodes, inputs, weights, tiny, pins=pins)
    op = mapping.op("conv")
    assert (op.replication, op.grain) == (PINS[case], Grain(grain))
    validate(mapping.program, mapping.machine)
    assert mapping.differing() == 0


def test_two_parts_of_a_copy_on_one_core_are_exact(map_nodes, make_conv, tiny):
    """Partial sums then need no message."""
    nodes, inputs, weights = make_conv((1, 11, 6, 6), (8, 11, 3, 3))
    pins = {"conv": (Replication(1, 3), Placement((4, 1, 4)))}
    assert map_nodes(nodes, inputs, weights, tiny, pins=pins).differing() == 0


@pytest.mark.parametrize("objective", ["throughput", "energy"])
def test_other_objectives_are_exact(map_network, named_network, objective):
    mapping = map_network(named_network("lenet"), "pimcomp", objective=objective)
    assert mapping.differing() == 0


def test_orders_that_stand_on_the_module_are_exact(mapped, map_network, named_network):
    """Any order that the task graph allows will do: here that of another rule, task by task."""
    network = named_network("digits-cnn")
    tasks = tuple(mapped("digits-cnn", "pimcomp", 0).plan.schedule.order.tolist())
    head, _, tail = DEFAULT_PIPELINE.partition("schedule,")
    mapping = map_network(network, "pimcomp", pipeline=head.rstrip(","))
    mapping.module.attributes["imc.order"] = Order("number", 0.0, tasks)
    for each in parse("schedule," + tail):
        each.apply(XdslContext(mapping.context), mapping.module)
    assert mapping.module.attributes["imc.order"].tasks == tasks
    assert mapping.differing() == 0


def test_bit_serial_execution_is_exact(mapped):
    from imccompiler.simulator.execute import Executor  # noqa: PLC0415
    from imccompiler.simulator.reference import run_reference  # noqa: PLC0415

    mapping = mapped("digits-cnn", "pimcomp", 0)
    codes = mapping.codes()
    found = Executor(mapping.program, mapping.machine, mode="bit_serial").run(codes)
    for name, expected in run_reference(mapping.module, mapping.context.store, codes).items():
        assert (found[name] == expected).all()


# ---- time and energy


@pytest.mark.parametrize("effort", [0, 1])
@pytest.mark.parametrize("hardware", HARDWARE)
@pytest.mark.parametrize("name", NAMES)
def test_plan_bounds_and_simulation_agree(mapped, name, hardware, effort):
    mapping = mapped(name, hardware, effort)
    planned = estimate(mapping.context, mapping.module)
    simulated = simulate(mapping.program, mapping.machine, images=6)
    assert simulated.interval_ns is not None
    for latency_ns, interval_ns in (
        (planned.latency_ns, planned.interval_ns),
        (simulated.latency_ns, simulated.interval_ns),
    ):
        assert 0 < planned.latency_bound_ns <= latency_ns
        assert 0 < planned.interval_bound_ns <= interval_ns
    assert 0 < planned.energy_bound_pj <= sum(planned.energy_pj.values())
    if mapping.machine.main_kind.rob_size == 1:
        assert simulated.latency_ns == pytest.approx(planned.latency_ns, rel=0.01)
        assert simulated.interval_ns == pytest.approx(planned.interval_ns, rel=0.01)


@pytest.mark.parametrize("rob_size", [2, 16])
@pytest.mark.parametrize("hazards", ["exact", "pimsim"])
@pytest.mark.parametrize("name", ["digits-mlp", "digits-cnn", "lenet", "bert-tiny"])
def test_bounds_hold_with_operations_in_flight(map_network, named_network, name, hazards, rob_size):
    machine = vary(load("pimcomp"), {"core.rob_size": rob_size, "core.hazards": hazards})
    mapping = map_network(named_network(name), machine)
    planned = estimate(mapping.context, mapping.module)
    simulated = simulate(mapping.program, machine, images=6)
    assert simulated.interval_ns is not None
    assert 0 < planned.latency_bound_ns <= min(simulated.latency_ns, planned.latency_ns)
    assert 0 < planned.interval_bound_ns <= min(simulated.interval_ns, planned.interval_ns)


@pytest.mark.parametrize("case", CONVOLUTIONS)
@pytest.mark.parametrize("rob_size", [1, 16])
def test_bounds_of_convolutions_hold(map_nodes, make_conv, case, rob_size):
    machine = vary(load("isaac"), {**TINY, "core.rob_size": rob_size})
    shape, kernel, attributes = CONVOLUTIONS[case]
    mapping = map_nodes(*make_conv(shape, kernel, **attributes), machine)
    planned = estimate(mapping.context, mapping.module)
    simulated = simulate(mapping.program, machine, images=6)
    assert simulated.interval_ns is not None
    assert planned.latency_bound_ns <= min(simulated.latency_ns, planned.latency_ns)
    assert planned.interval_bound_ns <= min(simulated.interval_ns, planned.interval_ns)


# ---- the same again


@pytest.mark.parametrize("effort", [0, 1])
def test_same_inputs_give_the_same_tables(map_network, named_network, solved, effort):
    network = named_network("digits-cnn")
    first, second = (
        solved(effort) if effort else map_network(network, "pimcomp", seed=3) for _ in range(2)
    )
    for field in ("code", "core_start", "groups", "tiles", "local_bytes"):
        a, b = getattr(first.program, field), getattr(second.program, field)
        assert a.tobytes() == b.tobytes()
    assert first.program.matrices.keys() == second.program.matrices.keys()
    for name, matrix in first.program.matrices.items():
        assert (matrix == second.program.matrices[name]).all()
    images = [[(c, a, d.tobytes()) for c, a, d in m.program.images] for m in (first, second)]
    assert images[0] == images[1]
    assert str(first.module) == str(second.module)
