"""Takes events into the study at once, and into its journal in groups."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from phylon import events
from phylon.journal import JournalWriter
from phylon.keeping import Keeping
from phylon.proposer import Proposer
from phylon.search.candidate import Candidate, Outcome
from phylon.search.objective import losses
from phylon.state import StudyState

Listener = Callable[[events.Event], None]


class Ledger:
    """Keeps state, strategy and journal of a study together, and says which weights are let go.

    An event changes state and strategy as soon as it is taken. It is written with all others since
    the last `flush`, in one go: a synced write, or an object of a store, takes as long for one
    event as for a hundred. What was not flushed is lost with the process, so nobody else may hear
    of it before.

    Args:
        journal: Where events are written.
        state: The study so far.
        proposer: Its strategy, where it was.
        keeping: Decides whose weights are needed; where it was, too.
        listeners: Called with each event once it is written; they must be quick and not raise.
    """

    def __init__(
        self,
        journal: JournalWriter,
        state: StudyState,
        proposer: Proposer,
        keeping: Keeping,
        listeners: Sequence[Listener] = (),
    ) -> None:
        self.state = state
        self._journal = journal
        self._proposer = proposer
        self._keeping = keeping
        self._listeners = tuple(listeners)
        self._unwritten: list[events.Event] = []

    def take(self, *batch: events.Event) -> None:
        """Take events into the state, and tell the strategy what concerns it.

        What the strategy raises ends the study, but costs no result: it can still be written.
        """
        for event in batch:
            self._take(event)
            if dropped := drop(self._keeping.after(event, self.state), self.state):
                self._take(dropped)

    def flush(self) -> None:
        """Write what was taken, then let the listeners hear of it.

        Raises:
            JournalError: The storage refused.
        """
        if not self._unwritten:
            return
        self._journal.append(*self._unwritten)
        written, self._unwritten = self._unwritten, []
        for event in written:
            for listener in self._listeners:
                listener(event)

    def _take(self, event: events.Event) -> None:
        self.state.apply(event)
        self._unwritten.append(event)
        prepare(event, self._proposer)
        told = history_item(event, self.state)
        if told and told[1]:
            self._proposer.tell(told[0], told[1])


def history_item(event: events.Event, state: StudyState) -> tuple[Candidate, Outcome | None] | None:
    """Return what an event means to a strategy: a candidate asked, or told; None for nothing.

    Args:
        event: Any event.
        state: The study with `event` already applied.
    """
    match event:
        case events.Proposed(candidate=candidate) if candidate.phase == "search":
            return candidate, None
        case events.Completed() | events.Failed():
            record = state.records[event.candidate_id]
            if record.candidate.phase == "search":
                if isinstance(event, events.Failed):
                    return record.candidate, Outcome()
                values = losses(state.objectives, record.metrics)
                return record.candidate, Outcome(values, state.violation(record))
    return None


def prepare(event: events.Event, proposer: Proposer) -> None:
    """Take note of an event that says what a strategy begins with, or that it begins anew."""
    match event:
        case events.Primed(start=start, known=known):
            proposer.prime(start, known)
        case events.Ranked(verdict="switched"):
            proposer.begin()


def drop(numbers: Iterable[int], state: StudyState) -> events.Dropped | None:
    """Return what the journal says of candidates that are let go: of those with files, if any."""
    with_files = [number for number in numbers if state.records[number].has_files]
    return events.Dropped(candidate_ids=with_files) if with_files else None


def replay(history: Iterable[events.Event], proposer: Proposer, keeping: Keeping) -> StudyState:
    """Rebuild a study's state, its strategy's, and whose weights it needs, from its events."""
    state = StudyState()
    for event in history:
        state.apply(event)
        prepare(event, proposer)
        if item := history_item(event, state):
            candidate, outcome = item
            if outcome is None:
                proposer.recall(candidate)
            else:
                proposer.tell(candidate, outcome)
        keeping.after(event, state)
    return state
