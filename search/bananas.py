"""BANANAS: path encoding, an ensemble of networks, Thompson sampling, mutation."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import final

import numpy as np
from typing_extensions import override

from phylon.search.candidate import Candidate, Outcome
from phylon.search.checks import check_integer
from phylon.search.evolution import Population
from phylon.search.pool import Pool, candidate_pool
from phylon.search.predictor import Predictor
from phylon.search.proposal import Known, Proposal
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy


@final
class Bananas(Strategy):
    """BANANAS (White et al. 2021, https://arxiv.org/abs/1910.11858).

    The first `initial` candidates are random. Then an ensemble of five networks learns, from the
    `path_encoding` of each candidate, how it ranks. A pool of candidates is made around the best:
    all (or 100) that differ in one decision, some that differ in two, some from anywhere. Of those,
    each proposal takes the one with the least of independent Thompson samples, one draw each from
    the normal distribution of what the five expect. Ensemble and pool are made anew for every
    `batch` results; candidates that are being measured are not proposed again.

    As in the paper: 10 random candidates, batches of 10, 5 networks trained by Adam (learning rate
    0.01, betas 0.9 and 0.99) on the mean absolute error. There they have 10 layers of 20 units, 150
    epochs of minibatches and the error itself as target, 100 candidates are mutated from the best,
    and an identity is a step of a path.

    Args:
        space: Where to search.
        objectives: 1; only one is compared.
        seed: 0 or more.
        initial: How many random candidates begin, at least; 1 or more.
        batch: Results from one fit to the next; 1 or more.
        parents: How many of the best the pool is made around; 1 or more.

    Raises:
        ConfigurationError: A parameter has a value that is not allowed.
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
        self._predictor = Predictor(space, seed, batch)

    @property
    @override
    def living(self) -> Collection[int]:
        rankings = self._predictor.rankings()
        return {member.id for ranking in rankings for member in ranking[: self._parents]}

    def _propose(self, rng: np.random.Generator) -> Proposal:
        if self.asked >= self.initial and self._predictor.ready:
            now = self._predictor.round(0, self._pool)
            if proposal := now.best(now.sample(rng), self._keys):
                return proposal
        return Proposal(self.space.sample(rng))

    def _pool(self, best: Population, rng: np.random.Generator) -> Pool:
        return candidate_pool(self.space, best[: self._parents], (), rng)

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        self._predictor.observe(candidate, outcome)

    def _recall(self, known: Sequence[Known]) -> None:
        self._predictor.recall(known)
