"""When results are written and told: as they come, or in the order of the proposals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from typing_extensions import override

from phylon.events import Completed, Failed, Reported
from phylon.journal import JournalWriter
from phylon.state import StudyState

Arrival = Reported | Completed | Failed


class Order(Protocol):
    """Decides when an event may be written, and whether one more candidate may be proposed."""

    @property
    def is_strict(self) -> bool:
        """Whether candidates are proposed as early as allowed rather than when a slot is free."""

    def hold(self, event: Arrival, *, is_new: bool) -> None:
        """Take an event; it is not new if the next driver will have it again without its help."""

    def release(self) -> Sequence[Arrival]:
        """Return the events that may be written now; empty if there are none."""

    def ended(self) -> set[int]:
        """Return the candidates whose end is held back."""

    def may_propose(self, index: int, state: StudyState) -> bool:
        """Return whether the search may propose its candidate number `index` now."""

    def flush(self) -> None:
        """Return when all events that are held back are on stable storage."""


class FreeOrder(Order):
    """Results are written when they come, and a proposal sees all of them."""

    is_strict = False

    def __init__(self) -> None:
        self._held: list[Arrival] = []

    @override
    def hold(self, event: Arrival, *, is_new: bool) -> None:
        self._held.append(event)

    @override
    def release(self) -> Sequence[Arrival]:
        released, self._held = self._held, []
        return released

    @override
    def ended(self) -> set[int]:
        return set()

    @override
    def may_propose(self, index: int, state: StudyState) -> bool:
        return True

    @override
    def flush(self) -> None:
        """Nothing: what is held is released before anything else happens."""


class StrictOrder(Order):
    """Results are written in the order of the proposals, however fast the slots are.

    Proposal `n` sees the results of exactly the proposals below ``n - window``, so the same study
    has the same journal on any number of slots. What arrives before its turn is kept in a journal
    of its own, so that it is not lost with the driver.

    Args:
        window: How many candidates may be ahead of the oldest one without a result.
        early: Journal for events that arrive before their turn.
        state: The study so far.
    """

    is_strict = True

    def __init__(self, window: int, early: JournalWriter, state: StudyState) -> None:
        self._window = window
        self._early = early
        self._state = state
        self._held: dict[int, list[Arrival]] = {}
        self._unwritten: list[Arrival] = []

    @override
    def hold(self, event: Arrival, *, is_new: bool) -> None:
        if is_new and event.candidate_id != self._turn():
            self._unwritten.append(event)
        self._held.setdefault(event.candidate_id, []).append(event)

    @override
    def release(self) -> Sequence[Arrival]:
        return self._held.pop(self._turn(), ())

    @override
    def ended(self) -> set[int]:
        ends = (Completed, Failed)
        return {number for number, held in self._held.items() if isinstance(held[-1], ends)}

    @override
    def may_propose(self, index: int, state: StudyState) -> bool:
        return index - self._window <= state.completed + state.failed

    @override
    def flush(self) -> None:
        if self._unwritten:
            self._early.append(*self._unwritten)
            self._unwritten = []

    def _turn(self) -> int:
        return next(iter(self._state.pending), -1)
