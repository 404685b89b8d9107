"""BANANAS: path encoding, an ensemble of networks, Thompson sampling, mutation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from phylon.search.candidate import Candidate, Outcome
from phylon.search.checks import check_integer
from phylon.search.pool import candidate_pool
from phylon.search.predictor import Predictor
from phylon.search.space import SearchSpace
from phylon.search.strategy import Known, Proposal, Strategy


@final
class Bananas(Strategy):
    """BANANAS (White et al. 2021, https://arxiv.org/abs/1910.11858).
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        objectives: int = 1,
        seed: int = 0,
        initial: int = 10,
        batch: int = 10,
        parents: int = 3,
    ) -> None:
        super().__init__(space, objectives=objectives, seed=seed)
        check_integer("initial", initial, 1)
        check_integer("batch", batch, 1)
        check_integer("parents", parents, 1)
        self.initial = initial
        self._parents = parents
        self._predictor = Predictor(space, seed, initial=initial, batch=batch)

    def _propose(self, rng: np.random.Generator) -> Proposal:
        best = self._predictor.best
        if self.asked < self.initial or not best:
            return Proposal(self.space.sample(rng))
        pool = candidate_pool(self.space, best[: self._parents], self._keys, rng)
        if not pool:
            return Proposal(self.space.sample(rng))
        proposals = list(pool.values())
        scores = self._predictor.predict([each.architecture for each in proposals])
        drawn = rng.normal(scores.mean(axis=0), scores.std(axis=0))
        return proposals[int(np.argmin(drawn))]

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        self._predictor.observe(candidate, outcome)

    def _recall(self, known: Sequence[Known]) -> None:
        self._predictor.recall(known)
