"""REINFORCE: an LSTM controller that learns which decisions lead to good architectures."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right, insort
from collections.abc import Sequence
from statistics import NormalDist
from typing import final

import numpy as np

from phylon.search.candidate import Candidate, Outcome
from phylon.search.checks import check_number
from phylon.search.controller import Controller
from phylon.search.decisions import decisions, places
from phylon.search.space import SearchSpace
from phylon.search.strategy import Known, Proposal, Strategy

_MOMENTUM = 0.9


@final
class Reinforce(Strategy):
    def __init__(
        self,
        space: SearchSpace,
        *,
        objectives: int = 1,
        seed: int = 0,
        rate: float = 0.01,
        entropy: float = 0.01,
    ) -> None:
        super().__init__(space, objectives=objectives, seed=seed)
        check_number("rate", rate, 0)
        check_number("entropy", entropy, 0)
        self._ranks: list[tuple[float, ...]] = []
        self._baseline = 0.0
        self._controller = Controller(places(space), seed, rate=rate, entropy=entropy)

    def _propose(self, rng: np.random.Generator) -> Proposal:
        return Proposal(self._controller.sample(self.space, rng))

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        rank = (math.inf,) if outcome.losses is None else (outcome.violation, *outcome.losses)
        insort(self._ranks, rank)
        n = len(self._ranks)
        place = (bisect_left(self._ranks, rank) + bisect_right(self._ranks, rank)) / 2 / n
        self._learn(candidate.architecture, -NormalDist().inv_cdf(place))

    def _recall(self, known: Sequence[Known]) -> None:
        for each in known:
            self._learn(each.architecture, -each.losses[0])

    def _learn(self, architecture, reward):
        taken = decisions(self.space, architecture)
        if taken: self._controller.learn(taken, reward - self._baseline)
        self._baseline = _MOMENTUM * self._baseline + (1 - _MOMENTUM) * reward
