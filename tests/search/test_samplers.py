from __future__ import annotations

import numpy as np
import pytest

from imccompiler.errors import UserInputError
from imccompiler.search import optional, read_space
from imccompiler.search.genes import Candidate, Genome
from imccompiler.search.nsga2 import mutated
from imccompiler.search.pareto import hypervolume
from imccompiler.search.samplers import draw, sampler_of
from imccompiler.search.trial import Measured, Outcome, Shortage

SAMPLERS = ("random", "nsga2", "tpe")


def judge(candidate: Candidate) -> Outcome:
    """A cheap landscape: wide and precise machines are good, large ones cost."""
    grid, crossbars, adc, cell, array, method = candidate
    if crossbars == 0 and grid == 0:
        return Outcome("infeasible", shortage=Shortage(3, 1, "crossbars", ()))
    if cell == 2 and array == 1:
        return Outcome("invalid", reason="no such machine")
    values = {
        "accuracy": 1 - abs(adc - 4) / 5 + 0.01 * method,
        "latency_ns": 10.0 - grid - crossbars - cell,
        "area_mm2": 1.0 + grid + crossbars + adc + array,
    }
    return Outcome("complete", {name: Measured(v, "plan") for name, v in values.items()})


def batches(sampler, count: int) -> list[list[Candidate]]:
    asked = []
    for batch in range(count):
        candidates = sampler.ask(batch)
        sampler.tell(candidates, [judge(c) for c in candidates])
        asked.append(candidates)
    return asked


@pytest.fixture
def make(space):
    def make(name: str, seed: int = 0):
        read = read_space(space("batch_size: 6", f"batch_size: 6\nsampler: {name}"), seed=seed)
        return sampler_of(read.space, Genome.of(read.space))

    return make


@pytest.mark.parametrize("name", SAMPLERS)
def test_the_same_seed_asks_for_the_same(make, name):
    asked = batches(make(name), 6)
    assert asked == batches(make(name), 6)
    assert asked != batches(make(name, seed=1), 6)
    assert all(len(batch) == 6 for batch in asked)


@pytest.mark.parametrize("name", SAMPLERS)
def test_replay_gives_the_state_back(make, name):
    """A sampler that is only told, as on resuming, goes on as the one that was asked."""
    asked = batches(make(name), 5)
    again = make(name)
    for batch, candidates in enumerate(asked[:4]):
        again.ask(batch)
        again.tell(candidates, [judge(c) for c in candidates])
    assert again.ask(4) == asked[4]


@pytest.mark.parametrize("name", ["random", "nsga2"])
def test_no_candidate_twice(make, name):
    asked = [candidate for batch in batches(make(name), 12) for candidate in batch]
    assert len(set(asked)) == len(asked)


def test_nsga2_finds_a_better_front_than_random(make):
    def volume(name: str, seed: int) -> float:
        asked = [candidate for batch in batches(make(name, seed), 15) for candidate in batch]
        outcomes = [judge(candidate) for candidate in asked]
        names = ("accuracy", "latency_ns", "area_mm2")
        points = np.array(
            [[o.value(n) for n in names] for o in outcomes if o.state == "complete"]
        ) * [-1, 1, 1]
        return hypervolume(points, np.array([-1.01, 4.0, 1.0]), np.array([-0.2, 10.0, 11.0]))

    mean = {n: np.mean([volume(n, seed) for seed in range(5)]) for n in ("nsga2", "random")}
    assert mean["nsga2"] > mean["random"]


def test_a_space_that_is_used_up_gives_doubles(space):
    read = read_space(space()).space
    genome = Genome(Genome.of(read).genes[:1], {})
    drawn = draw(genome, np.random.default_rng(0), 5, set())
    assert set(drawn) == {(0,), (1,), (2,)}


def test_mutation_stays_inside_and_changes_one_gene_in_the_mean():
    random = np.random.default_rng(0)
    sizes = np.array([2, 3, 7, 4, 2])
    ordered = np.array([False, True, True, False, True])
    parents = random.integers(0, sizes, size=(4000, 5))
    children = mutated(parents, sizes, ordered, random)
    assert ((children >= 0) & (children < sizes)).all()
    assert (children != parents).sum(axis=1).mean() == pytest.approx(1.0, abs=0.05)
    steps = np.abs(children - parents)[:, 2]
    near = np.mean(steps[steps > 0] == 1)
    assert near > 0.55  # half of the changes by intent, and of the others some by chance


def test_a_missing_package_is_told_with_the_line_to_install_it(monkeypatch):
    def absent(module: str) -> None:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module.partition(".")[0])

    monkeypatch.setattr(optional, "import_module", absent)
    with pytest.raises(UserInputError, match="'optuna' is needed") as caught:
        optional.require("optuna")
    assert caught.value.hint == "pip install 'imccompiler[search]'"
    with pytest.raises(UserInputError) as caught:
        optional.require("distributed")
    assert caught.value.hint == "pip install 'imccompiler[dask]'"
