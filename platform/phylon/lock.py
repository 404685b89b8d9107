"""One driver per study: a lock that dies with its holder."""

from __future__ import annotations

import fcntl
import json
import os
import socket
import time
from pathlib import Path
from types import TracebackType

from phylon.errors import StudyError


class StudyLock:
    """Holds a study's folder for one driver, by a lock the kernel drops when the process ends.

    Args:
        folder: The study's folder.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / "driver.lock"
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
            holder = os.read(handle, 1000).decode(errors="replace") or "an unknown process"
            os.close(handle)
            raise StudyError(
                f"study {self._path.parent} is being run by another driver ({holder}); stop that "
                f"one or wait for it to end"
            ) from error
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


def is_held(folder: Path) -> bool:
    """Return whether a living driver runs the study in `folder`."""
    path = folder / "driver.lock"
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
