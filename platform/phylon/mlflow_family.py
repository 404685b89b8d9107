"""Which notes are due: those of a study and its candidates, as they get results and children."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from phylon import events
from phylon.mlflow_notes import MOST_RELATIVES, Note, candidate_note
from phylon.mlflow_record import STUDY
from phylon.mlflow_study_note import study_note
from phylon.record import Record
from phylon.state import StudyState


class Family:
    """Knows every candidate's children, and whose note has changed.

    A note follows from the study as it is; whenever that changes what a note says, it is made anew.
    So it does not matter after how many events notes are asked for.

    Args:
        state: The study; each event must be applied to it first.
    """

    def __init__(self, state: StudyState) -> None:
        self._state = state
        self._children: dict[int, list[int]] = {}
        self._counts: Counter[int] = Counter()
        self._changed: set[int] = set()

    def take(self, event: events.Event) -> None:
        """Take one more event into account."""
        match event:
            case events.Proposed(candidate=candidate):
                self._changed.add(candidate.id)
                for parent in dict.fromkeys(candidate.parents):
                    self._add_child(parent, candidate.id)
            case events.Completed() | events.Failed():
                self._changed |= {event.candidate_id, STUDY}
            case events.Reported() | events.Outgrew() | events.Lost() | events.Dropped():
                pass
            case _:
                self.mark(STUDY)

    def mark(self, run: int) -> None:
        """Say that a note is due for another reason."""
        self._changed.add(run)

    def _add_child(self, parent: int, child: int) -> None:
        self._changed.add(parent)
        self._counts[parent] += 1
        if self._counts[parent] <= MOST_RELATIVES:
            self._children.setdefault(parent, []).append(child)

    def new_notes(
        self, leader: Record | None, names: Sequence[tuple[str, str]]
    ) -> Iterator[tuple[int, Note]]:
        """Yield the notes that changed since they were asked for, each with whose it is.

        Args:
            leader: The best candidate of the search so far.
            names: Keys in MLflow, and the names that they stand for.
        """
        state = self._state
        for number in sorted(self._changed):
            if number == STUDY:
                yield STUDY, study_note(state, leader, names)
            elif record := state.records.get(number):
                is_measured = record.state == "completed" and record.candidate.phase != "supernet"
                violation = state.violation(record) if is_measured else 0.0
                children = self._children.get(number, ())
                count = self._counts[number]
                yield number, candidate_note(record, state.objectives, violation, children, count)
        self.forget()

    def forget(self) -> None:
        """Take what is due for written."""
        self._changed.clear()
