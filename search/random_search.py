"""Random search, the baseline that every other strategy has to beat."""

from __future__ import annotations

from typing import final

import numpy as np

from phylon.search.candidate import Candidate, Outcome
from phylon.search.strategy import Proposal, Strategy


@final
class RandomSearch(Strategy):
    """Random search (Bergstra and Bengio 2012, https://jmlr.org/papers/v13/bergstra12a.html)."""

    def _propose(self, rng: np.random.Generator) -> Proposal:
        return Proposal(self.space.sample(rng))

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        """Learn nothing: draws are independent of results."""
