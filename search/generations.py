"""Going by generations: a strategy that learns only when a whole generation is known."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import final

import numpy as np
from typing_extensions import override

from phylon.search.candidate import Candidate, Outcome
from phylon.search.proposal import Known, Proposal
from phylon.search.strategy import Strategy


@final
class Generations(Strategy):
    """Has another strategy propose whole generations, each from what all before it have given.

    When so many candidates are asked as a generation has, nothing is proposed until all of them are
    told. The inner strategy is then told their outcomes in the order of their ids, so that it is no
    matter in which order they came, or how fast.

    Args:
        inner: Proposes; new, and without promotions. It numbers candidates as this one does.
        size: How many candidates a generation has.
    """

    def __init__(self, inner: Strategy, size: int) -> None:
        super().__init__(inner.space, objectives=inner.objectives, seed=inner.seed)
        self.initial = inner.initial
        self.epochs = inner.epochs
        self.repeats = inner.repeats
        self.inherits = inner.inherits
        self._inner = inner
        self._size = size
        self._first = 0  # id of the first candidate of this generation
        self._told: dict[int, tuple[Candidate, Outcome]] = {}

    @property
    @override
    def waits(self) -> bool:
        return self._is_full or self._inner.waits

    @property
    @override
    def living(self) -> Collection[int]:
        newcomers = (number for number, (_, told) in self._told.items() if not told.failed)
        return {*self._inner.living, *newcomers}

    @property
    def _is_full(self) -> bool:
        return self.asked - self._first >= self._size

    def _propose(self, rng: np.random.Generator) -> Proposal:
        return self._inner.idea(rng)

    def _accept(self, candidate: Candidate) -> None:
        self._inner.replay([(candidate, None)])

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        if candidate.id < self._first:
            self._inner.revise(candidate, outcome)
            return
        self._told[candidate.id] = candidate, outcome
        if self._is_full and not self._pending:
            for number in sorted(self._told):
                self._inner.tell(*self._told[number])
            self._told.clear()
            self._first = self.asked

    def _recall(self, known: Sequence[Known]) -> None:
        self._inner.prime(known=known)
