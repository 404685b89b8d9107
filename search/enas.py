"""ENAS: the architectures that a controller would try, trained along with shared weights."""

from __future__ import annotations

from collections.abc import Collection
from typing import final

import numpy as np
from typing_extensions import override

from phylon.search.candidate import Candidate, Outcome
from phylon.search.proposal import Proposal
from phylon.search.strategy import Strategy
from phylon.search.variation import crossover


@final
class Enas(Strategy):
    """Search by what a controller learned (Pham et al. 2018, https://arxiv.org/abs/1802.03268).

    The learning happens while shared weights are trained: there an LSTM draws the paths and is
    rewarded by how well they do. What it draws in the end is what this strategy begins with, by
    `prime`; here nothing is learned any more, as in the paper. Where those run out, two of them are
    crossed; without any, networks are random.
    """

    @property
    @override
    def living(self) -> Collection[int]:
        return ()

    def _propose(self, rng: np.random.Generator) -> Proposal:
        if len(self._start) < 2:
            return Proposal(self.space.sample(rng))
        first, second = rng.choice(len(self._start), 2, replace=False)
        child = crossover(self.space, self._start[first], self._start[second], rng=rng)
        return Proposal(child, operator="crossover")

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        """Nothing is learned from scores."""
