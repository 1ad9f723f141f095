"""NSGA-II (Deb et al., IEEE Trans. Evolutionary Computation 2002) on integer-coded candidates.

pymoo's algorithm, asked and told a generation at a time; a batch is a generation. Candidates
that break a constraint or do not fit are ranked by how much (constrained domination, section VI
of the paper).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from imccompiler.search.genes import Candidate, Genome
from imccompiler.search.optional import require
from imccompiler.search.pareto import outcome_violation, point_of
from imccompiler.search.samplers import draw, generator
from imccompiler.search.space import Space
from imccompiler.search.trial import Outcome


class Nsga2:
    """Crossover gene by gene, mutation of one gene on average; no candidate twice."""

    def __init__(self, space: Space, genome: Genome) -> None:
        self._space, self._genome = space, genome
        self._seen: set[Candidate] = set()
        self._problem = _problem(genome, len(space.objectives))
        self._algorithm = _algorithm(self._problem, genome, space.batch_size, self._seen)
        self._algorithm.setup(self._problem, termination=_endless())

    def ask(self, batch: int) -> list[Candidate]:
        """The next generation; random candidates fill it up where mating finds nothing new."""
        size, random = self._space.batch_size, generator(self._space.seed, batch)
        self._algorithm.random_state = random
        bred = self._algorithm.ask() if batch else None  # None also if nothing new was found
        genes = np.empty((0, 0)) if bred is None else bred.get("X")
        asked = [tuple(int(index) for index in row) for row in genes.tolist()]
        return asked + draw(self._genome, random, size - len(asked), self._seen | set(asked))

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> None:
        """Let the fitter survive."""
        self._seen.update(candidates)
        objectives = self._space.objectives
        points = [point_of(outcome, objectives) for outcome in outcomes]
        broken = [outcome_violation(outcome, self._space) for outcome in outcomes]
        unknown = (0.0,) * len(objectives)  # never compared: the violation decides
        population = _population(
            self._problem,
            np.array(candidates),
            np.array([unknown if point is None else point for point in points]),
            np.array(broken)[:, None],
        )
        self._algorithm.tell(infills=population)


def _problem(genome: Genome, objectives: int) -> Any:
    problem = require("pymoo.core.problem").Problem
    upper = np.array(genome.sizes) - 1
    return problem(
        n_var=len(upper), n_obj=objectives, n_ieq_constr=1, xl=np.zeros_like(upper), xu=upper
    )


def _algorithm(problem: Any, genome: Genome, size: int, seen: set[Candidate]) -> Any:
    del problem
    nsga2 = require("pymoo.algorithms.moo.nsga2").NSGA2
    crossover = require("pymoo.operators.crossover.ux").UniformCrossover
    return nsga2(
        pop_size=size,
        crossover=crossover(prob=0.9),
        mutation=_mutation(genome),
        eliminate_duplicates=_unseen(seen),
    )


def _mutation(genome: Genome) -> Any:
    """Each gene with probability 1/genes: an ordered one to a near value, another to any."""
    base = require("pymoo.core.mutation").Mutation
    sizes = np.array(genome.sizes)
    ordered = np.array([gene.ordered for gene in genome.genes])

    class Mutation(base):
        def _do(self, problem: Any, X: NDArray[Any], **options: Any) -> NDArray[Any]:  # noqa: N803
            del problem
            return mutated(X.astype(np.int64), sizes, ordered, options["random_state"])

    return Mutation()


def mutated(
    candidates: NDArray[np.int64],
    sizes: NDArray[np.int64],
    ordered: NDArray[np.bool_],
    random: np.random.Generator,
) -> NDArray[np.int64]:
    """Candidates with about one gene changed in each, shape (candidates, genes).

    Half of the changes of ordered genes go to a neighbour, all others to any other value.
    """
    shape = candidates.shape
    anywhere = (candidates + random.integers(1, sizes, size=shape)) % sizes
    step = np.where(random.random(shape) < 0.5, 1, -1)
    beside = candidates + step
    beside = np.where((beside < 0) | (beside >= sizes), candidates - step, beside)
    near = ordered & (random.random(shape) < 0.5)
    change = random.random(shape) < 1.0 / shape[1]
    return np.where(change, np.where(near, beside, anywhere), candidates)


def _unseen(seen: set[Candidate]) -> Any:
    """Drops candidates that a study had before, and doubles."""
    base = require("pymoo.core.duplicate").DuplicateElimination

    class Unseen(base):
        def _do(self, pop: Any, other: Any, is_duplicate: NDArray[Any]) -> NDArray[Any]:
            held = set() if other is None else set(map(tuple, other.get("X").tolist()))
            for i, row in enumerate(map(tuple, pop.get("X").tolist())):
                is_duplicate[i] = row in seen or row in held
                if other is None:
                    held.add(row)
            return is_duplicate

    return Unseen()


def _population(
    problem: Any, candidates: NDArray[Any], points: NDArray[Any], broken: NDArray[Any]
) -> Any:
    population = require("pymoo.core.population").Population.new("X", candidates)
    static = require("pymoo.problems.static").StaticProblem(problem, F=points, G=broken)
    require("pymoo.core.evaluator").Evaluator().eval(static, population)
    return population


def _endless() -> Any:
    return require("pymoo.core.termination").NoTermination()
