"""The candidates' own folders: kept while they may be needed, then removed."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from phylon import events
from phylon.cluster.location import CANDIDATES, Location
from phylon.front import front
from phylon.state import Record, StudyState

_REMOVERS = 4  # threads: a store takes tens of milliseconds for a folder

log = logging.getLogger(__name__)


class CandidateFolders:
    """Listens to a study and removes the checkpoints and weights that nobody will ask for again.

    Kept are those of pending candidates, of the `keep` best of the search and of its front, of the
    final phase, and of the supernet, whose weights may be extracted at any time; and, while the
    search goes on, those of candidates that stopped before the study's epochs, until a candidate
    that continues them has ended. Any of these may still be promoted: the more results there are,
    the more are among the best. Of probes only the metrics count, and candidates that are scored
    with shared weights have no folder.

    They are removed in threads, since an object store takes its time. What cannot be removed
    stays, and is tried again by the next driver.

    Args:
        location: Where the study lives.
        state: The study, as the driver keeps it.
        keep: How many of the best search candidates keep their weights.
    """

    def __init__(self, location: Location, state: StudyState, keep: int) -> None:
        self._root = location / CANDIDATES
        self._remover = ThreadPoolExecutor(_REMOVERS)
        self._state = state
        self._keep = keep
        records = [r for r in state.records.values() if not r.candidate.is_scored]
        search = [record for record in records if record.candidate.phase == "search"]
        self._kept = self._best_of_search()
        self._promotable = {record.id for record in search if self._may_be_promoted(record)}
        there = {int(name) for name in self._root.names() if name.isdecimal()}
        probes = [record for record in records if record.candidate.phase == "probe"]
        for record in search + probes:
            if record.state != "pending" and record.id in there:
                self._remove_unless_needed(record.id)
        if state.proposed["final"]:
            self._end_search()

    def __enter__(self) -> CandidateFolders:
        """Begin to listen."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Wait for what is being removed; after an error, such as of the storage, no longer."""
        self._remover.shutdown(cancel_futures=kind is not None)

    def __call__(self, event: events.Event) -> None:
        """Remove the folders that this event made useless."""
        match event:
            case events.Completed() | events.Failed():
                self._settle(self._state.records[event.candidate_id])
            case events.Proposed(candidate=candidate) if candidate.phase == "final":
                self._end_search()
            case events.Finished():
                self._end_search()

    def _settle(self, record: Record) -> None:
        if record.candidate.is_scored:
            return
        if record.candidate.phase != "search":
            if record.state == "failed" or record.candidate.phase == "probe":
                self._remove(record.id)
            return
        before = record.candidate.continues
        changed = {record.id} if before is None else {record.id, before}
        contenders = [self._state.records[number] for number in self._kept | changed]
        best = sorted(filter(self._is_in_the_running, contenders), key=self._state.rank)
        changed |= self._kept
        self._kept = self._best_of(best)
        self._promotable -= changed
        self._promotable |= {
            number for number in changed if self._may_be_promoted(self._state.records[number])
        }
        for number in changed:
            self._remove_unless_needed(number)

    def _end_search(self) -> None:
        left = self._kept | self._promotable
        self._kept = self._best_of_search()
        self._promotable = set()
        for number in left:
            self._remove_unless_needed(number)

    def _best_of_search(self) -> set[int]:
        trained = (r for r in self._state.ranking("search") if not r.candidate.is_scored)
        return self._best_of(list(trained))

    def _best_of(self, ranked: list[Record]) -> set[int]:
        """Return the best and the front of some candidates that are sorted, the best first."""
        return {record.id for record in ranked[: self._keep] + front(self._state, ranked)}

    def _is_in_the_running(self, record: Record) -> bool:
        return record.state == "completed" and not self._state.is_superseded(record)

    def _may_be_promoted(self, record: Record) -> bool:
        successor = record.continued_by
        return (
            record.state == "completed"
            and record.candidate.epochs is not None
            and record.candidate.epochs < self._epochs
            and (successor is None or successor in self._state.pending)
        )

    @property
    def _epochs(self) -> int:
        created = self._state.created
        return int(created.config["training"]["epochs"]) if created else 0

    def _remove_unless_needed(self, number: int) -> None:
        if number not in self._kept and number not in self._promotable:
            self._remove(number)

    def _remove(self, number: int) -> None:
        self._remover.submit(_delete, self._root / number)


def _delete(folder: Location) -> None:
    try:
        folder.delete()
    except OSError as error:
        log.warning("%s cannot be removed: %s; the next driver tries again", folder, error)
