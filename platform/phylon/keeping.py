"""Which candidates' folders are needed: the others' weights and checkpoints are let go."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from phylon import events
from phylon.front import front
from phylon.record import Record
from phylon.search.candidate import Candidate
from phylon.state import StudyState

_FOR_GOOD = ("supernet", "final")


def _nobody() -> Collection[int]:
    return ()


class Keeping:
    """Decides, event by event, whose weights and checkpoints may still be asked for.

    Needed are those of pending candidates, and of the candidates that these begin with or go on
    from; of the `keep` best of the search that are left, and of its front; of the final phase; of
    the supernet, whose weights may be extracted at any time. Until the final phase begins also
    those of candidates that may be parents of later ones, if these inherit weights: the budget may
    be raised after the end. While the search goes on those of candidates that stopped before the
    study's epochs, until one that continues them has ended. Any of these may still be promoted: the
    more results there are, the more are among the best. Of probes only the metrics count, and
    candidates that are scored with shared weights have no folder.

    What is let go is never needed again. The decision follows from the events alone, so a driver
    that replays them decides as the one before. An event costs as much as there are candidates that
    may become parents, however many there were.

    Args:
        keep: How many of the best search candidates keep their weights.
        living: Returns those that may become parents; called after the strategy was told.
    """

    def __init__(self, keep: int, living: Callable[[], Collection[int]] = _nobody) -> None:
        self._keep = keep
        self._living_now = living
        self._best: set[int] = set()
        self._promotable: set[int] = set()
        self._living: set[int] = set()
        self._is_over = False  # until the budget is raised
        self._sources: Counter[int] = Counter()  # pending candidates that build on each
        self._held: set[int] = set()  # ended, and not let go
        self._let_go: list[int] = []

    def after(self, event: events.Event, state: StudyState) -> list[int]:
        """Return those that this event makes useless, by id.

        Args:
            event: Any event; the next one in the order of the journal.
            state: The study with `event` already applied.
        """
        match event:
            case events.Proposed(candidate=candidate):
                doubtful = self._propose(candidate, state)
            case events.Completed() | events.Failed():
                doubtful = self._settle(state.records[event.candidate_id], state)
            case events.Finished():
                doubtful = self._end_promotions()
            case events.Dropped(candidate_ids=numbers):
                self._release(self._held.intersection(numbers))
                return []
            case _:
                return []
        useless = sorted(
            number for number in doubtful & self._held if not self._is_needed(number, state)
        )
        self._release(useless)
        return useless

    def collect(self) -> list[int]:
        """Return all that was let go since the last call."""
        collected, self._let_go = self._let_go, []
        return collected

    def overdue(self, state: StudyState) -> list[int]:
        """Return those that are let go, but of whose weights the journal does not say so."""
        return [
            record.id
            for record in state.records.values()
            if record.has_files and record.state != "pending" and record.id not in self._held
        ]

    def _release(self, numbers: Iterable[int]) -> None:
        self._held.difference_update(numbers)
        self._let_go += numbers

    def _propose(self, candidate: Candidate, state: StudyState) -> set[int]:
        if candidate.is_scored:
            return set()
        self._sources.update(_sources(candidate))
        if candidate.phase == "final":
            return self._end_search()
        if candidate.phase != "search":
            return set()
        if self._is_over:
            self._is_over = False
            left = (state.records[number] for number in self._held)
            self._promotable = {r.id for r in left if _may_be_promoted(r, state)}
        return self._take_living()

    def _settle(self, record: Record, state: StudyState) -> set[int]:
        if record.candidate.is_scored:
            return set()
        self._held.add(record.id)
        sources = _sources(record.candidate)
        self._sources.subtract(sources)
        self._sources = +self._sources
        doubtful = {record.id, *sources}
        if record.candidate.phase == "search":
            doubtful |= self._rank(record, state) | self._take_living()
        return doubtful

    def _rank(self, record: Record, state: StudyState) -> set[int]:
        """Take a result of the search into account; return those that it may have beaten."""
        before = record.candidate.continues
        changed = {record.id} if before is None else {record.id, before}
        numbers = self._held if _has_fallen(record, state) else self._best | changed
        contenders = (r for r in map(state.records.__getitem__, numbers) if _is_result(r))
        ranked = sorted((r for r in contenders if not state.is_superseded(r)), key=state.rank)
        beaten = self._best
        self._best = {r.id for r in ranked[: self._keep] + front(state, ranked)}
        self._promotable -= changed
        self._promotable |= {n for n in changed if _may_be_promoted(state.records[n], state)}
        return beaten

    def _take_living(self) -> set[int]:
        before, self._living = self._living, set(self._living_now())
        return before - self._living

    def _end_promotions(self) -> set[int]:
        self._is_over = True
        doubtful, self._promotable = self._best | self._promotable, set()
        return doubtful

    def _end_search(self) -> set[int]:
        doubtful, self._living = self._end_promotions() | self._living, set()
        return doubtful

    def _is_needed(self, number: int, state: StudyState) -> bool:
        record = state.records[number]
        return (
            number in self._best
            or number in self._promotable
            or number in self._living
            or number in self._sources
            or (record.candidate.phase in _FOR_GOOD and record.state == "completed")
        )


def _sources(candidate: Candidate) -> set[int]:
    return {each for each in (candidate.inherit_from, candidate.continues) if each is not None}


def _is_result(record: Record) -> bool:
    return record.state == "completed" and record.candidate.phase == "search"


def _has_fallen(record: Record, state: StudyState) -> bool:
    """Return whether a training that went on misses constraints that it had met, or misses more.

    Then others come before it that came after it, whoever they are.
    """
    before = record.candidate.continues
    if before is None or record.state != "completed":
        return False
    return state.violation(record) > state.violation(state.records[before])


def _may_be_promoted(record: Record, state: StudyState) -> bool:
    epochs = record.candidate.epochs
    return (
        record.state == "completed"
        and record.continued_by is None
        and epochs is not None
        and epochs < state.training_epochs
    )
