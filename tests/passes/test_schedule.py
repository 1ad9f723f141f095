"""Schedules are judged by a checker that shares no code with the scheduler."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imccompiler.errors import PassError
from imccompiler.ir.decisions import Order
from imccompiler.passes.bounds import serial_bound
from imccompiler.passes.durations import TaskTimes
from imccompiler.passes.listing import list_order
from imccompiler.passes.loads import core_loads
from imccompiler.passes.ragged import Lists
from imccompiler.passes.replay import replay, steady_interval_ns
from imccompiler.passes.schedule import SchedulePass, planned, planned_bound, priorities
from imccompiler.passes.solver import solve_order
from imccompiler.passes.taskgraph import GraphBuilder, Kind, Sides
from imccompiler.passes.template import TemplateBuilder

HAIR = 1e-6
RULES = ("step", "path", "number")


def violations(graph, times, schedule):
    """What is wrong with a schedule, in words; nothing if it is valid.

    A message holds its sender from its start, and its receiver at the latest from `lead` after it.
    """
    wrong = []
    if sorted(schedule.order.tolist()) != list(range(len(graph))):
        wrong.append("not every task once")
    latest = max(schedule.end_ns.max(initial=0), schedule.peer_end_ns.max(initial=0))
    if schedule.makespan_ns < latest - HAIR:
        wrong.append("the makespan is before the last end")
    wrong += wrong_times(graph, times, schedule)
    spans = busy_spans(graph, times, schedule)
    place = np.argsort(schedule.order)
    for (name, _), held in spans.items():
        for (_, before, a), (after, _, b) in pairwise(sorted(held)):
            if after < before - HAIR:
                wrong.append(f"tasks {a} and {b} share a {name}")
            if name == "core" and place[a] > place[b]:  # emit projects the order on each core
                wrong.append(f"tasks {a} and {b} start in another sequence than the order's")
    return wrong


def wrong_times(graph, times, schedule):
    start, end = schedule.start_ns, schedule.end_ns
    tasks = graph.tasks
    for i, (task, before) in enumerate(zip(tasks, graph.predecessors, strict=True)):
        for p in before:
            known = times.lead_ns[i] if tasks[p].core == task.core else 0.0
            if start[i] + known < end[p] - HAIR:
                yield f"task {i} starts before {p} ends"
        if end[i] < start[i] + times.own_ns[i] - HAIR:
            yield f"task {i} has too little time"
        if task.peer >= 0 and schedule.peer_end_ns[i] < start[i] + times.sender_ns[i] - HAIR:
            yield f"the sender of task {i} has too little time"


def busy_spans(graph, times, schedule):
    """By (kind of resource, core): from when to when which task holds it."""
    start, end, spans = schedule.start_ns, schedule.end_ns, {}
    for i, task in enumerate(graph.tasks):
        begin = start[i]
        if task.peer >= 0:
            begin += times.lead_ns[i]
            left = start[i] + times.switch_ns[i]
            spans.setdefault(("core", task.peer), []).append((start[i], schedule.peer_end_ns[i], i))
            spans.setdefault(("switch", task.peer), []).append((start[i], left, i))
        elif task.kind in (Kind.LOAD, Kind.STORE):
            asked = end[i] - times.own_ns[i]
            served = (asked + times.request_ns[i], asked + times.switch_ns[i], i)
            spans.setdefault(("memory", -1), []).append(served)
        spans.setdefault(("core", task.core), []).append((begin, end[i], i))
    return spans


def listed(plan, rule, cores, patience_ns=3_000.0):
    graph, times = plan.built.graph, plan.times
    ranks = priorities(plan.built, times, rule)
    return replay(graph, times, list_order(graph, times, ranks, cores, patience_ns), cores)


@pytest.mark.parametrize("hardware", ["pimcomp", "isaac"])
@pytest.mark.parametrize("name", ["lenet", "digits-cnn", "squeezenet", "bert-tiny"])
def test_list_schedules_of_networks_are_valid(mapped, name, hardware):
    plan = mapped(name, hardware, 0).plan
    cores = mapped(name, hardware, 0).machine.core_count
    for rule in RULES:
        schedule = listed(plan, rule, cores)
        assert not violations(plan.built.graph, plan.times, schedule)[:3]
        again = listed(plan, rule, cores)
        assert (again.order == schedule.order).all()


# ---- random graphs


@st.composite
def graphs(draw, most=14):
    """A task graph and its times; messages only follow tasks of their sender."""
    cores = draw(st.integers(1, 4))
    builder, core_of, columns = GraphBuilder(), [], []
    template = TemplateBuilder()
    template.constant(0, 0)
    builder.template(template.build())
    none = np.zeros((1, 0), np.int64)
    sides = Sides(np.zeros(1, np.int64), none, np.zeros(1, np.int64), none)
    for i in range(draw(st.integers(1, most))):
        core = draw(st.integers(0, cores - 1))
        kind = draw(st.sampled_from([Kind.LOAD, Kind.STORE, Kind.COMPUTE, Kind.MESSAGE]))
        if kind is Kind.MESSAGE and cores == 1:
            kind = Kind.COPY
        peer = draw(st.integers(0, cores - 2)) if kind is Kind.MESSAGE else -1
        peer += peer >= core
        before = {core, peer}  # a task reads what its own core has; a message what its sender has
        able = [p for p in range(i) if core_of[p] in before]
        if kind is Kind.LOAD:
            able = []
        chosen = draw(st.lists(st.sampled_from(able), max_size=3, unique=True)) if able else []
        core_of.append(core)
        at, rank, waits = np.array([core]), np.array([i]), Lists.of([sorted(chosen)])
        if kind is Kind.MESSAGE:
            payload, sender = (np.array([1]), np.array([8])), np.array([peer])
            builder.add_messages(at, sender, 0, rank, (sides, sides), waits, payload)
        else:
            builder.add_many(kind, at, 0, rank, sides, waits)
        own = draw(st.integers(20, 200)) / 4
        lead, request = (own / 8 if peer >= 0 else 0.0), 0.0
        sender = own * draw(st.sampled_from([0.5, 0.75])) if peer >= 0 else 0.0
        switch = own * 0.75 if peer >= 0 or kind in (Kind.LOAD, Kind.STORE) else 0.0
        if kind in (Kind.LOAD, Kind.STORE):
            request = own / 8
        columns.append((own, sender, switch, lead, request))
    times = TaskTimes(*np.array(columns).T)
    return builder.finish(), times, cores


@settings(max_examples=200, deadline=None)
@given(
    graphs(),
    st.sampled_from([0.0, 10.0, 1000.0]),
    st.randoms(use_true_random=False),
)
def test_random_graphs_are_scheduled_validly(drawn, patience_ns, random):
    graph, times, cores = drawn
    ranks = list(range(len(graph)))
    random.shuffle(ranks)
    order = list_order(graph, times, np.array(ranks), cores, patience_ns)
    schedule = replay(graph, times, order, cores)
    assert not violations(graph, times, schedule)
    assert steady_interval_ns(graph, times, schedule, cores) >= 0


@settings(max_examples=25, deadline=None)
@given(graphs(most=9))
def test_the_solver_is_no_worse_and_its_bound_holds(machine_of_four, drawn):
    graph, times, cores = drawn
    order = list_order(graph, times, np.arange(len(graph)), cores, 0.0)
    hint = replay(graph, times, order, cores)
    found = solve_order(graph, times, hint, effort=1, seed=0)
    assert found.status == "optimal"
    assert found.bound_ns <= found.makespan_ns + HAIR
    assert found.bound_ns <= hint.makespan_ns + HAIR
    schedule = replay(graph, times, found.order, cores)
    assert not violations(graph, times, schedule)
    assert found.bound_ns <= schedule.makespan_ns + HAIR
    bound = serial_bound(graph, times, core_loads(graph, times, machine_of_four))
    assert bound.latency_ns <= min(schedule.makespan_ns, hint.makespan_ns) + HAIR
    assert solve_order(graph, times, hint, effort=1, seed=0) == found


def test_the_checker_sees_each_kind_of_fault(mapped):
    plan = mapped("digits-cnn", "pimcomp", 0).plan
    graph, times, good = plan.built.graph, plan.times, plan.schedule
    assert not violations(graph, times, good)

    def moved(task, to):
        start, end = good.start_ns.copy(), good.end_ns.copy()
        start[task], end[task] = to, to + end[task] - start[task]
        return replace(good, start_ns=start, end_ns=end)

    last = int(good.order[-1])
    first, second = computes_of_one_core(graph)
    loads = [i for i, t in enumerate(graph.tasks) if t.kind is Kind.LOAD]
    twice = good.order.copy()
    twice[0] = twice[1]
    faults = {
        "starts before": moved(last, 0.0),
        "share a core": moved(second, good.start_ns[first]),
        "share a memory": moved(loads[0], good.end_ns[loads[1]] - times.own_ns[loads[1]]),
        "every task once": replace(good, order=twice),
        "another sequence": replace(good, order=good.order[::-1].copy()),
        "too little time": replace(good, end_ns=good.end_ns - 1.0),
        "before the last end": replace(good, makespan_ns=good.makespan_ns - 1.0),
    }
    for words, bad in faults.items():
        assert any(words in wrong for wrong in violations(graph, times, bad)), words


def computes_of_one_core(graph):
    """Two tasks that multiply on the same core."""
    seen = {}
    for i, task in enumerate(graph.tasks):
        if task.kind is Kind.COMPUTE:
            if task.core in seen:
                return seen[task.core], i
            seen[task.core] = i
    raise LookupError


# ---- the pass


def test_small_graphs_are_solved(solved):
    mapping = solved(1)
    (record,) = [r for r in mapping.context.solver_records if r.pass_name == SchedulePass.name]
    assert record.solver == "CP-SAT"
    assert record.bound <= record.value + HAIR
    assert record.status == "optimal"
    assert mapping.differing() == 0
    heuristic = solved(0)
    (listing,) = [r for r in heuristic.context.solver_records if r.pass_name == SchedulePass.name]
    assert listing.solver == "list scheduling"
    assert record.value <= listing.value + HAIR
    assert not violations(mapping.plan.built.graph, mapping.plan.times, mapping.plan.schedule)
    assert mapping.plan.schedule.makespan_ns == pytest.approx(record.value)


def test_an_order_that_stands_is_kept_and_verified(mapped):
    mapping = mapped("digits-cnn", "pimcomp", 0)
    module = mapping.module.clone()
    order = mapping.plan.schedule.order
    module.attributes["imc.order"] = Order("number", 0.0, tuple(order.tolist()))
    SchedulePass().run(mapping.context, module)
    assert module.attributes["imc.order"].tasks == tuple(order.tolist())
    plan = planned(mapping.context, module)
    assert not violations(plan.built.graph, plan.times, plan.schedule)
    module.attributes["imc.order"] = Order("number", 0.0, tuple(order[::-1].tolist()))
    with pytest.raises(PassError, match="stands before one it needs"):
        planned(mapping.context, module)
    module.attributes["imc.order"] = Order("number", 0.0, (0, 0))
    with pytest.raises(PassError, match="every task once"):
        planned(mapping.context, module)


@pytest.mark.parametrize("options", [{"grain": 0}, {"patience_ns": -1.0}])
def test_options_are_checked(mapped, options):
    mapping = mapped("digits-cnn", "pimcomp", 0)
    with pytest.raises(PassError, match="at least"):
        SchedulePass(**options).run(mapping.context, mapping.module.clone())


def test_a_rule_that_is_given_is_used(map_network, named_network):
    head = "fold,canonicalize,quantize,partition,segment,replicate,place"
    network = named_network("digits-cnn")
    mapping = map_network(network, "pimcomp", pipeline=f"{head},schedule{{rule=path grain=2}}")
    order = mapping.module.attributes["imc.order"]
    assert (order.rule, order.tasks) == ("path", ())
    assert {op.grain.pieces for op in mapping.module.ops if op.name == "imc.matmul"} == {2}
    bound = planned_bound(mapping.context, mapping.module)
    assert bound.latency_ns <= mapping.plan.schedule.makespan_ns
