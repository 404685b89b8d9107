"""A study's strategy, which numbers candidates as the study does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Outcome
from phylon.search.proposal import Known
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy


class Proposer:
    """Asks a strategy for candidates and tells it their outcomes.

    A strategy counts only what it was asked, from 0. A study has candidates of other phases in
    between, and begins with a new strategy when what the old one learned is no good any more.

    Args:
        new: Makes the strategy at its beginning.
    """

    def __init__(self, new: Callable[[], Strategy]) -> None:
        self._new = new
        self.begin()

    def begin(self) -> None:
        """Forget all and begin anew."""
        self._strategy = self._new()
        self._ids: list[int] = []  # in the study, by the strategy's own
        self._numbers: dict[int, int] = {}

    @property
    def space(self) -> SearchSpace:
        """Where it searches."""
        return self._strategy.space

    @property
    def initial(self) -> int:
        """How many candidates are asked before what was learned counts."""
        return self._strategy.initial

    @property
    def inherits(self) -> bool:
        """Whether children begin with the weights of a parent."""
        return self._strategy.inherits

    @property
    def living(self) -> set[int]:
        """The candidates, measured, whose weights a later one may begin with; none if none does."""
        if not self._strategy.inherits:
            return set()
        return {self._ids[number] for number in self._strategy.living}

    @property
    def asked(self) -> int:
        """How many candidates were asked since the beginning."""
        return len(self._ids)

    def ask(self, candidate_id: int) -> Candidate:
        """Return the next candidate, which gets this id.

        Raises:
            SpaceExhausted: There is none, at least until another result.
        """
        (own,) = self._strategy.ask(1)
        self._note(candidate_id)
        return self._renumbered(own, lambda number: self._ids[number])

    def recall(self, candidate: Candidate) -> None:
        """Take note of a candidate that was asked before, by an earlier driver."""
        self._note(candidate.id)
        self._strategy.replay([(self._own(candidate), None)])

    def tell(self, candidate: Candidate, outcome: Outcome) -> None:
        """Tell the outcome of a candidate, unless it was asked before the last beginning."""
        if candidate.id in self._numbers:
            self._strategy.tell(self._own(candidate), outcome)

    def prime(self, start: Sequence[Architecture], known: Sequence[Known]) -> None:
        """Begin with what is known or guessed from elsewhere; see `Strategy.prime`."""
        self._strategy.prime(start, known)

    def _note(self, candidate_id: int) -> None:
        self._numbers[candidate_id] = len(self._ids)
        self._ids.append(candidate_id)

    def _own(self, candidate: Candidate) -> Candidate:
        if candidate.inherit_from is not None and candidate.inherit_from not in self._numbers:
            candidate = replace(candidate, inherit_from=None)  # as from a supernet
        return self._renumbered(candidate, self._numbers.__getitem__)

    def _renumbered(self, candidate: Candidate, number: Callable[[int], int]) -> Candidate:
        new = number(candidate.id)
        if new == candidate.id:  # then all before it have the same numbers, too
            return candidate
        root, heir = candidate.continues, candidate.inherit_from
        return replace(
            candidate,
            id=new,
            parents=tuple(map(number, candidate.parents)),
            continues=None if root is None else number(root),
            inherit_from=None if heir is None else number(heir),
        )
