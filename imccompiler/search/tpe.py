"""The tree-structured Parzen estimator (Bergstra et al., NeurIPS 2011; Ozaki et al., 2022).

Optuna's, in memory; within a batch, candidates without a result count as bad ones, so that
they differ (the constant liar).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from imccompiler.search.genes import Candidate, Genome
from imccompiler.search.optional import require
from imccompiler.search.pareto import outcome_violation, point_of
from imccompiler.search.samplers import draw, generator
from imccompiler.search.space import Space
from imccompiler.search.trial import Outcome


class Tpe:
    """Models good and other candidates, and proposes where their ratio is best."""

    def __init__(self, space: Space, genome: Genome) -> None:
        self._space, self._genome = space, genome
        optuna = self._optuna = require("optuna")
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._study = optuna.create_study(directions=["minimize"] * len(space.objectives))
        self._distributions = {gene.name: self._distribution(gene) for gene in genome.genes}
        self._asked: list[Any] = []

    def ask(self, batch: int) -> list[Candidate]:
        """The next batch; the first is random."""
        size, random = self._space.batch_size, generator(self._space.seed, batch)
        if batch == 0:
            return draw(self._genome, random, size, set())
        self._study.sampler = self._optuna.samplers.TPESampler(
            seed=int(random.integers(1 << 31)), multivariate=True, constant_liar=True
        )
        self._asked = [self._study.ask(self._distributions) for _ in range(size)]
        return [tuple(trial.params[g.name] for g in self._genome.genes) for trial in self._asked]

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> None:
        """Add the results to the study."""
        for trial in self._asked:  # their results are added as new trials below
            self._study.tell(trial, state=self._optuna.trial.TrialState.FAIL)
        self._asked = []
        for candidate, outcome in zip(candidates, outcomes, strict=True):
            self._study.add_trial(self._trial(candidate, outcome))

    def _trial(self, candidate: Candidate, outcome: Outcome) -> Any:
        point = point_of(outcome, self._space.objectives)
        names = [gene.name for gene in self._genome.genes]
        return self._optuna.trial.create_trial(
            values=point or (0.0,) * len(self._space.objectives),  # unknown: the violation decides
            params=dict(zip(names, candidate, strict=True)),
            distributions=self._distributions,
            constraints={"violation": outcome_violation(outcome, self._space)},
        )

    def _distribution(self, gene: Any) -> Any:
        distributions = self._optuna.distributions
        if gene.ordered:
            return distributions.IntDistribution(0, len(gene.values) - 1)
        return distributions.CategoricalDistribution(range(len(gene.values)))
