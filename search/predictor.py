"""A learned predictor of how good architectures are, and what it is asked about."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias, final

import numpy as np

from phylon.search.candidate import Candidate, Outcome
from phylon.search.ensemble import Ensemble, Floats
from phylon.search.evolution import Member, Population
from phylon.search.path_encoding import path_encoding
from phylon.search.pool import Pool
from phylon.search.proposal import Known, Proposal
from phylon.search.ranks import normal_scores, rank_of
from phylon.search.space import SearchSpace
from phylon.search.survival import fittest

Fill: TypeAlias = Callable[[Population, np.random.Generator], Pool]
"""Makes a pool, which must not be empty, out of the measured candidates, the best first."""


@final
@dataclass(frozen=True, slots=True)
class Round:
    """What is chosen from until the next fit.

    Attributes:
        pool: `n` proposals by their keys.
        scores: What each of `m` networks expects of each, shape ``(m, n)``; less is better.
    """

    pool: Pool
    scores: Floats

    @property
    def expected(self) -> Floats:
        """What the networks expect on average, shape ``(n,)``."""
        return np.asarray(self.scores.mean(axis=0))

    def sample(self, rng: np.random.Generator) -> Floats:
        """Draw for each proposal, on its own, from what the networks expect, shape ``(n,)``."""
        return rng.normal(self.expected, self.scores.std(axis=0))

    def best(self, values: Floats, seen: Container[str]) -> Proposal | None:
        """Return the proposal with the least of `n` values, but for those seen; None if all are."""
        keys = list(self.pool)
        new = (keys[i] for i in np.argsort(values, kind="stable") if keys[i] not in seen)
        key = next(new, None)
        return None if key is None else self.pool[key]


@final
class Predictor:
    """An `Ensemble` over path encodings, fitted anew for each batch of results.

    It learns ranks, turned to normal scores, so the scale of the loss is no matter; what missed a
    constraint ranks behind what did not, and what failed behind all. Of results that do not fill a
    batch it knows nothing yet, and neither do its pools: so both depend on the number of
    batches alone, not on when they were first asked for.

    Args:
        space: Where the architectures are from.
        seed: The strategy's.
        batch: Results from one fit to the next.
    """

    def __init__(self, space: SearchSpace, seed: int, batch: int) -> None:
        self._space = space
        self._seed = seed
        self._batch = batch
        self._known: list[Known] = []
        self._events: list[tuple[Candidate, Outcome]] = []
        self._fitted: tuple[int, Ensemble] | None = None
        self._rounds: dict[int, Round] = {}

    @property
    def ready(self) -> bool:
        """Whether there is something to learn from."""
        return bool(self._known) or len(self._events) >= self._batch

    def recall(self, known: Sequence[Known]) -> None:
        """Learn from earlier studies."""
        self._known += known

    def observe(self, candidate: Candidate, outcome: Outcome) -> None:
        """Learn from a result; it replaces an earlier one of the same candidate."""
        self._events.append((candidate, outcome))

    def round(self, number: int, fill: Fill) -> Round:
        """Return a pool with what is expected of it; the same until there is a new fit.

        Args:
            number: Which of the pools that are in use between two fits.
            fill: Makes the pool.
        """
        n = self._learned
        if self._fitted is None or self._fitted[0] != n:
            self._fitted = n, self._fit(self._newest(n), n)
            self._rounds.clear()
        if number not in self._rounds:
            pool = fill(self._ranking(n), np.random.default_rng([self._seed, n, number]))
            scores = self._fitted[1].predict(self._points(pool.values()))
            self._rounds[number] = Round(pool, scores)
        return self._rounds[number]

    def rankings(self) -> tuple[Population, Population]:
        """Return the measured candidates that fill pools until the next fit, and from then on.

        The best come first. Results that are still to come may change the second.
        """
        return self._ranking(self._learned), self._ranking(len(self._events))

    @property
    def _learned(self) -> int:
        """How many events fill whole batches."""
        return len(self._events) - len(self._events) % self._batch

    def _newest(self, events: int) -> list[tuple[Candidate, Outcome]]:
        """Return the last result of each candidate after so many events."""
        return list({each[0].id: each for each in self._events[:events]}.values())

    def _ranking(self, events: int) -> Population:
        members = [member for each in self._newest(events) if (member := Member.of(*each))]
        return fittest(len(members))(members)

    def _fit(self, results: Sequence[tuple[Candidate, Outcome]], n: int) -> Ensemble:
        scores = [each.losses[0] for each in self._known]
        scores += normal_scores([rank_of(outcome) for _, outcome in results])
        x = self._points([*self._known, *(candidate for candidate, _ in results)])
        return Ensemble(x, np.array(scores, dtype=np.float64), (self._seed, n))

    def _points(self, holders: Iterable[Known | Candidate | Proposal]) -> Floats:
        return np.stack([path_encoding(self._space, each.architecture) for each in holders])
