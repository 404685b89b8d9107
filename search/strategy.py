"""The contract between a study and whatever decides what it tries next."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import final

import numpy as np

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Outcome
from phylon.search.errors import ConfigurationError, SpaceExhausted, StudyError, Waiting
from phylon.search.proposal import Known, Proposal
from phylon.search.space import SearchSpace

_TRIES = 20  # proposals, then random draws, before a new architecture is looked for in order
_INFINITE_TRIES = 1000  # random draws where there is no order to look in


class Strategy(ABC):
    """Decides which architectures a study tries, from what it is told of earlier ones.

    A strategy is a function of the space, its parameters, the seed, and the order of asks and
    tells, and of nothing else: draw ``i`` uses ``numpy.random.default_rng([seed, i])``. So a
    strategy is never saved; `replay` of a study's history brings it back. Candidates may be told in
    any order, late, or never. One thread at a time.

    No network is proposed twice, nor another architecture with the same `SearchSpace.key`, but for
    promotions, which train a candidate on, and strategies with `repeats`.

    A new strategy fills in two methods, and obeys two rules: `_propose` changes nothing that a
    later proposal depends on, and all randomness comes from its `rng`. It is then entered in
    `phylon.search.registry.STRATEGIES` and must pass `phylon.search.testing.StrategyTests`.

    Args:
        space: Where to search.
        objectives: Number of losses in each outcome.
        seed: 0 or more.

    Attributes:
        initial: How many candidates are asked before what was learned counts.
        epochs: How long a new candidate trains; None for the study's own epochs.
        repeats: Whether a network may be proposed again, and measured again, as a new candidate.
        inherits: Whether a child begins with the weights of the first of its parents.

    Raises:
        ConfigurationError: A value is not allowed.
    """

    initial: int = 10
    epochs: int | None = None
    repeats: bool = False
    inherits: bool = False

    def __init__(self, space: SearchSpace, *, objectives: int = 1, seed: int = 0) -> None:
        if seed < 0:
            raise ConfigurationError(f"seed is {seed}; allowed: 0 or more")
        if objectives < 1:
            raise ConfigurationError(f"there are {objectives} objectives; needed: at least one")
        self.space = space
        self.objectives = objectives
        self.seed = seed
        self._start: Sequence[Architecture] = ()
        self._asked = 0
        self._promotions = 0
        self._keys: set[str] = set()
        self._pending: dict[int, Candidate] = {}
        self._measured: set[int] = set()
        self._in_order: Iterator[Architecture] | None = None

    @abstractmethod
    def _propose(self, rng: np.random.Generator) -> Proposal:
        """Return an architecture of the space; called again if it was proposed before."""

    @abstractmethod
    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        """Learn from a result of a candidate that was asked.

        Called once for a candidate, and again when it is revised: the new result replaces the old.
        """

    def _promote(self) -> Proposal | None:
        """Return a candidate to train on before anything new is proposed; None by default."""
        return None

    def _accept(self, candidate: Candidate) -> None:  # noqa: B027 - not every strategy needs it
        """Take note that a candidate was asked, now or, on replay, then; does nothing by default.

        The way for state that proposals change: `_propose` itself must not.
        """

    def _recall(self, known: Sequence[Known]) -> None:  # noqa: B027 - only models remember
        """Learn from earlier studies, before the first ask; does nothing by default."""

    @property
    def waits(self) -> bool:
        """Whether nothing can be proposed before another result is told; False by default.

        Every candidate of a strategy that waits must be told at some time.
        """
        return False

    @property
    def living(self) -> Collection[int]:
        """Ids of the candidates that a later proposal may name as a parent.

        They were told, and did not fail. Where children inherit weights, those of the others can be
        thrown away. By default it is all that were measured; the fewer, the less is kept.
        """
        return self._measured

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
            Waiting: There is nothing to ask before another result is told.
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
        self._check(candidate, outcome)
        del self._pending[candidate.id]
        if not outcome.failed:
            self._measured.add(candidate.id)
        self._observe(expected, outcome)

    @final
    def revise(self, candidate: Candidate, outcome: Outcome) -> None:
        """Take in a better measurement of a candidate that was told before; a failure is ignored.

        Raises:
            StudyError: The candidate was not told, or the losses are ill-formed as in `tell`.
        """
        if not 0 <= candidate.id < self._asked or candidate.id in self._pending:
            raise StudyError(f"revise: candidate {candidate.id} was not told before; tell it first")
        self._check(candidate, outcome)
        if not outcome.failed:
            self._measured.add(candidate.id)
            self._observe(candidate, outcome)

    @final
    def idea(self, rng: np.random.Generator) -> Proposal:
        """Return what might be asked next, seen or not; a strategy that takes it up replays it."""
        return self._propose(rng)

    @final
    def prime(self, start: Sequence[Architecture] = (), known: Sequence[Known] = ()) -> None:
        """Begin with what is known or guessed from elsewhere.

        Args:
            start: Architectures to propose first, in this order.
            known: Results of earlier studies; strategies with a model learn from them.

        Raises:
            StudyError: Something was asked already.
            SpaceError: An architecture is not in the space.
        """
        if self._asked:
            raise StudyError(f"prime: {self._asked} candidates were asked; prime before the first")
        for architecture in (*start, *(each.architecture for each in known)):
            self.space.validate(architecture)
        self._start = tuple(start)
        self._recall(known)

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
                self._register(candidate, self.space.key(candidate.architecture))

    def _check(self, candidate: Candidate, outcome: Outcome) -> None:
        if not outcome.is_well_formed(self.objectives):
            raise StudyError(
                f"tell: the losses of candidate {candidate.id} are {outcome.losses}, its violation "
                f"{outcome.violation}; needed: {self.objectives} finite losses, or None if it "
                "failed, and a finite violation"
            )

    def _ask_one(self) -> Candidate:
        proposal, key = self._new_proposal(np.random.default_rng([self.seed, self._asked]))
        candidate = proposal.candidate(self._asked, self.seed, self.epochs, inherits=self.inherits)
        self._register(candidate, key)
        return candidate

    def _register(self, candidate: Candidate, key: str) -> None:
        self._keys.add(key)
        self._pending[candidate.id] = candidate
        self._asked += 1
        self._promotions += candidate.continues is not None
        self._accept(candidate)

    def _new_proposal(self, rng: np.random.Generator) -> tuple[Proposal, str]:
        """Return a promotion, or the first of many attempts that may be made, with its key."""
        if promotion := self._promote():
            return promotion, self.space.key(promotion.architecture)
        if self.waits:
            raise Waiting(f"there is nothing to ask before one of {len(self._pending)} is told")
        if self.repeats or len(self._keys) < self.space.size:
            for proposal in self._attempts(rng):
                key = self.space.key(proposal.architecture)
                if self.repeats or key not in self._keys:
                    return proposal, key
        raise SpaceExhausted(
            f"all {len(self._keys)} architectures of the space were proposed; "
            "lower the budget or widen the space"
        )

    def _attempts(self, rng: np.random.Generator) -> Iterator[Proposal]:
        place = self._asked - self._promotions
        if place < len(self._start):
            yield Proposal(self._start[place], operator="prime")
        finite = self.space.size < math.inf
        for _ in range(_TRIES):
            yield self._propose(rng)
        for _ in range(_TRIES if finite else _INFINITE_TRIES):
            yield Proposal(self.space.sample(rng))
        if finite:
            # What is found is the first unseen in order, however far an earlier search had come.
            self._in_order = self._in_order or self.space.enumerate()
            yield from (Proposal(found, operator="enumerate") for found in self._in_order)
