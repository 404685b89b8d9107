"""The candidates' own folders, which are removed once nobody needs them any more."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

from phylon import events
from phylon.cluster.location import CANDIDATES, Location
from phylon.keeping import Keeping

_REMOVERS = 4  # threads: a store takes tens of milliseconds for a folder

log = logging.getLogger(__name__)


class CandidateFolders:
    """Listens to a study and removes the folders of candidates that are let go.

    By the time that an event is heard of, the journal says which. What an earlier driver did not
    come to remove is removed at once.

    They are removed in threads, since an object store takes its time. What cannot be removed
    stays, and is tried again by the next driver.

    Args:
        location: Where the study lives.
        keeping: Says who is let go.
    """

    def __init__(self, location: Location, keeping: Keeping) -> None:
        self._root = location / CANDIDATES
        self._remover = ThreadPoolExecutor(_REMOVERS)
        self._keeping = keeping
        there = set(self._root.names())
        for number in keeping.collect():
            if str(number) in there:
                self._remove(number)

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

    def __call__(self, _: events.Event) -> None:
        """Remove what was let go by this event, or one that was written with it."""
        for number in self._keeping.collect():
            self._remove(number)

    def _remove(self, number: int) -> None:
        self._remover.submit(_delete, self._root / number)


def _delete(folder: Location) -> None:
    try:
        folder.delete()
    except OSError as error:
        log.warning("%s cannot be removed: %s; the next driver tries again", folder, error)
