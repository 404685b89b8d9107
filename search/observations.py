"""What a model of the results is fitted to: features of networks, and how they rank."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple, final

import numpy as np

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Outcome
from phylon.search.evolution import Member
from phylon.search.features import Features
from phylon.search.gaussian_process import Floats
from phylon.search.proposal import Known
from phylon.search.ranks import normal_scores, rank_of
from phylon.search.space import SearchSpace

SAMPLE = 200
"""So many networks of the space tell how features are spread in it."""

MOST_ROWS = 1 << 14
"""So many networks' features are kept; the neighbours of the best are asked for again and again."""

PRIOR_NOISE = 1.0
"""Noise variance of a result of an earlier study, where there are none of this one."""

PRIOR_HALVED = 10
"""So many results of this study double that noise."""


class Table(NamedTuple):
    """Points and values: n rows, those of earlier studies first.

    Attributes:
        x: Features, shape ``(n, d)``.
        y: Normal scores, shape ``(n, m)`` for `m` objectives; less is better.
        noise: Variance of the noise that comes with the row, shape ``(n,)``.
        own: How many of the rows, the last, are of this study.
    """

    x: Floats
    y: Floats
    noise: Floats
    own: int


@final
class Observations:
    """The results of a study, and of earlier ones.

    Features are standardised by their spread in the space, not by that in the results, which come
    from ever narrower parts of it.

    Args:
        space: Where the architectures are from.
        objectives: Number of losses in each outcome.
    """

    def __init__(self, space: SearchSpace, objectives: int) -> None:
        self.known: list[Known] = []
        self._objectives = objectives
        self._events: list[tuple[Candidate, Outcome]] = []
        self._features = Features(space)
        self._row = lru_cache(maxsize=MOST_ROWS)(self._features)
        self._scale: tuple[Floats, Floats] | None = None
        self._space = space
        self._members: dict[int, Member] = {}

    def __len__(self) -> int:
        """Return how often something was observed; the second result of a candidate counts too."""
        return len(self._events)

    @property
    def members(self) -> list[Member]:
        """Every candidate that was measured and did not fail, by its last result, oldest first."""
        return [self._members[each] for each in sorted(self._members)]

    def observe(self, candidate: Candidate, outcome: Outcome) -> None:
        """Add a result; it replaces an earlier one of the same candidate."""
        self._events.append((candidate, outcome))
        if member := Member.of(candidate, outcome):
            self._members[candidate.id] = member

    def table(self, events: int, most_known: int) -> Table:
        """Return what there was to learn from after so many events.

        The scores are of ranks, so the scale of a loss is no matter. What misses a constraint ranks
        behind all that does not, by how much it does; what failed ranks behind that, for failures
        are seldom chance.

        Args:
            events: From 0 to `len`.
            most_known: How many rows of earlier studies, at most.
        """
        last = {candidate.id: (candidate, outcome) for candidate, outcome in self._events[:events]}
        known = self.known[:most_known]
        own = [
            normal_scores([rank_of(outcome, objective) for _, outcome in last.values()])
            for objective in range(self._objectives)
        ]
        earlier = [each.architecture for each in known]
        x = self.points([*earlier, *(candidate.architecture for candidate, _ in last.values())])
        y = np.array([*(each.losses for each in known), *zip(*own, strict=True)])
        noise = np.zeros(len(x))
        if known:  # else there may be so many results that this is beyond all numbers
            noise[: len(known)] = PRIOR_NOISE * 2.0 ** (len(last) / PRIOR_HALVED)
        return Table(x, y.reshape(len(x), self._objectives), noise, len(last))

    def points(self, architectures: Iterable[Architecture]) -> Floats:
        """Return the standardised features of `n` architectures, shape ``(n, d)``."""
        rows = [self._row(each) for each in architectures]
        if self._scale is None:
            self._scale = self._spread()
        centre, factor = self._scale
        table = np.array(rows, dtype=np.float64).reshape(len(rows), len(centre))
        return np.asarray(np.nan_to_num((table - centre) * factor))

    def _spread(self) -> tuple[Floats, Floats]:
        """Return centre and factor of each column, so that points are about 1 apart."""
        rng = np.random.default_rng(0)
        rows = np.array([self._features(self._space.sample(rng)) for _ in range(SAMPLE)])
        live = ~np.isnan(rows)
        count = np.maximum(live.sum(axis=0), 1)
        centre = np.where(live, rows, 0.0).sum(axis=0) / count
        squares = np.where(live, np.square(rows - centre), 0.0).sum(axis=0)
        deviation = np.sqrt(squares / count)
        factor = self._features.weights / np.where(deviation > 1e-9, deviation, np.inf)
        z = np.nan_to_num((rows - centre) * factor)
        half = SAMPLE // 2
        distance = np.median(np.sqrt(np.square(z[:half] - z[half:]).sum(axis=1)))
        return centre, factor / (distance or 1.0)
