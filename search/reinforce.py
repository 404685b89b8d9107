"""REINFORCE: a controller that learns which decisions lead to good architectures."""

from __future__ import annotations

from bisect import insort
from collections.abc import Collection, Sequence
from typing import final

import numpy as np
from typing_extensions import override

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Outcome
from phylon.search.checks import check_number
from phylon.search.controller import Controller
from phylon.search.decisions import decisions, questions
from phylon.search.proposal import Known, Proposal
from phylon.search.ranks import Rank, normal_score, rank_of
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy

_MOMENTUM = 0.9


@final
class Reinforce(Strategy):
    """Search by reinforcement learning (Zoph and Le 2017, https://arxiv.org/abs/1611.01578).

    An LSTM decides on one part of an architecture after another, down the tree of the space; a
    number that has more than 8 values decides on one of 8 ranges, in which it is drawn. Each result
    moves the LSTM once, in the order in which results come, along the gradient of REINFORCE: the
    reward is the normal score of the candidate's rank among the results so far, so the scale of the
    loss is no matter; an average of rewards that forgets by 0.9 is the baseline; and the entropy of
    the decisions is rewarded as well. What missed a constraint ranks behind what did not, and what
    failed behind all.

    The paper has two layers of 35 units, rewards the accuracy cubed, and sends 12,800 networks with
    a learning rate of 0.0006; the entropy is from ENAS (Pham et al. 2018), as are first weights in
    [-0.1, 0.1] and one layer of 64 units. The defaults here suit budgets of 50 to 300 candidates.

    Args:
        space: Where to search.
        objectives: 1; only one is compared.
        seed: 0 or more.
        rate: Learning rate of Adam; 0 or more.
        entropy: Weight of the entropy, in nats per decision, against the reward; 0 or more.

    Raises:
        ConfigurationError: A parameter has a value that is not allowed.
    """

    def __init__(
        self,
        space: SearchSpace,
        *,
        objectives: int = 1,
        seed: int = 0,
        rate: float = 0.005,
        entropy: float = 0.01,
    ) -> None:
        super().__init__(space, objectives=objectives, seed=seed)
        check_number("rate", rate, 0)
        check_number("entropy", entropy, 0)
        self._ranks: dict[int, Rank] = {}
        self._order: list[Rank] = []
        self._baseline = 0.0
        self._controller = Controller(questions(space), seed, rate=rate, entropy=entropy)

    @property
    @override
    def living(self) -> Collection[int]:
        return ()

    def _propose(self, rng: np.random.Generator) -> Proposal:
        return Proposal(self._controller.sample(self.space, rng))

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        if candidate.id in self._ranks:
            self._order.remove(self._ranks[candidate.id])
        rank = self._ranks[candidate.id] = rank_of(outcome)
        insort(self._order, rank)
        self._learn(candidate.architecture, normal_score(self._order, rank))

    def _recall(self, known: Sequence[Known]) -> None:
        for each in known:
            self._learn(each.architecture, each.losses[0])

    def _learn(self, architecture: Architecture, score: float) -> None:
        """Learn that an architecture has a normal score; less is better."""
        reward = -score
        self._controller.learn(decisions(self.space, architecture), reward - self._baseline)
        self._baseline = _MOMENTUM * self._baseline + (1 - _MOMENTUM) * reward
