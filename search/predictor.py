"""What the strategies with a learned predictor share: results in, predictions out."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from statistics import NormalDist
from typing import final

import numpy as np

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Outcome
from phylon.search.ensemble import Ensemble, Floats
from phylon.search.evolution import Member
from phylon.search.path_encoding import path_encoding
from phylon.search.space import SearchSpace
from phylon.search.strategy import Known


@final
class Predictor:
    """An `Ensemble` over path encodings, fitted anew for each batch of results.

    It learns ranks, turned to normal scores, so the scale of the loss is no matter; what missed a
    constraint ranks behind what did not, and what failed behind all.

    Args:
        space: Where the architectures are from.
        seed: The strategy's.
        initial: Results up to which each one leads to a new fit; the others come in batches.
        batch: Results from one fit to the next.

    Attributes:
        best: The measured candidates, the best first; of equals, the oldest.
    """

    def __init__(self, space: SearchSpace, seed: int, *, initial: int, batch: int) -> None:
        self.best: list[Member] = []
        self._space = space
        self._seed = seed
        self._initial = initial
        self._batch = batch
        self._points: list[Floats] = []
        self._ranks: list[tuple[float, float]] = []
        self._known: list[Known] = []
        self._fitted: tuple[int, Ensemble] | None = None

    def recall(self, known: Sequence[Known]) -> None:
        """Learn from earlier studies."""
        self._known += known

    def observe(self, candidate: Candidate, outcome: Outcome) -> None:
        """Learn from a result."""
        self._points.append(path_encoding(self._space, candidate.architecture))
        if outcome.losses is None:
            self._ranks.append((math.inf, math.inf))
            return
        member = Member(
            candidate.id,
            candidate.architecture,
            candidate.generation,
            outcome.losses,
            outcome.violation,
        )
        self._ranks.append((outcome.violation, outcome.losses[0]))
        self.best.append(member)
        self.best.sort(key=lambda each: (each.rank, each.id))

    def predict(self, architectures: Iterable[Architecture]) -> Floats:
        """Return what each of the networks expects of each architecture; less is better.

        Some result must be known, if only of a failure.

        Args:
            architectures: `n` of them.

        Returns:
            Normal scores, shape ``(m, n)``.
        """
        n = len(self._ranks)
        if n > self._initial:
            n -= (n - self._initial) % self._batch
        if self._fitted is None or self._fitted[0] != n:
            self._fitted = n, self._fit(n)
        points = [path_encoding(self._space, each) for each in architectures]
        return self._fitted[1].predict(np.stack(points))

    def _fit(self, n: int) -> Ensemble:
        points = [path_encoding(self._space, each.architecture) for each in self._known]
        order = sorted(self._ranks[:n])
        scores = [each.losses[0] for each in self._known]
        scores += [normal_score(order, rank) for rank in self._ranks[:n]]
        x = np.stack(points + self._points[:n])
        return Ensemble(x, np.array(scores, dtype=np.float64), (self._seed, n))


def normal_score(order: Sequence[tuple[float, ...]], rank: tuple[float, ...]) -> float:
    """Return the quantile of a normal distribution that belongs to a rank; equals share one.

    Args:
        order: All ranks, sorted, the least first.
        rank: One of them.

    Returns:
        0 for the median, less for less.
    """
    middle = (bisect_left(order, rank) + bisect_right(order, rank)) / 2
    return NormalDist().inv_cdf(middle / len(order))
