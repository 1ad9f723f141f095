"""Chips with several kinds of core: which layer stands where, and that everything follows."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from onnx import helper

from imccompiler.compiler.check import _adc_bits
from imccompiler.errors import DoesNotFitError, PassError
from imccompiler.hardware.cores import cores_of_kind, of_cores
from imccompiler.hardware.load import load, vary
from imccompiler.ir.decisions import Kind, Placement, Replication
from imccompiler.ir.dialect import MatmulOp
from imccompiler.ir.text import parse_module, print_module
from imccompiler.passes import market as markets
from imccompiler.passes.build import layer_name
from imccompiler.passes.estimate import estimate
from imccompiler.passes.kinds import kind_name, stock
from imccompiler.passes.market import Market, Offer
from imccompiler.program.tiles import TILE
from imccompiler.program.validate import validate
from imccompiler.report.layers import crossbar_use
from imccompiler.simulator.execute import Executor
from imccompiler.simulator.reference import run_reference
from imccompiler.simulator.timing import simulate

ANALOG, DIGITAL = "core_kinds.analog.", "core_kinds.digital."
ROWS = [{"kind": "analog", "count": 4}, {"kind": "digital", "count": 4}]
SMALL = {"chip.grid": [2, 4], "chip.cores": ROWS}


def products(mapping):
    return [op for op in mapping.module.body.block.ops if isinstance(op, MatmulOp)]


def kinds_of(mapping):
    return [kind_name(op, mapping.machine) for op in products(mapping)]


@pytest.fixture(scope="module")
def depthwise(map_nodes):
    """Convolutions by depth and by point in turn, as in MobileNet."""
    rng = np.random.default_rng(0)
    weights, nodes, last, channels = {}, [], "x", 3

    def conv(outputs, kernel, **attributes):
        nonlocal last, channels
        name = f"conv{len(weights)}"
        inputs = channels // attributes.get("group", 1)
        weights[name] = rng.standard_normal((outputs, inputs, *kernel)).astype(np.float32)
        nodes.append(helper.make_node("Conv", [last, name], [f"{name}y"], name, **attributes))
        nodes.append(helper.make_node("Relu", [f"{name}y"], [f"{name}r"], f"{name}/relu"))
        last, channels = f"{name}r", outputs

    conv(32, (3, 3), strides=[2, 2], pads=[1, 1, 1, 1])
    for outputs in (64, 128, 256):
        conv(channels, (3, 3), group=channels, pads=[1, 1, 1, 1])
        conv(outputs, (1, 1))
    nodes.append(helper.make_node("GlobalAveragePool", [last], ["p"], "pool"))
    nodes.append(helper.make_node("Flatten", ["p"], ["f"], "flatten"))
    weights["fc"] = rng.standard_normal((channels, 10)).astype(np.float32)
    nodes.append(helper.make_node("MatMul", ["f", "fc"], ["y"], "fc"))
    return map_nodes(nodes, {"x": (1, 3, 24, 24)}, weights, "hetero")


# ---- whole networks


@pytest.mark.parametrize("name", ["lenet", "digits-cnn", "squeezenet", "bert-tiny", "depthwise"])
def test_networks_are_exact_and_as_fast_as_planned(mapped, request, name):
    own = name == "depthwise"
    mapping = request.getfixturevalue(name) if own else mapped(name, "hetero", 0)
    validate(mapping.program, mapping.machine)
    assert mapping.differing() == 0
    if name != "lenet":  # its few weights find room where each is fastest
        assert {*kinds_of(mapping)} == {"analog", "digital"}
    planned = estimate(mapping.context, mapping.module)
    simulated = simulate(mapping.program, mapping.machine, images=6)
    assert simulated.interval_ns is not None
    assert simulated.latency_ns == pytest.approx(planned.latency_ns, rel=0.01)
    assert simulated.interval_ns == pytest.approx(planned.interval_ns, rel=0.01)
    assert 0 < planned.latency_bound_ns <= min(planned.latency_ns, simulated.latency_ns)
    assert 0 < planned.interval_bound_ns <= min(planned.interval_ns, simulated.interval_ns)
    assert 0 < planned.energy_bound_pj <= sum(planned.energy_pj.values())


def test_layers_stand_on_cores_of_their_kind_and_are_cut_for_it(mapped):
    mapping = mapped("squeezenet", "hetero", 0)
    machine = mapping.machine
    for op in products(mapping):
        assert cores_of_kind(machine, op.kind.cores)[list(op.placement.cores)].all()
        assert op.tiling.slices == {"analog": 1, "digital": 8}[op.kind.cores]
    core, crossbar = (mapping.program.tiles[:, TILE[n]] for n in ("core", "crossbar"))
    assert (crossbar < of_cores(machine, lambda kind: kind.crossbars)[core]).all()
    use = crossbar_use(mapping.module, mapping.program, machine)
    assert use.available == 32 + 4 * 32
    assert 0 < use.cell_utilisation <= 1


def test_cells_and_inputs_of_both_kinds_are_exact(mapped):
    mapping = mapped("digits-cnn", "hetero", 0)
    codes = mapping.codes()
    found = Executor(mapping.program, mapping.machine, mode="bit_serial").run(codes)
    for name, expected in run_reference(mapping.module, mapping.context.store, codes).items():
        assert (found[name] == expected).all()


def test_converters_are_those_of_the_analog_kind(mapped, map_network, named_network):
    mapping = mapped("digits-cnn", "hetero", 0)
    needed, available = _adc_bits(mapping.program, mapping.machine)
    assert available == 8
    assert needed > 8
    pins = {layer_name(op): (Kind("digital"),) for op in products(mapping)}
    exact = map_network(named_network("digits-cnn"), "hetero", pins=pins)
    assert _adc_bits(exact.program, exact.machine) == (None, None)


@pytest.mark.parametrize("objective", ["throughput", "energy"])
def test_other_objectives_are_exact(map_network, named_network, objective):
    assert map_network(named_network("digits-cnn"), "hetero", objective=objective).differing() == 0


def test_a_chip_with_one_kind_decides_none(mapped):
    assert all(op.kind is None for op in products(mapped("lenet", "pimcomp", 0)))


UNLIKE = {
    "smaller crossbars and memory": {
        DIGITAL + "crossbar.rows": 64,
        DIGITAL + "crossbar.columns": 128,
        DIGITAL + "crossbar.adc.per_crossbar": 128,
        DIGITAL + "local_memory.kib": 64,
        DIGITAL + "local_memory.width_bytes": 16,
    },
    "sums in the core": {DIGITAL + "sums_row_blocks": True, DIGITAL + "crossbar.rows": 32},
    "other cells and signs": {
        ANALOG + "cell.bits": 2,
        ANALOG + "crossbar.signed_weights": "offset",
        ANALOG + "crossbars": 6,
    },
    "operations in flight on one": {DIGITAL + "rob_size": 4},
}


@pytest.mark.parametrize("case", UNLIKE)
def test_kinds_may_differ_in_all_they_have(map_network, named_network, case):
    machine = vary(load("hetero"), UNLIKE[case])
    network = named_network("digits-cnn")
    names = ["conv1", "conv2", "conv3", "conv4", "fc"]
    both = itertools.cycle(("analog", "digital"))
    mapping = map_network(network, machine, pins={n: (Kind(next(both)),) for n in names})
    validate(mapping.program, machine)
    assert mapping.differing() == 0
    assert kinds_of(mapping) == ["analog", "digital", "analog", "digital", "analog"]
    planned = estimate(mapping.context, mapping.module)
    simulated = simulate(mapping.program, machine, images=6)
    assert simulated.interval_ns is not None
    assert planned.latency_bound_ns <= min(planned.latency_ns, simulated.latency_ns)
    assert planned.interval_bound_ns <= min(planned.interval_ns, simulated.interval_ns)
    if "flight" not in case:
        assert simulated.latency_ns == pytest.approx(planned.latency_ns, rel=0.02)


# ---- decisions that stand


@pytest.mark.parametrize("kind", ["analog", "digital"])
def test_a_pinned_kind_is_kept(map_network, named_network, kind):
    pins = {name: (Kind(kind),) for name in ("conv1", "fc1")}
    mapping = map_network(named_network("lenet"), "hetero", pins=pins)
    assert [mapping.op(name).kind for name in ("conv1", "fc1")] == [Kind(kind)] * 2
    assert mapping.differing() == 0
    again = parse_module(print_module(mapping.module))
    assert print_module(again) == print_module(mapping.module)


def test_other_decisions_that_stand_choose_the_kind(map_network, named_network):
    cores = tuple(range(8, 12))  # digital ones
    pins = {"conv1": (Replication(4, grid=(2, 2)), Placement(cores))}
    mapping = map_network(named_network("lenet"), "hetero", pins=pins)
    assert mapping.op("conv1").kind == Kind("digital")
    assert mapping.op("conv1").placement.cores == cores
    assert mapping.differing() == 0


def test_a_placement_on_cores_of_another_kind_is_refused(map_network, named_network):
    pins = {"conv1": (Kind("analog"), Replication(1), Placement((8,)))}
    with pytest.raises((PassError, DoesNotFitError), match="analog"):
        map_network(named_network("lenet"), "hetero", pins=pins)


@pytest.mark.parametrize("machine", ["hetero", "pimcomp"])
def test_a_kind_that_the_machine_has_not_is_refused(map_network, named_network, machine):
    with pytest.raises(PassError, match="no kind of core named 'optical'") as caught:
        map_network(named_network("lenet"), machine, pins={"conv2": (Kind("optical"),)})
    assert caught.value.where == "conv2"
    assert ", ".join(stock(load(machine))) in str(caught.value)


# ---- too little room


def test_a_layer_that_fits_no_kind_names_all_of_them(map_nodes, make_conv):
    fixed = {ANALOG + "cell.rewritable": False, DIGITAL + "cell.rewritable": False}
    machine = vary(load("hetero"), SMALL | fixed)
    with pytest.raises(DoesNotFitError) as caught:  # 5,120 rows of 256 outputs
        map_nodes(*make_conv((1, 5120, 2, 2), (256, 5120, 1, 1)), machine)
    text = str(caught.value)
    assert "of kind 'analog' it needs 20 crossbars of 4" in text
    assert "of kind 'digital' it needs 160 crossbars of 16" in text
    assert caught.value.where == "conv"


def test_a_layer_that_fits_one_kind_stands_there(map_nodes, make_conv):
    fixed = {ANALOG + "cell.rewritable": False, DIGITAL + "cell.rewritable": False}
    machine = vary(load("hetero"), SMALL | fixed)
    mapping = map_nodes(*make_conv((1, 1024, 2, 2), (256, 1024, 1, 1)), machine)
    assert kinds_of(mapping) == ["analog"]  # 32 digital crossbars would be too many
    assert mapping.differing() == 0


def test_only_a_kind_that_is_too_small_has_segments(map_network, named_network):
    machine = vary(load("hetero"), SMALL)
    mapping = map_network(named_network("squeezenet"), machine)
    loaded = {kind for op, kind in zip(products(mapping), kinds_of(mapping), strict=True)
              if op.segment is not None}  # fmt: skip
    assert loaded == {"digital"}  # whose cells are quickly written
    resident = [op for op in products(mapping) if op.segment is None]
    assert {op.kind.cores for op in resident} == {"analog"}
    validate(mapping.program, machine)
    assert mapping.differing() == 0


def test_a_kind_whose_cells_stay_is_named_where_it_is_too_small(map_network, named_network):
    machine = vary(load("hetero"), SMALL | {ANALOG + "cell.rewritable": False})
    pins = {"fire9/expand3x3": (Kind("analog"),), "conv10": (Kind("analog"),)}
    network = named_network("squeezenet")
    names = {layer_name(op) for op in network.module.body.block.ops if isinstance(op, MatmulOp)}
    pins = {name: (Kind("analog"),) for name in names}
    with pytest.raises(DoesNotFitError, match="crossbars of kind 'analog'") as caught:
        map_network(network, machine, pins=pins)
    assert caught.value.capacity == 4


# ---- the choice


def best_of_all(offers, room):
    """Least total cost over all combinations."""
    totals = [
        sum(o.cost for o in chosen)
        for chosen in itertools.product(*offers)
        if all(sum(o.crossbars for o in chosen if o.kind == k) <= r for k, r in enumerate(room))
    ]
    return min(totals, default=None)


def some_offers(seed):
    rng = np.random.default_rng(seed)
    offers = []
    for _ in range(5):
        work, scale, base = rng.uniform(10, 100), rng.uniform(0.5, 2, 2), rng.integers(1, 4, 2)
        ways = itertools.product((0, 1), (1, 2, 4))
        offers.append([Offer(k, int(base[k]) * c, float(work * scale[k] / c)) for k, c in ways])
    return offers


@pytest.mark.parametrize("seed", range(12))
def test_the_choice_is_the_best(seed):
    offers = some_offers(seed)
    picks = Market.of(offers, 2).least_sum(np.array([12, 12]))
    assert picks is not None
    flat = [offer for each in offers for offer in each]
    assert sum(flat[i].cost for i in picks) == pytest.approx(best_of_all(offers, (12, 12)))
    assert sum(flat[i].crossbars for i in picks if flat[i].kind == 0) <= 12


@pytest.mark.parametrize("seed", range(12))
def test_prices_fit_and_are_nearly_the_best(monkeypatch, seed):
    monkeypatch.setattr(markets, "EXACT", 0)
    offers = some_offers(seed)
    market, room = Market.of(offers * 40, 2), np.array([480, 480])  # gaps are those of few layers
    picks = market.least_sum(room)
    assert picks is not None
    assert (np.bincount(market.kind[picks], market.crossbars[picks], 2) <= room).all()
    assert market.cost[picks].sum() <= 1.06 * 40 * best_of_all(offers, (12, 12))


def test_equal_layers_share_two_kinds():
    offers = [[Offer(0, 4, 1.0), Offer(1, 4, 1.1)] for _ in range(6)]
    kinds = Market.of(offers, 2).choose(np.array([20, 20]), slowest=False)
    assert kinds is not None
    assert sorted(kinds.tolist()) == [0, 0, 0, 0, 1, 1]


def test_the_slowest_layer_counts_first_for_throughput():
    offers = [[Offer(0, 1, 9.0), Offer(1, 2, 5.0)], [Offer(0, 1, 8.0), Offer(1, 2, 3.0)]]
    market, room = Market.of(offers, 2), np.array([8, 3])
    for slowest, expected in ((False, [0, 1]), (True, [1, 0])):
        chosen = market.choose(room, slowest=slowest)
        assert chosen is not None
        assert chosen.tolist() == expected


def test_no_choice_is_made_where_nothing_fits():
    offers = [[Offer(0, 5, 1.0)], [Offer(0, 5, 1.0), Offer(1, 3, 1.0)]]
    assert Market.of(offers, 2).choose(np.array([8, 2]), slowest=False) is None
