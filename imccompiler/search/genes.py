"""Integer coding: a candidate is a tuple of indices, one for each gene."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from imccompiler.errors import UserInputError
from imccompiler.passes.base import Objective as MappingObjective
from imccompiler.search.space import Space

Candidate = tuple[int, ...]
NETWORK, OBJECTIVE = "network", "objective"


@dataclass(frozen=True, slots=True)
class Gene:
    """One choice: its name, what can be chosen, and whether neighbours are alike."""

    name: str
    values: tuple[Any, ...]
    ordered: bool


@dataclass(frozen=True, slots=True)
class Genome:
    """All choices of a space.

    Attributes:
        genes: Those with more than one value, which candidates have an index for.
        fixed: Values of the others by name.
    """

    genes: tuple[Gene, ...]
    fixed: Mapping[str, Any]

    @staticmethod
    def of(space: Space) -> Genome:
        """The genes of a space: network, machine, mapping, in the order of the file."""
        genes = [
            Gene(NETWORK, space.networks, ordered=False),
            *(_gene(key, values) for key, values in space.hardware.fields.items()),
            *(
                Gene(name, tuple(choices), ordered=True)
                for name, choices in space.hardware.variants.items()
            ),
            *(_gene(key, values) for key, values in space.mapping.passes.items()),
            Gene(OBJECTIVE, space.mapping.objective, ordered=False),
        ]
        free = tuple(gene for gene in genes if len(gene.values) > 1)
        return Genome(free, {g.name: g.values[0] for g in genes if len(g.values) == 1})

    @property
    def sizes(self) -> tuple[int, ...]:
        """Number of values of each gene."""
        return tuple(len(gene.values) for gene in self.genes)

    @property
    def size(self) -> int:
        """Number of candidates."""
        return math.prod(self.sizes)

    def decode(self, candidate: Candidate) -> dict[str, Any]:
        """The values that a candidate stands for, by name, fixed ones included.

        Raises:
            UserInputError: It is no candidate of this space.
        """
        if len(candidate) != len(self.genes) or any(
            not 0 <= index < size for index, size in zip(candidate, self.sizes, strict=True)
        ):
            raise UserInputError(
                f"{list(candidate)} is no candidate of a space with {list(self.sizes)} values"
            )
        pairs = zip(self.genes, candidate, strict=True)
        return {**self.fixed, **{gene.name: gene.values[index] for gene, index in pairs}}

    def encode(self, values: Mapping[str, Any]) -> Candidate:
        """The candidate that stands for some values; inverse of `decode`.

        Raises:
            UserInputError: A gene's value is missing or none that it has.
        """
        return tuple(_index(gene, values) for gene in self.genes)


@dataclass(frozen=True, slots=True)
class Design:
    """A decoded candidate.

    Attributes:
        network: Its name or file.
        overrides: Values of the machine's keys that differ from the base.
        options: Values by `pass.option`.
        objective: What the mapping is chosen for.
    """

    network: str
    overrides: Mapping[str, Any]
    options: Mapping[str, Any]
    objective: MappingObjective


def design_of(space: Space, values: Mapping[str, Any]) -> Design:
    """What values by gene name (see `Genome.decode`) mean in a space."""
    hardware = space.hardware
    overrides: dict[str, Any] = {key: values[key] for key in hardware.fields}
    for name, choices in hardware.variants.items():
        overrides |= choices[values[name]]
    options = {key: values[key] for key in space.mapping.passes}
    return Design(values[NETWORK], overrides, options, values[OBJECTIVE])


def _gene(name: str, values: tuple[Any, ...]) -> Gene:
    numbers = all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    return Gene(name, values, ordered=numbers)


def _index(gene: Gene, values: Mapping[str, Any]) -> int:
    if gene.name not in values:
        raise UserInputError(f"there is no value for {gene.name!r}")
    value = values[gene.name]
    if value not in gene.values:
        known = ", ".join(map(str, gene.values))
        raise UserInputError(f"{gene.name!r} cannot be {value!r}", hint=f"it can be {known}")
    return gene.values.index(value)
