"""The part of a study's journal that is not in MLflow yet."""

from __future__ import annotations

from contextlib import suppress
from itertools import islice

from phylon.cluster.location import Location
from phylon.events import Event
from phylon.journal import JournalReader
from phylon.mlflow_plan import Projection
from phylon.mlflow_record import RunRecord
from phylon.mlflow_writes import Plan
from phylon.segments import EventCounter

STRETCH = 500
"""Events that are sent, and remembered as sent, together."""


class Backlog:
    """Reads a journal from the first event that MLflow lacks, stretch by stretch.

    Args:
        study: Where the study lives.
        record: Tells what is in MLflow; kept up to date.

    Attributes:
        projection: The study up to the end of the present stretch.
        is_last: Whether the present stretch was the last one when it was read.
    """

    def __init__(self, study: Location, record: RunRecord) -> None:
        self._folder = study / "journal"
        self._record = record
        self._there = 0
        self._counter = EventCounter(self._folder)
        self.rewind()

    @property
    def ended(self) -> int:
        """How many candidates have completed or failed by the end of the present stretch."""
        return self.projection.state.completed + self.projection.state.failed

    def rewind(self) -> None:
        """Begin again at the first event that is not on record as sent."""
        self.projection = Projection()
        self._reader = JournalReader(self._folder.filesystem, self._folder.path)
        self._unread = self._reader.read()
        self._plan: Plan = {}
        self.is_last = False

    def next_plan(self) -> Plan:
        """Return the writes of the present stretch until it is marked as sent; empty at the end.

        Raises:
            JournalError: The journal is damaged.
            OSError: It cannot be read.
        """
        if not self._plan:
            try:
                self._skip()
                self._plan = self.projection.plan(self._read())
            except Exception:  # what was read and not planned must be read again
                self.rewind()
                raise
        return self._plan

    def mark_sent(self) -> None:
        """Go on to the next stretch."""
        self._record.note_sent(self._reader.events)
        self._plan = {}

    def __len__(self) -> int:
        with suppress(OSError):  # while the storage is away, what was there last
            self._there = self._counter.count()
        return max(self._there - self._record.sent, 0)

    def _skip(self) -> None:
        """Take into account what was sent by an earlier driver."""
        missing = max(0, self._record.sent - self._reader.events)
        self.projection.skip(islice(self._unread, missing))
        if self._reader.events < self._record.sent:  # The journal has lost its torn end.
            self._record.note_sent(self._reader.events)

    def _read(self) -> list[Event]:
        stretch = list(islice(self._unread, STRETCH))
        if not stretch:
            self._unread = self._reader.read()
            stretch = list(islice(self._unread, STRETCH))
        self.is_last = len(stretch) < STRETCH
        return stretch
