"""One driver per study: a lock that dies with its holder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from contextlib import AbstractContextManager
from pathlib import Path
from types import TracebackType

from phylon.cluster.location import Location
from phylon.errors import StudyError

LOCK = "driver.lock"


class StudyLock:
    """Holds a study's folder for one driver, by a lock the kernel drops when the process ends.

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
            raise held_by_another(Location(self._path.parent)) from error
        os.ftruncate(handle, 0)
        os.write(handle, json.dumps({"host": socket.gethostname(), "pid": os.getpid()}).encode())
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


def _lock(handle: int) -> None:
    """Try for a second: `is_held` in another process takes the lock for a moment, too."""
    for _ in range(10):
        try:
            return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.1)
    return fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)


def hold(location: Location) -> AbstractContextManager[object]:
    """Return what holds a study for one driver for as long as it is entered."""
    if location.local is None:
        raise StudyError(f"study {location} cannot be held")
    return StudyLock(location.local)


def held_by_another(location: Location) -> StudyError:
    """Return the error to raise for a study that a living driver holds."""
    holder = (location / LOCK).read().decode(errors="replace") or "an unknown process"
    return StudyError(
        f"study {location} is being run by another driver ({holder}); stop that one or wait for it "
        f"to end"
    )


def is_held(location: Location) -> bool:
    """Return whether a living driver runs the study that lives there."""
    path = location.local / LOCK if location.local else None
    if path is None or not path.exists():
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
