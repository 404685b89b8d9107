"""Asynchronous successive halving: many candidates train a little, the best of them go on."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import final

import numpy as np
from typing_extensions import override

from phylon.search.candidate import Candidate, Outcome
from phylon.search.checks import check_integer
from phylon.search.errors import ConfigurationError
from phylon.search.evolution import Member
from phylon.search.named import Spec
from phylon.search.proposal import Known, Proposal
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy
from phylon.search.survival import fittest, least_crowded


@dataclass(slots=True)
class _Network:
    """A network that trains in one candidate after another.

    Attributes:
        inner: The candidate as which the inner strategy knows it.
        newest: The candidate that the inner strategy's result of it is from.
        told: Whether the inner strategy was told a result, or of a failure.
    """

    inner: Candidate
    newest: Candidate
    told: bool = False


@final
class Halving(Strategy):
    """Asynchronous successive halving, ASHA (Li et al. 2020, https://arxiv.org/abs/1810.05934).

    A candidate that is among the best 1/`eta` of the results with its epochs, its rung, is
    promoted: a new candidate goes on with its training up to the epochs of the next rung. The
    highest rung comes first. Where nothing can be promoted, the inner strategy proposes a network,
    which trains up to the first rung. Nobody waits for a rung to fill, so some that are promoted
    early would not be if all was known; the paper shows that they are few.

    The inner strategy is told the result of each network, and again whenever the network has
    trained longer. A promotion that fails leaves the earlier result standing.

    With several objectives, the best are those whom fewer dominate, then the less crowded; with
    constraints, those that miss them by less come first.

    Args:
        space: Where to search.
        inner: Proposes networks; new, over the same space, with as many objectives.
        rungs: Epochs of each rung, rising.
        eta: One in so many is promoted.
        objectives: Number of losses in each outcome.
        seed: 0 or more.
    """

    def __init__(
        self,
        space: SearchSpace,
        inner: Strategy,
        *,
        rungs: Sequence[int],
        eta: int,
        objectives: int = 1,
        seed: int = 0,
    ) -> None:
        super().__init__(space, objectives=objectives, seed=seed)
        self.initial = inner.initial
        self.repeats = inner.repeats
        self.inherits = inner.inherits
        self.epochs = rungs[0]
        self._eta = eta
        self._inner = inner
        self._survival = fittest if objectives == 1 else least_crowded
        self._steps = tuple(pairwise(rungs))
        self._results: dict[int | None, dict[int, Member]] = {epochs: {} for epochs in rungs}
        self._candidates: dict[int, Candidate] = {}
        self._continued: set[int] = set()
        self._networks: list[_Network] = []  # by their ids in the inner strategy
        self._network_of: dict[int, _Network] = {}  # by ids of candidates

    @property
    @override
    def waits(self) -> bool:
        return self._inner.waits

    @property
    @override
    def living(self) -> Collection[int]:
        return [self._networks[number].newest.id for number in self._inner.living]

    def _promote(self) -> Proposal | None:
        for epochs, more in reversed(self._steps):
            results = list(self._results[epochs].values())
            for member in self._survival(len(results) // self._eta)(results):
                if member.id not in self._continued:
                    return Proposal.promotion(self._candidates[member.id], more)
        return None

    def _propose(self, rng: np.random.Generator) -> Proposal:
        idea = self._inner.idea(rng)
        parents = [self._networks[parent].newest for parent in idea.parents]
        generation = max((parent.generation for parent in parents), default=-1) + 1
        ids = tuple(parent.id for parent in parents)
        return Proposal(idea.architecture, ids, idea.operator, generation)

    def _accept(self, candidate: Candidate) -> None:
        self._candidates[candidate.id] = candidate
        if candidate.continues is not None:
            self._continued.add(candidate.continues)
            self._network_of[candidate.id] = self._network_of[candidate.continues]
            return
        parents = tuple(self._network_of[parent].inner.id for parent in candidate.parents)
        inner = replace(candidate, id=self._inner.asked, parents=parents)
        self._inner.replay([(inner, None)])
        self._network_of[candidate.id] = _Network(inner, candidate)
        self._networks.append(self._network_of[candidate.id])

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        if member := Member.of(candidate, outcome):
            self._results[candidate.epochs][candidate.id] = member
        network = self._network_of[candidate.id]
        if not network.told:
            network.told = True
            self._inner.tell(network.inner, outcome)
        elif member:
            network.newest = candidate
            self._inner.revise(network.inner, outcome)

    def _recall(self, known: Sequence[Known]) -> None:
        self._inner.prime(known=known)


def halving(
    space: SearchSpace,
    *,
    objectives: int = 1,
    seed: int = 0,
    epochs: int | None = None,
    of: Spec = "surrogate",
    eta: int = 3,
    min_epochs: int = 1,
) -> Halving:
    """Let any strategy propose, and train only the most promising networks to the end; `Halving`.

    Of evolution it is in the spirit of DEHB (Awad et al. 2021, https://arxiv.org/abs/2105.09821),
    of a model-based strategy in that of BOHB (Falkner et al. 2018,
    https://arxiv.org/abs/1807.01774). Here the inner strategy has one population or model for all
    rungs, which knows each network by its newest result; in the papers there is one for each rung.

    Rungs are at `min_epochs` times 1, `eta`, `eta` squared, ..., and at `epochs`.

    Args:
        space: Where to search.
        objectives: As many as the inner strategy can handle.
        seed: 0 or more.
        epochs: The study's ``training.epochs``, which is the last rung; 2 or more.
        of: The inner strategy: a name, or a mapping with `name` and parameters, as in study files.
        eta: One in so many is promoted; 2 or more. The paper uses 4, and 3 is as common.
        min_epochs: Epochs of the first rung; from 1 to below `epochs`.

    Raises:
        ConfigurationError: A parameter has a value that is not allowed, or nothing is trained.
    """
    if epochs is None:
        raise ConfigurationError(
            "strategy.name: `halving` decides how many epochs candidates train, but here nothing "
            "is trained, or another `halving` decides; use another strategy"
        )
    if epochs < 2:
        raise ConfigurationError(
            f"training.epochs is {epochs}; the strategy `halving` needs 2 or more, so that there "
            "is something to go on with"
        )
    check_integer("eta", eta, 2)
    check_integer("min_epochs", min_epochs, 1, epochs - 1)
    rungs = [min_epochs]
    while rungs[-1] * eta < epochs:
        rungs.append(rungs[-1] * eta)
    inner = _inner(of, space, objectives, seed)
    return Halving(space, inner, rungs=[*rungs, epochs], eta=eta, objectives=objectives, seed=seed)


def _inner(of: Spec, space: SearchSpace, objectives: int, seed: int) -> Strategy:
    from phylon.search.registry import check_parameters, make_strategy

    params = {"name": of} if isinstance(of, str) else dict(of) if isinstance(of, Mapping) else {}
    name = params.pop("name", None)
    if not isinstance(name, str):
        raise ConfigurationError(
            f"strategy.of is {of!r}; allowed: the name of a strategy, or a mapping with `name` and "
            "its parameters"
        )
    try:
        check_parameters(params)
        return make_strategy(name, space, objectives=objectives, seed=seed, **params)
    except ConfigurationError as error:
        told = re.sub(r"\bstrategy\.(?=\w)", "strategy.of.", str(error))
        raise ConfigurationError(told) from error
