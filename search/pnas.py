"""PNAS: simple architectures first, and of the more complex ones those that promise most."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from itertools import islice
from typing import final

import numpy as np
from typing_extensions import override

from phylon.search.candidate import Candidate, Outcome
from phylon.search.checks import check_integer
from phylon.search.complexity import complexity, most_complex, resize
from phylon.search.evolution import Population
from phylon.search.pool import Pool, candidate_pool
from phylon.search.predictor import Fill, Predictor
from phylon.search.proposal import Known, Proposal
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy

BATCH = 10
"""Results from one fit of the predictor to the next."""

EXPANSIONS = 100
"""Of so many architectures of a level the predictor chooses."""

FRESH = 0.2
"""The share of them that is drawn, and does not grow out of the beam."""

PARENTS = 5
"""After the last level, of so many of the best the neighbours are looked at."""


@final
class Pnas(Strategy):
    """Progressive search (Liu et al. 2018, https://arxiv.org/abs/1712.00559).

    Architectures are sorted by `complexity` into levels of equal breadth. The first `beam`
    proposals are drawn from the simplest level. Each further level has `beam` proposals as well: of
    many architectures that grow, by parts added anywhere, out of the `beam` best of the simpler
    levels, those of which a predictor expects most. After the last level the search goes on as that
    of `Bananas` does, near the best of whatever complexity. Nothing waits: which level is on
    depends on the number of proposals, and the beam on the results that are known. A space whose
    architectures are all equally complex has one level.

    The paper has cells of up to 5 blocks, all of the first level, then beams of 256, so 1,160
    networks in all; its predictor is an ensemble of 5 LSTMs or perceptrons on learned embeddings.
    Here it is that of `Bananas`, fitted again for each 10 results.

    Args:
        space: Where to search.
        objectives: 1; only one is compared.
        seed: 0 or more.
        levels: Into how many levels complexity is cut, at most; 1 or more.
        beam: How many candidates each level has, and how many of the best are grown; 1 or more.

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
        values = most_complex(space) + 1
        self._after = min(levels, values)
        # The least complexity of each level, and what is above all.
        self._bounds = [-(-values * level // self._after) for level in range(self._after + 1)]
        self._predictor = Predictor(space, seed, BATCH)

    @property
    def level(self) -> int:
        """The level of the next proposal, from 0; the number of levels after the last."""
        return min(self.asked // self.initial, self._after)

    @property
    @override
    def living(self) -> Collection[int]:
        found = set[int]()
        for ranking in self._predictor.rankings():
            found.update(member.id for member in ranking[:PARENTS])
            for level in range(self.level, self._after):
                found.update(member.id for member in self._beam(ranking, level))
        return found

    def _propose(self, rng: np.random.Generator) -> Proposal:
        if self.level and self._predictor.ready:
            for level in range(self.level, self._after + 1):
                now = self._predictor.round(level, self._fill(level))
                values = now.expected if level < self._after else now.sample(rng)
                if proposal := now.best(values, self._keys):
                    return proposal
        return self._draw(self.level, rng)

    def _draw(self, level: int, rng: np.random.Generator) -> Proposal:
        drawn = self.space.sample(rng)
        if level < self._after:
            drawn = resize(self.space, drawn, self._complexity(level, rng), rng)
        return Proposal(drawn)

    def _complexity(self, level: int, rng: np.random.Generator) -> int:
        return int(rng.integers(self._bounds[level], self._bounds[level + 1]))

    def _fill(self, level: int) -> Fill:
        """Return what makes the pool of a level."""

        def expand(best: Population, rng: np.random.Generator) -> Pool:
            beam = self._beam(best, level)
            pool: Pool = {}
            for _ in range(EXPANSIONS):
                proposal = self._expansion(beam, level, rng)
                pool.setdefault(self.space.key(proposal.architecture), proposal)
            return pool

        def search_on(best: Population, rng: np.random.Generator) -> Pool:
            return candidate_pool(self.space, best[:PARENTS], (), rng)

        return expand if level < self._after else search_on

    def _beam(self, best: Population, level: int) -> Population:
        """Return the best of the simpler levels, which are grown to this one."""
        bound = self._bounds[level]
        simpler = (each for each in best if complexity(self.space, each.architecture) < bound)
        return list(islice(simpler, self.initial))

    def _expansion(self, beam: Population, level: int, rng: np.random.Generator) -> Proposal:
        if not beam or rng.random() < FRESH:
            return self._draw(level, rng)
        parent = beam[int(rng.integers(len(beam)))]
        grown = resize(self.space, parent.architecture, self._complexity(level, rng), rng)
        return Proposal(grown, (parent.id,), "grow", parent.generation + 1)

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        self._predictor.observe(candidate, outcome)

    def _recall(self, known: Sequence[Known]) -> None:
        self._predictor.recall(known)
