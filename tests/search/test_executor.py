from __future__ import annotations

import math
import operator
import os
import time

import pytest

from imccompiler.search import read_space
from imccompiler.search.executor import run_all, workers_of
from imccompiler.search.problem import Payload


@pytest.fixture
def payload(space) -> Payload:
    return Payload.of(read_space(space()))


def test_this_process_runs_tasks_in_order(payload):
    with workers_of(payload, 1, timeout_s=1) as workers:
        tasks = [(i, 2) for i in range(5)]
        assert list(run_all(workers, operator.pow, tasks)) == [(i, i * i) for i in range(5)]
        (_, error), (_, value) = run_all(workers, math.sqrt, [(-1,), (4,)])
    assert isinstance(error, ValueError)
    assert value == 2


def test_the_pool_survives_death_and_delay(payload):
    tasks = [(pow, 2, 2), (os._exit, 1), (time.sleep, 60), (math.sqrt, -1), (pow, 2, 3)]
    with workers_of(payload, 2, timeout_s=3) as workers:
        found = dict(run_all(workers, operator.call, tasks))
    names = {i: type(found[i]).__name__ for i in (1, 2, 3)}
    assert names == {1: "ProcessExpired", 2: "TimeoutError", 3: "ValueError"}
    assert (found[0], found[4]) == (4, 8)
