"""What proposes candidates: asked for a batch, told what came of it.

A sampler's state follows from the seed and from what it was told, in order; random numbers
are seeded anew for each batch from (seed, batch). So a study that goes on asks for what it
would have asked for without the break.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from imccompiler.search.genes import Candidate, Genome
from imccompiler.search.space import Space
from imccompiler.search.trial import Outcome


class Sampler(Protocol):
    """Proposes candidates."""

    def ask(self, batch: int) -> list[Candidate]:
        """As many candidates as a batch has; `batch` counts from 0."""
        ...

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> None:
        """What came of the batch that was asked for, or of what was evaluated in its place."""
        ...


def sampler_of(space: Space, genome: Genome) -> Sampler:
    """The sampler that a space names.

    Raises:
        UserInputError: Its package is not installed.
    """
    if space.sampler == "nsga2":
        from imccompiler.search.nsga2 import Nsga2  # noqa: PLC0415

        return Nsga2(space, genome)
    if space.sampler == "tpe":
        from imccompiler.search.tpe import Tpe  # noqa: PLC0415

        return Tpe(space, genome)
    return Random(space, genome)


def generator(seed: int, batch: int) -> np.random.Generator:
    """The random numbers of one batch."""
    return np.random.default_rng([seed, batch])


class Random:
    """Uniform; no candidate twice while others are left: the control of every comparison."""

    def __init__(self, space: Space, genome: Genome) -> None:
        self._seed, self._size = space.seed, space.batch_size
        self._genome = genome
        self._seen: set[Candidate] = set()

    def ask(self, batch: int) -> list[Candidate]:
        """Candidates that were not told before, as far as a hundred draws each find them."""
        return draw(self._genome, generator(self._seed, batch), self._size, self._seen)

    def tell(self, candidates: Sequence[Candidate], outcomes: Sequence[Outcome]) -> None:
        """Remember the candidates."""
        del outcomes
        self._seen.update(candidates)


def draw(
    genome: Genome, random: np.random.Generator, count: int, seen: set[Candidate]
) -> list[Candidate]:
    """Uniform candidates, new ones while some are found in a hundred draws."""
    drawn: list[Candidate] = []
    for _ in range(count):
        candidate = _draw(genome, random)
        for _ in range(99):
            if candidate not in seen and candidate not in drawn:
                break
            candidate = _draw(genome, random)
        drawn.append(candidate)
    return drawn


def _draw(genome: Genome, random: np.random.Generator) -> Candidate:
    return tuple(random.integers(0, genome.sizes).tolist())
