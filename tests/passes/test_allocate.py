"""Addresses: no two buffers share a byte while both live, by a checker of its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from imccompiler.errors import DoesNotFitError
from imccompiler.hardware.load import load, vary
from imccompiler.passes.allocate import allocation, pack_intervals


def lives(plan):
    """First and last place of each buffer in the order of its own core's tasks."""
    graph, spans = plan.built.graph, {}
    done, tasks = [0] * (max(graph.buffer_core) + 1), graph.tasks
    for number in plan.schedule.order.tolist():
        task = tasks[number]
        sides = [(task.core, task.side)]
        if task.sender is not None:
            sides.append((task.peer, task.sender))
        for core, side in sides:
            done[core] += 1
            for buffer in side.buffers:
                assert graph.buffer_core[buffer] == core, "a task uses another core's memory"
                first, _ = spans.get(buffer, (done[core], 0))
                spans[buffer] = first, done[core]
    for buffer in graph.constants:
        spans[buffer] = 0, 1 << 60
    return spans


def overlaps(plan, address):
    """Pairs of buffers of a core that share bytes while both live, by brute force a core."""
    graph, wrong = plan.built.graph, []
    by_core = {}
    for buffer, (first, last) in lives(plan).items():
        begin = int(address[buffer])
        end = begin + graph.buffer_bytes[buffer]
        by_core.setdefault(graph.buffer_core[buffer], []).append((begin, end, first, last, buffer))
    for entries in by_core.values():
        table = np.array(entries, np.int64)
        begin, end, first, last, buffer = table.T
        for row in table:
            meets = (begin < row[1]) & (row[0] < end) & (first <= row[3]) & (row[2] <= last)
            wrong += [(int(row[4]), int(b)) for b in buffer[meets] if b > row[4]]
    return wrong


@pytest.mark.parametrize("hardware", ["pimcomp", "isaac"])
@pytest.mark.parametrize("name", ["digits-cnn", "lenet", "squeezenet", "bert-tiny"])
def test_no_two_living_buffers_overlap(mapped, name, hardware):
    mapping = mapped(name, hardware, 0)
    places = allocation(mapping.context, mapping.module)
    graph = mapping.plan.built.graph
    assert not overlaps(mapping.plan, places.address)
    ends = places.address + np.array(graph.buffer_bytes)
    capacity = mapping.machine.main_kind.local_memory.kib * 1024
    assert places.address.min() >= 0
    for core in range(mapping.machine.core_count):
        mine = np.array(graph.buffer_core) == core
        assert ends[mine].max(initial=0) <= places.used_bytes[core] <= capacity


@pytest.fixture(scope="module")
def crowded(map_network, named_network):
    """LeNet on four cores whose memories do not hold all buffers side by side."""
    machine = vary(load("pimcomp"), {"chip.grid": [2, 2], "local_memory.kib": 10})
    return map_network(named_network("lenet"), machine)


def test_buffers_share_bytes_where_memory_is_short(crowded):
    graph = crowded.plan.built.graph
    places = allocation(crowded.context, crowded.module)
    wanted = np.bincount(graph.buffer_core, graph.buffer_bytes)
    assert wanted.max() > 10 * 1024
    assert places.used_bytes.max() <= 10 * 1024
    assert not overlaps(crowded.plan, places.address)
    assert crowded.differing() == 0


def test_the_checker_sees_an_overlap(crowded):
    places = allocation(crowded.context, crowded.module)
    graph = crowded.plan.built.graph
    address = places.address.copy()
    spans = lives(crowded.plan)
    first, last = spans[next(b for b in spans if b not in graph.constants)]
    assert first <= last
    constant = next(iter(graph.constants))
    other = next(
        b for b in spans if b != constant and graph.buffer_core[b] == graph.buffer_core[constant]
    )
    address[other] = address[constant]
    wrong = overlaps(crowded.plan, address)
    assert (min(constant, other), max(constant, other)) in wrong


def test_memories_that_are_too_small_are_told(map_network, named_network):
    machine = vary(load("pimcomp"), {"chip.grid": [2, 2], "local_memory.kib": 1})
    with pytest.raises(DoesNotFitError, match="local memory") as caught:
        map_network(named_network("lenet"), machine)
    error = caught.value
    assert (error.exit_code, error.unit, error.capacity) == (3, "bytes", 1024)
    assert error.demand > error.capacity
    assert "use a larger local memory" in error.levers
    assert error.where is not None
    assert error.where.startswith("core ")


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 30), st.integers(0, 12), st.integers(0, 6)),
        min_size=1,
        max_size=14,
    )
)
def test_packed_intervals_never_meet(drawn):
    size, first, life = np.array(drawn, np.int64).T
    last = first + life
    address, end = pack_intervals(size, first, last, 0)
    assert end == (address + size).max()
    for a in range(len(size)):
        for b in range(a):
            in_time = first[a] <= last[b] and first[b] <= last[a]
            in_space = address[a] < address[b] + size[b] and address[b] < address[a] + size[a]
            assert not (in_time and in_space)
    at_once = max(int(size[(first <= t) & (last >= t)].sum()) for t in range(20))
    assert at_once <= end <= size.sum()
