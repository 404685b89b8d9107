"""Population-based training: the worst of a population go on as changed copies of the best."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass
from typing import final

import numpy as np
from typing_extensions import override

from phylon.search.candidate import Candidate, Outcome
from phylon.search.checks import check_flag, check_integer, check_number
from phylon.search.errors import ConfigurationError, SpaceError
from phylon.search.evolution import Member
from phylon.search.generations import Generations
from phylon.search.nodes import Float
from phylon.search.proposal import Proposal
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy
from phylon.search.variation import mutate, perturb


@dataclass(slots=True)
class _Line:
    """A place in the population, which candidates take one after another.

    Attributes:
        steps: How many candidates it had so far.
        last: Id of the last of them.
        is_open: Whether the last is still under way.
        is_broken: Whether the last failed.
        member: The last that was measured.
    """

    steps: int = 0
    last: int = -1
    is_open: bool = False
    is_broken: bool = False
    member: Member | None = None


@final
class Pbt(Strategy):
    """Population-based training (Jaderberg et al. 2017, https://arxiv.org/abs/1711.09846).

    Every step of a member of the population is a candidate, which trains for the epochs of a
    candidate and begins with the weights of its parent. A member that is in the last `quantile` of
    the newest results of all members, or whose step failed, is given up: its next step exploits one
    of the first `quantile`, drawn at random, and explores. Each float of the space, so learning
    rate or dropout, is multiplied by 0.8 or 1.2, or drawn anew with a chance of 0.25; and with a
    chance of `mutation` one other decision, so the architecture, is mutated. Any other member
    continues as it is.

    A member goes on as soon as its step has ended, whatever the others do; those that took fewer
    steps go first. So it is compared with what may have trained for longer: with fewer slots than
    members the last to go are given up more often, and the lines of the best become longer. Nothing
    is proposed while all are under way. The first step of a member is random, and so is each later
    one while nothing was measured.

    In the paper only hyperparameters are explored, members exploit when they were trained for long
    enough since the last time, and the quantile is 0.2.

    Args:
        space: Where to search.
        objectives: 1; only one is compared.
        seed: 0 or more.
        population: How many members there are; 2 or more.
        quantile: What share of them is given up, and what share exploited; above 0, up to 0.5.
        mutation: Chance in [0, 1] that exploring changes the architecture.
    """

    repeats = True
    inherits = True

    def __init__(
        self,
        space: SearchSpace,
        *,
        objectives: int = 1,
        seed: int = 0,
        population: int,
        quantile: float,
        mutation: float,
    ) -> None:
        super().__init__(space, objectives=objectives, seed=seed)
        self.initial = population
        self._quantile = quantile
        self._mutation = mutation
        self._lines = [_Line() for _ in range(population)]
        self._line_of: dict[int, _Line] = {}

    @property
    @override
    def waits(self) -> bool:
        return all(line.is_open for line in self._lines)

    @property
    @override
    def living(self) -> Collection[int]:
        return [member.id for member in self._members]

    def _propose(self, rng: np.random.Generator) -> Proposal:
        line, ranking = self._next, self._members
        if not line.steps or not ranking:
            return Proposal(self.space.sample(rng))
        cut = min(math.ceil(len(ranking) * self._quantile), len(ranking) // 2)
        given_up = ranking[len(ranking) - cut :]
        if line.member is None or line.is_broken or line.member in given_up:
            best = ranking[: max(cut, 1)]
            return self._exploit(best[int(rng.integers(len(best)))], rng)
        parent = line.member
        return Proposal(parent.architecture, (parent.id,), "continue", parent.generation + 1)

    def _accept(self, candidate: Candidate) -> None:
        line = self._line_of[candidate.id] = self._next
        line.steps += 1
        line.last = candidate.id
        line.is_open = True

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        line, member = self._line_of[candidate.id], Member.of(candidate, outcome)
        if candidate.id == line.last:
            line.is_open, line.is_broken = False, outcome.failed
        if member and (line.member is None or line.member.id <= member.id):
            line.member = member

    @property
    def _next(self) -> _Line:
        """The member whose turn it is; there is none while the strategy waits."""
        return min((line for line in self._lines if not line.is_open), key=lambda line: line.steps)

    @property
    def _members(self) -> list[Member]:
        """The newest results of all members, the best first."""
        members = [line.member for line in self._lines if line.member]
        return sorted(members, key=lambda member: (member.rank, member.id))

    def _exploit(self, parent: Member, rng: np.random.Generator) -> Proposal:
        operator, child = "exploit", perturb(self.space, parent.architecture, rng=rng)
        if rng.random() < self._mutation:
            try:
                child = mutate(self.space, child, rng=rng, fixed=(Float,))
                operator = "exploit+mutate"
            except SpaceError:  # there is nothing but hyperparameters
                pass
        return Proposal(child, (parent.id,), operator, parent.generation + 1)


def pbt(
    space: SearchSpace,
    *,
    objectives: int = 1,
    seed: int = 0,
    candidates: int | None = None,
    population: int = 8,
    quantile: float = 0.25,
    mutation: float = 0.5,
    generational: bool = False,
) -> Strategy:
    """Train a population, and replace its worst by changed copies of its best; `Pbt`.

    Args:
        space: Where to search.
        objectives: 1; only one is compared.
        seed: 0 or more.
        candidates: The study's ``budget.candidates``; None if it has no such bound.
        population: How many members there are; from 2 to `candidates`.
        quantile: What share of them is given up, and what share exploited; above 0, up to 0.5.
        mutation: Chance in [0, 1] that exploring changes the architecture.
        generational: Whether all members end a step before the next begins.

    Raises:
        ConfigurationError: A parameter has a value that is not allowed.
    """
    check_integer("population", population, 2)
    check_number("mutation", mutation, 0.0, 1.0)
    check_flag("generational", generational)
    if isinstance(quantile, bool) or not isinstance(quantile, float) or not 0 < quantile <= 0.5:
        raise ConfigurationError(
            f"strategy.quantile is {quantile!r}; allowed: numbers above 0, up to 0.5"
        )
    if candidates is not None and population > candidates:
        raise ConfigurationError(
            f"strategy.population is {population}, but budget.candidates is {candidates}, so not "
            f"every member would train; lower the population, or raise the budget to {population} "
            "or more. Each step of a member counts: for 10 steps let it be 10 times the population"
        )
    trained = Pbt(
        space,
        objectives=objectives,
        seed=seed,
        population=population,
        quantile=quantile,
        mutation=mutation,
    )
    return Generations(trained, population) if generational else trained
