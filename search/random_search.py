"""Random search, the baseline that every other strategy has to beat."""

from __future__ import annotations

from collections.abc import Collection
from typing import final

import numpy as np
from typing_extensions import override

from phylon.search.candidate import Candidate, Outcome
from phylon.search.proposal import Proposal
from phylon.search.strategy import Strategy


@final
class RandomSearch(Strategy):
    """Random search (Bergstra and Bengio 2012, https://jmlr.org/papers/v13/bergstra12a.html)."""

    @property
    @override
    def living(self) -> Collection[int]:
        return ()

    def _propose(self, rng: np.random.Generator) -> Proposal:
        return Proposal(self.space.sample(rng))

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        """Learn nothing: draws are independent of results."""
