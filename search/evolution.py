"""Evolution as a composition of selection, variation and survival.

Each part is a small callable. A new evolutionary algorithm is a factory that puts three of them
together, with new ones where it has something new to say.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias, final

import numpy as np
from typing_extensions import override

from phylon.search import variation
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Outcome
from phylon.search.proposal import Proposal
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy


@dataclass(frozen=True, slots=True)
class Member:
    """A measured candidate that may become a parent; all losses are to be minimised."""

    id: int
    architecture: Architecture
    generation: int
    losses: tuple[float, ...]
    violation: float = 0.0

    @classmethod
    def of(cls, candidate: Candidate, outcome: Outcome) -> Member | None:
        """Return a candidate with what it was found to be; None if it failed."""
        if outcome.losses is None:
            return None
        return cls(
            candidate.id,
            candidate.architecture,
            candidate.generation,
            outcome.losses,
            outcome.violation,
        )

    @property
    def rank(self) -> tuple[float, ...]:
        """What members are compared by, for one objective: what is feasible comes first."""
        return (self.violation, *self.losses)


Population: TypeAlias = Sequence[Member]
Selection: TypeAlias = Callable[[Population, np.random.Generator], Member]
"""Picks one parent among the living, of which there is at least one."""
Survival: TypeAlias = Callable[[Population], Population]
"""Returns those that live on, in an order that does not depend on that of the argument."""
Variation: TypeAlias = Callable[[SearchSpace, Callable[[], Member], np.random.Generator], Proposal]
"""Makes a child from parents, which its second argument picks one by one."""


@final
class Evolution(Strategy):
    """Steady-state, asynchronous evolution: every ask sees all results told so far.

    The first proposals are random, and so are later ones while nobody lives. A failed
    candidate is never a parent.

    Args:
        space: Where to search.
        initial: Number of random proposals to begin with.
        selection: How a parent is picked.
        variation: How a child is made.
        survival: Who lives on after a birth.
        objectives: Number of losses in each outcome; all three parts must be able to handle it.
        seed: 0 or more.
        repeats: Whether a network may be proposed, and measured, again.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        initial: int,
        selection: Selection,
        variation: Variation,
        survival: Survival,
        objectives: int = 1,
        seed: int = 0,
        repeats: bool = False,
    ) -> None:
        super().__init__(space, objectives=objectives, seed=seed)
        self.repeats = repeats
        self.population: Population = ()
        self.initial = initial
        self._selection = selection
        self._variation = variation
        self._survival = survival

    @property
    @override
    def living(self) -> Collection[int]:
        return [member.id for member in self.population]

    def _propose(self, rng: np.random.Generator) -> Proposal:
        if self.asked < self.initial or not self.population or self.space.size == 1:
            return Proposal(self.space.sample(rng))
        return self._variation(self.space, lambda: self._selection(self.population, rng), rng)

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        if member := Member.of(candidate, outcome):
            others = [each for each in self.population if each.id != member.id]
            self.population = self._survival([*others, member])


def mutation(space: SearchSpace, pick: Callable[[], Member], rng: np.random.Generator) -> Proposal:
    """Vary by one mutation of one parent."""
    parent = pick()
    child = variation.mutate(space, parent.architecture, rng=rng)
    return Proposal(child, (parent.id,), "mutate", parent.generation + 1)


def recombination(
    space: SearchSpace, pick: Callable[[], Member], rng: np.random.Generator
) -> Proposal:
    """Vary by crossing two parents."""
    a, b = pick(), pick()
    child = variation.crossover(space, a.architecture, b.architecture, rng=rng)
    return Proposal(child, (a.id, b.id), "crossover", max(a.generation, b.generation) + 1)


def mutated(first: Variation, *, chance: float) -> Variation:
    """Vary by `first`, then, with the given chance, mutate what came of it."""

    def vary(space: SearchSpace, pick: Callable[[], Member], rng: np.random.Generator) -> Proposal:
        child = first(space, pick, rng)
        if rng.random() >= chance:
            return child
        changed = variation.mutate(space, child.architecture, rng=rng)
        return replace(child, architecture=changed, operator=f"{child.operator}+mutate")

    return vary


def either(first: Variation, second: Variation, *, chance: float) -> Variation:
    """Vary by `first` with the given chance, else by `second`."""

    def vary(space: SearchSpace, pick: Callable[[], Member], rng: np.random.Generator) -> Proposal:
        return (first if rng.random() < chance else second)(space, pick, rng)

    return vary
