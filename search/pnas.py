"""PNAS: simple architectures first, and of the more complex ones those that promise most."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from typing import final

import numpy as np

from phylon.search.candidate import Candidate, Outcome
from phylon.search.checks import check_integer
from phylon.search.complexity import complexity, most_complex, resize
from phylon.search.evolution import Member
from phylon.search.pool import Pool, candidate_pool
from phylon.search.predictor import Predictor
from phylon.search.space import SearchSpace
from phylon.search.strategy import Known, Proposal, Strategy

_TRIES = 150  # architectures that are drawn to make up a pool
_FRESH = 0.2  # share of them that do not grow out of the beam


@final
class Pnas(Strategy):
    """Progressive search (Liu et al. 2018, https://arxiv.org/abs/1712.00559).

    Architectures are sorted by `complexity` into levels of equal breadth. The first `beam` proposals
    are drawn from the simplest level. Each further level has `beam` proposals, too: out of many that
    grow, by parts added at random, out of the `beam` best of the simpler levels (and some that do
    not), the one of which the predictor expects most. After the last level the search goes on among
    those near the best five, of whatever complexity. Nothing waits: which level is on hangs on the
    number of proposals, and what the beam is, on the results so far. A space whose architectures are
    all equally complex has one level.

    The paper has cells of up to 5 blocks, a beam of 256 (1,160 networks in all), and predicts with
    5 LSTMs or perceptrons on learned embeddings; here it is the ensemble of `Bananas`, fitted again
    for each 10 results.

    Args:
        space: Where to search.
        objectives: 1; only one is compared.
        seed: 0 or more.
        levels: Into how many levels complexity is cut, at most.
        beam: Proposals for each level, and how many of the best are grown.

    Raises:
        ConfigurationError: A parameter has a value that is not allowed.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        objectives: int = 1,
        seed: int = 0,
        levels: int = 3,
        beam: int = 12,
    ) -> None:
        super().__init__(space, objectives=objectives, seed=seed)
        check_integer("levels", levels, 1)
        check_integer("beam", beam, 1)
        self.initial = beam
        most = most_complex(space)
        levels = min(levels, most + 1)
        self._limits = [-(-most * (level + 1) // levels) for level in range(levels)]
        self._predictor = Predictor(space, seed, initial=beam, batch=10)

    def _propose(self, rng: np.random.Generator) -> Proposal:
        level = self.asked // self.initial
        pool = self._level_pool(level, rng) if level < len(self._limits) else {}
        best = self._predictor.best
        if not pool and level and best:
            pool = candidate_pool(self.space, best[:5], self._keys, rng)
        if not pool:
            return Proposal(self.space.sample(rng))
        proposals = list(pool.values())
        if not level or not best:
            return proposals[0]
        scores = self._predictor.predict([each.architecture for each in proposals])
        return proposals[int(np.argmin(scores.mean(axis=0)))]

    def _level_pool(self, level: int, rng: np.random.Generator) -> Pool:
        """Return new architectures of a level; only one of the first, where nothing is known."""
        below = self._limits[level - 1] if level else -1
        beam = self._beam(below)
        pool: Pool = {}
        for _ in range(_TRIES):
            target = int(rng.integers(below + 1, self._limits[level] + 1))
            if beam and rng.random() >= _FRESH:
                parent = beam[int(rng.integers(len(beam)))]
                grown = resize(self.space, parent.architecture, target, rng)
                proposal = Proposal(grown, (parent.id,), "grow", parent.generation + 1)
            else:
                proposal = Proposal(resize(self.space, self.space.sample(rng), target, rng))
            key = self.space.key(proposal.architecture)
            if key not in self._keys:
                pool.setdefault(key, proposal)
                if not level:
                    break
        return pool

    def _beam(self, limit: int) -> list[Member]:
        """Return the best members that are not more complex than `limit`."""
        best = self._predictor.best
        simple = (each for each in best if complexity(self.space, each.architecture) <= limit)
        return list(islice(simple, self.initial))

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        self._predictor.observe(candidate, outcome)

    def _recall(self, known: Sequence[Known]) -> None:
        self._predictor.recall(known)
