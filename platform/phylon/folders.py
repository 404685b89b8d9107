"""The candidates' own folders: kept while they may be needed, then removed."""

from __future__ import annotations

import shutil
from pathlib import Path

from phylon import events
from phylon.state import StudyState


class CandidateFolders:
    """Listens to a study and removes the checkpoints and weights that nobody will ask for again.

    Kept are those of pending candidates, of the `keep` best of the search, and of the final phase.

    Args:
        folder: The study's folder.
        state: The study, as the driver keeps it.
        keep: How many of the best search candidates keep their weights.
    """

    def __init__(self, folder: Path, state: StudyState, keep: int) -> None:
        self._root = folder / "candidates"
        self._state = state
        self._keep = keep
        best = state.ranking("search")[:keep]
        self._kept = {record.id for record in best}
        for record in state.records.values():
            is_settled = record.candidate.phase == "search" and record.state != "pending"
            if is_settled and record.id not in self._kept:
                self._remove(record.id)

    def __call__(self, event: events.Event) -> None:
        """Remove a folder if this event made it useless."""
        if isinstance(event, events.Failed):
            self._remove(event.candidate_id)
        elif isinstance(event, events.Completed):
            record = self._state.records[event.candidate_id]
            if record.candidate.phase == "search":
                self._rank(record.id)

    def _rank(self, candidate_id: int) -> None:
        contenders = [self._state.records[number] for number in {*self._kept, candidate_id}]
        contenders.sort(key=self._state.rank)
        self._kept = {record.id for record in contenders[: self._keep]}
        for record in contenders[self._keep :]:
            self._remove(record.id)

    def _remove(self, candidate_id: int) -> None:
        shutil.rmtree(self._root / str(candidate_id), ignore_errors=True)
