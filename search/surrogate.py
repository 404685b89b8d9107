"""Search guided by a model of the results: the default strategy."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, final

import numpy as np
from typing_extensions import override

from phylon.search.acquisition import best_of
from phylon.search.candidate import Candidate, Outcome
from phylon.search.checks import check_integer, check_number
from phylon.search.evolution import Member, mutation
from phylon.search.forest import Forest
from phylon.search.gaussian_process import Floats, GaussianProcess, Setting
from phylon.search.observations import Observations, Table
from phylon.search.pareto import pareto_front
from phylon.search.pool import candidate_pool
from phylon.search.proposal import Known, Proposal
from phylon.search.selection import first_placed
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy
from phylon.search.survival import fittest, least_crowded
from phylon.search.threads import one_thread

EXACT = 500
"""Up to so many points there is a Gaussian process; beyond, a forest."""

PARENTS = 5
"""Of so many of the best the neighbours are looked at."""

TRUST = 0.2
"""From this rank correlation on, of results with what was expected without them, a model counts."""

FEW = 5
"""With fewer results than this, of this study, earlier studies alone say whether to trust."""

POPULATION, TOURNAMENT = 20, 10
"""Of the evolution that takes over while the model is not trusted."""


class Model(Protocol):
    """What tells mean and deviation, `GaussianProcess` or `Forest`."""

    def predict(self, x: Floats, pending: Floats) -> tuple[Floats, Floats]:
        """Return mean and standard deviation at points, given others that are being measured."""


@dataclass(frozen=True, slots=True)
class Tuning:
    """What is found out about models now and then, for it takes time.

    Attributes:
        settings: One per objective, while there is a Gaussian process.
        forests: One per objective, else.
        trusted: Whether the models foresee results that they have not seen.
    """

    settings: tuple[Setting, ...]
    forests: tuple[Forest, ...]
    trusted: bool


@final
class Surrogate(Strategy):
    """Bayesian optimisation over neighbours of the best, with graph features and ranks.

    A Gaussian process, and from 500 results on a forest, learns how the features of a network (see
    `phylon.search.features`, after GRAF, Kadlecova et al. 2024) go with its rank among all results,
    turned into a normal score. The next candidate is, by one independent Thompson sample each, the
    best of a pool: the neighbours of the best five, some networks two changes away, and some from
    anywhere (as in BANANAS, White et al. 2021, https://arxiv.org/abs/1910.11858). Of several
    objectives each has its model, and the hypervolume that a sample adds to the front decides.
    Candidates that are being measured count as if they came out as expected.

    While results that are left out are not foreseen (Kendall's tau below 0.2), evolution proposes:
    a tournament of 10 among the best 20, and a mutation.

    Args:
        space: Where to search.
        objectives: Number of losses in each outcome.
        seed: 0 or more.
        initial: How many random candidates begin; half as many where earlier studies are known.
        floor: Chance in [0, 1] of a random candidate ever after, so that nothing is shut out.

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
        floor: float = 0.1,
    ) -> None:
        super().__init__(space, objectives=objectives, seed=seed)
        check_integer("initial", initial, 1)
        check_number("floor", floor, 0.0, 1.0)
        self.initial = initial
        self._floor = floor
        self._results = Observations(space, objectives)
        self._tuned: tuple[int, Tuning] | None = None
        self._fitted: tuple[int, Sequence[Model], Floats] | None = None
        self._leaders: Sequence[Member] = ()
        self._newest: dict[int, Member] = {}

    @property
    @override
    def living(self) -> Collection[int]:
        return [member.id for member in self._best()]

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        self._results.observe(candidate, outcome)
        if member := Member.of(candidate, outcome):
            self._newest[member.id] = member

    def _recall(self, known: Sequence[Known]) -> None:
        if known:
            self.initial = max(self.initial // 2, 1)
        self._results.known += known

    def _propose(self, rng: np.random.Generator) -> Proposal:
        if self.asked < self.initial or rng.random() < self._floor or self.space.size == 1:
            return Proposal(self.space.sample(rng))
        best = self._best()
        if not best and not self._results.known:
            return Proposal(self.space.sample(rng))
        with one_thread():
            if self._tuning().trusted:
                return self._guided(best[:PARENTS], rng)
        if not best:
            return Proposal(self.space.sample(rng))
        select = first_placed(TOURNAMENT)
        return mutation(self.space, lambda: select(best[:POPULATION], rng), rng)

    def _guided(self, parents: Sequence[Member], rng: np.random.Generator) -> Proposal:
        pool = list(candidate_pool(self.space, parents, self._keys, rng).values())
        if not pool:
            return Proposal(self.space.sample(rng))
        points = self._results.points(each.architecture for each in pool)
        pending = self._results.points(each.architecture for each in self._pending.values())
        models, front = self._models()
        told = [model.predict(points, pending) for model in models]
        samples = np.stack([rng.normal(mean, deviation) for mean, deviation in told], axis=1)
        return pool[best_of(samples, front)]

    def _best(self) -> Sequence[Member]:
        """Return the best candidates, the very best first."""
        if self._newest:
            survive = (fittest if self.objectives == 1 else least_crowded)(POPULATION)
            is_revised = any(each.id in self._newest for each in self._leaders)
            if is_revised or self.objectives > 1:
                self._leaders = survive(self._results.members)
            else:  # who was not among the best before is not now
                self._leaders = survive([*self._leaders, *self._newest.values()])
            self._newest.clear()
        return self._leaders

    def _table(self, events: int) -> Table:
        return self._results.table(events, max(EXACT - events, 0))

    def _tuning(self) -> Tuning:
        """Return what was found out at the last of the moments at which that is done."""
        n = len(self._results)
        events = n - n % max(n // 25, 1)
        if self._tuned is None or self._tuned[0] != events:
            self._tuned = events, self._tune(self._table(events))
        return self._tuned[1]

    def _tune(self, table: Table) -> Tuning:
        settings, forests, taus = list[Setting](), list[Forest](), list[float]()
        for y in table.y.T:
            if len(y) <= EXACT:
                settings.append(GaussianProcess.likeliest(table.x, y, table.noise))
                # What columns count was learned from all values, so it must not judge itself.
                honest = replace(settings[-1], power=0.0)
                left_out = GaussianProcess(table.x, y, table.noise, honest).left_out()
            else:
                forests.append(Forest(table.x, y, self.seed))
                left_out = forests[-1].left_out()
            rows = slice(-table.own if table.own >= FEW else None, None)
            taus.append(_tau(y[rows], left_out[rows]))
        return Tuning(tuple(settings), tuple(forests), min(taus) >= TRUST)

    def _models(self) -> tuple[Sequence[Model], Floats]:
        """Return a model for each objective, and the front: scores that nothing dominates.

        Gaussian processes know all results so far; forests those at the last tuning.
        """
        tuning, n = self._tuning(), len(self._results)
        if tuning.forests and self.objectives == 1:
            return tuning.forests, np.empty((0, 1))
        if self._fitted is None or self._fitted[0] != n:
            x, y, noise, own = self._table(n)
            fits = zip(y.T, tuning.settings, strict=False)
            exact = [GaussianProcess(x, each, noise, setting) for each, setting in fits]
            scores = y[len(y) - own :]
            front = scores[pareto_front(scores)] if self.objectives > 1 else scores[:0]
            self._fitted = n, exact or tuning.forests, front
        return self._fitted[1:]


def _tau(a: Floats, b: Floats) -> float:
    """Return Kendall's rank correlation; -1 where there is none, for want of differences."""
    from scipy.stats import kendalltau

    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return -1.0
    return float(kendalltau(a, b).statistic)
