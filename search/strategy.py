"""The contract between a study and whatever decides what it tries next."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import final

import numpy as np

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Outcome, candidate_seed
from phylon.search.errors import ConfigurationError, SpaceExhausted, StudyError
from phylon.search.space import SearchSpace

_TRIES = 20  # proposals, then random draws, before a new architecture is looked for in order
_INFINITE_TRIES = 1000  # random draws where there is no order to look in


@dataclass(frozen=True, slots=True)
class Proposal:
    """An architecture that a strategy would like to see measured, and where it comes from."""

    architecture: Architecture
    parents: tuple[int, ...] = ()
    operator: str = "sample"
    generation: int = 0


class Strategy(ABC):
    """Decides which architectures a study tries, from what it is told of earlier ones.

    A strategy is a function of the space, its parameters, the seed, and the order of asks and
    tells, and of nothing else: draw ``i`` uses ``numpy.random.default_rng([seed, i])``. So a
    strategy is never saved; `replay` of a study's history brings it back. Candidates may be told in
    any order, late, or never. No architecture is proposed twice. One thread at a time.

    A new strategy fills in two methods, and obeys two rules: `_propose` changes nothing that a
    later proposal depends on, and all randomness comes from its `rng`. It is then entered in
    `phylon.search.registry.STRATEGIES` and must pass `phylon.search.testing.StrategyTests`.

    Args:
        space: Where to search.
        objectives: Number of losses in each outcome.
        seed: 0 or more.

    Raises:
        ConfigurationError: A value is not allowed.
    """

    def __init__(self, space: SearchSpace, *, objectives: int = 1, seed: int = 0) -> None:
        if seed < 0:
            raise ConfigurationError(f"seed is {seed}; allowed: 0 or more")
        if objectives < 1:
            raise ConfigurationError(f"there are {objectives} objectives; needed: at least one")
        self.space = space
        self.objectives = objectives
        self.seed = seed
        self._asked = 0
        self._keys: set[str] = set()
        self._pending: dict[int, Candidate] = {}
        self._in_order: Iterator[Architecture] | None = None

    @abstractmethod
    def _propose(self, rng: np.random.Generator) -> Proposal:
        """Return an architecture of the space; called again if it was proposed before."""

    @abstractmethod
    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        """Learn from a result; called once for a candidate, of those that were asked."""

    @property
    @final
    def asked(self) -> int:
        """Number of candidates asked so far; the id of the next."""
        return self._asked

    @final
    def ask(self, n: int = 1) -> list[Candidate]:
        """Return the next `n` candidates; fewer if the space ends before.

        Raises:
            SpaceExhausted: Every architecture of the space was asked before.
        """
        if n < 1:
            raise ConfigurationError(f"ask: n is {n}; allowed: 1 or more")
        candidates: list[Candidate] = []
        while len(candidates) < n:
            try:
                candidates.append(self._ask_one())
            except SpaceExhausted:
                if candidates:
                    break
                raise
        return candidates

    @final
    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Take in the outcome of a candidate; a second one for the same candidate is ignored.

        Raises:
            StudyError: The candidate was not asked here, or the losses are not one finite number
                for each objective.
        """
        if not 0 <= candidate.id < self._asked:
            raise StudyError(
                f"tell: candidate {candidate.id} was never asked; ids so far: below {self._asked}"
            )
        expected = self._pending.get(candidate.id)
        if expected is None:
            return
        if expected.architecture != candidate.architecture:
            raise StudyError(
                f"tell: candidate {candidate.id} has another architecture than the one asked under "
                f"that id ({candidate.architecture} instead of {expected.architecture})"
            )
        losses = outcome.losses
        if losses is not None and (
            len(losses) != self.objectives or not all(map(math.isfinite, losses))
        ):
            raise StudyError(
                f"tell: the losses of candidate {candidate.id} are {losses}; needed: "
                f"{self.objectives} finite, or None if it failed"
            )
        del self._pending[candidate.id]
        self._observe(expected, outcome)

    @final
    def replay(self, history: Iterable[tuple[Candidate, Outcome | None]]) -> None:
        """Take in what happened before, in that order, so that the next asks are those of then.

        Args:
            history: A candidate with None where it was asked, with its outcome where it was told.

        Raises:
            StudyError: The candidates were not asked in the order of their ids, from `asked` on.
            SpaceError: A candidate is not in the space.
        """
        for candidate, outcome in history:
            if outcome is not None:
                self.tell(candidate, outcome)
            elif candidate.id != self._asked:
                raise StudyError(
                    f"replay: candidate {candidate.id} was asked where {self._asked} is next; the "
                    "history has a gap or another beginning"
                )
            else:
                self.space.validate(candidate.architecture)
                self._register(candidate, candidate.architecture.key)

    def _ask_one(self) -> Candidate:
        proposal, key = self._new_proposal(np.random.default_rng([self.seed, self._asked]))
        candidate = Candidate(
            id=self._asked,
            architecture=proposal.architecture,
            parents=proposal.parents,
            operator=proposal.operator,
            generation=proposal.generation,
            seed=candidate_seed(self.seed, self._asked),
        )
        self._register(candidate, key)
        return candidate

    def _register(self, candidate: Candidate, key: str) -> None:
        self._keys.add(key)
        self._pending[candidate.id] = candidate
        self._asked += 1

    def _new_proposal(self, rng: np.random.Generator) -> tuple[Proposal, str]:
        """Return the first of many attempts that was not proposed before, with its key."""
        if len(self._keys) < self.space.size:
            for proposal in self._attempts(rng):
                key = proposal.architecture.key
                if key not in self._keys:
                    return proposal, key
        raise SpaceExhausted(
            f"all {len(self._keys)} architectures of the space were proposed; "
            "lower the budget or widen the space"
        )

    def _attempts(self, rng: np.random.Generator) -> Iterator[Proposal]:
        finite = self.space.size < math.inf
        for _ in range(_TRIES):
            yield self._propose(rng)
        for _ in range(_TRIES if finite else _INFINITE_TRIES):
            yield Proposal(self.space.sample(rng))
        if finite:
            # What is found is the first unseen in order, however far an earlier search had come.
            self._in_order = self._in_order or self.space.enumerate()
            yield from (Proposal(found, operator="enumerate") for found in self._in_order)
