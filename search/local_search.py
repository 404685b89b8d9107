"""Local search: from one architecture to a better neighbour, until there is none."""

from __future__ import annotations

from collections.abc import Collection
from typing import final

import numpy as np
from typing_extensions import override

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Outcome
from phylon.search.checks import check_integer
from phylon.search.evolution import Member
from phylon.search.proposal import Proposal
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy
from phylon.search.variation import neighbours


@final
class LocalSearch(Strategy):
    """Local search (White et al. 2021, https://arxiv.org/abs/2005.02960; Ottelander et al. 2021).

    From the best of `starts` random candidates, propose the neighbours in random order, and move to
    the first that is better. Where none is, it is a local optimum: begin again from new random
    candidates. A neighbour that was measured before is passed over.

    It does not wait for results: while the last neighbours of a place are under way, the random
    candidates of the next round are proposed, and the search moves on to whatever result is better
    than the place where it stands. Where the space has numbers or nested choices, not all
    neighbours are tried but a few drawn ones for each decision; see `variation.neighbours`.

    Args:
        space: Where to search.
        objectives: 1; only one is compared.
        seed: 0 or more.
        starts: How many random candidates begin a round; 1 or more.

    Raises:
        ConfigurationError: A parameter has a value that is not allowed.
    """

    def __init__(
        self, space: SearchSpace, *, objectives: int = 1, seed: int = 0, starts: int = 10
    ) -> None:
        super().__init__(space, objectives=objectives, seed=seed)
        check_integer("starts", starts, 1)
        self.initial = starts
        self._place: Member | None = None
        self._next: Member | None = None  # the best random candidate of the next round
        self._drawn = 0  # random candidates asked for the next round
        self._to_beat: dict[int, tuple[float, ...]] = {}  # rank of its parent, for a neighbour
        self._around: dict[int, list[Architecture]] = {}

    @property
    @override
    def living(self) -> Collection[int]:
        return [place.id for place in (self._place, self._next) if place]

    def _propose(self, rng: np.random.Generator) -> Proposal:
        for place in (self._place, self._ready):
            if place is not None and (neighbour := self._unseen_neighbour(place)):
                return Proposal(neighbour, (place.id,), "neighbour", place.generation + 1)
        return Proposal(self.space.sample(rng))

    @property
    def _ready(self) -> Member | None:
        """Where the next round starts, once enough was drawn for it."""
        return self._next if self._drawn >= self.initial else None

    def _unseen_neighbour(self, place: Member) -> Architecture | None:
        """Return the next neighbour of a place that was never asked; the order is drawn once."""
        if place.id not in self._around:
            rng = np.random.default_rng([self.seed, place.id, 1])
            found = list(neighbours(self.space, place.architecture, rng))
            self._around[place.id] = [found[i] for i in rng.permutation(len(found))]
        left = self._around[place.id]
        while left and self.space.key(left[-1]) in self._keys:
            left.pop()
        return left[-1] if left else None

    def _accept(self, candidate: Candidate) -> None:
        if not candidate.parents:
            if self._ready and not self._unseen_neighbour(self._ready):
                self._next, self._drawn = None, 0
            self._drawn += 1
            return
        if self._next is not None and candidate.parents == (self._next.id,):
            self._move(self._next)
            self._next, self._drawn = None, 0
        if self._place is not None:
            self._to_beat[candidate.id] = self._place.rank

    def _observe(self, candidate: Candidate, outcome: Outcome) -> None:
        to_beat = self._to_beat.pop(candidate.id, None)
        member = Member.of(candidate, outcome)
        if member is None or (to_beat is not None and member.rank >= to_beat):
            return
        if self._place is not None and member.rank < self._place.rank:
            self._move(member)
        elif to_beat is None and (self._next is None or member.rank < self._next.rank):
            self._next = member

    def _move(self, place: Member) -> None:
        self._place = place
        self._around.clear()
