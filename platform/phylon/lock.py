"""One driver per study: a lock that dies with its holder, or a lease that runs out."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol

from phylon.cluster.location import Location
from phylon.holders import describe_holder, held_by_another, now_in_words
from phylon.lease import StudyLease, is_leased

LOCK = "driver.lock"


class Hold(Protocol):
    """Keeps a study for one driver for as long as it is entered."""

    def __enter__(self) -> Hold:
        """Take the study.

        Raises:
            StudyError: A living driver holds it.
        """

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give it back."""

    def check(self) -> None:
        """Make sure that it is still ours, before something is written.

        Raises:
            StudyError: Another driver took it over.
        """


def hold(location: Location) -> Hold:
    """Return what holds a study for one driver: a lock, or on an object store a lease."""
    return StudyLease(location) if location.local is None else StudyLock(location.local)


class StudyLock:
    """Holds a study's folder for one driver, by a lock the kernel drops when the process ends.

    NFS hands such locks to its server, so they keep out drivers on other hosts, too.

    Args:
        folder: The study's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / LOCK
        self._file: int | None = None

    def __enter__(self) -> StudyLock:
        """Take the lock.

        Raises:
            StudyError: A living driver holds it.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(handle)
        except BlockingIOError as error:
            os.close(handle)
            raise held_by_another(Location(self._path.parent), self._path.read_bytes()) from error
        os.ftruncate(handle, 0)
        os.write(handle, describe_holder(now_in_words()))
        self._file = handle
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Drop the lock."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def check(self) -> None:
        """Do nothing: the kernel takes it from nobody."""


def _lock(handle: int) -> None:
    """Try for a second: `is_held` in another process takes the lock for a moment, too."""
    for _ in range(10):
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
    return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def refuse_if_locked(folder: Path) -> None:
    """Refuse a folder whose study a living driver runs, before anything else is done.

    Raises:
        StudyError: One does.
    """
    if _is_locked(folder):
        raise held_by_another(Location(folder), (folder / LOCK).read_bytes())


def is_held(location: Location) -> bool:
    """Return whether a living driver seems to run the study that lives there, to show it.

    On an object store a driver that was killed seems to live until its lease runs out.
    """
    return is_leased(location) if location.local is None else _is_locked(location.local)


def _is_locked(folder: Path) -> bool:
    path = folder / LOCK
    if not path.exists():
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    else:
        return False
    finally:
        os.close(handle)
