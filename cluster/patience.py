"""Waiting for a storage that is slow, or down for a while."""

from __future__ import annotations

import errno
import logging
import random
import re
import time
from collections.abc import Callable
from typing import TypeVar

PATIENCE_S = 300.0
"""How long a storage may be away before it is given up: a reboot or a failover takes less."""
STOPPED_S = 5.0
"""The same after a request to stop, which whoever asked does not wait for minutes for."""
_FIRST_DELAY_S, _MAX_DELAY_S = 0.2, 10.0
_SILENT_S = 2.0
_POLL_S = 0.1
_PASSING = {
    errno.EIO, errno.ESTALE, errno.EAGAIN, errno.EBUSY, errno.EREMOTEIO, errno.ETIMEDOUT,
    errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.EHOSTDOWN, errno.EHOSTUNREACH,
    errno.ENETDOWN, errno.ENETUNREACH, errno.ENOTCONN, errno.EPIPE, errno.ETIME,
}  # fmt: skip
_PASSING_WORDS = re.compile(
    r"NETWORK_CONNECTION|SLOW_DOWN|SERVICE_UNAVAILABLE|INTERNAL_FAILURE|REQUEST_TIMEOUT|THROTTLING"
    r"|HTTP status (5..|429|408)|curlCode|UNAVAILABLE|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED"
    r"|retry|timed? ?out",
    re.IGNORECASE,
)
T = TypeVar("T")
log = logging.getLogger(__name__)


def never() -> bool:
    """Stop for nobody."""
    return False


def is_passing(error: OSError) -> bool:
    """Return whether an error of a storage may be gone when one tries again.

    Errors of disks and mounts have a number. Those of object stores have none, but name the
    answer of the store.
    """
    if error.errno is not None:
        return error.errno in _PASSING
    return bool(_PASSING_WORDS.search(str(error)))


def patiently(
    action: Callable[[], T], place: object, *, should_stop: Callable[[], bool] = never
) -> T:
    """Do something with a storage; while it is away, wait and do it again.

    Args:
        action: What to do; doing it twice must be the same as doing it once.
        place: Where, for the log.
        should_stop: Whether somebody asks to stop. Then a storage that does not come back within
            `STOPPED_S` is given up.

    Raises:
        OSError: The storage is away for longer than `PATIENCE_S`, or refused for good.
    """
    since: float | None = None
    delay = _FIRST_DELAY_S
    has_warned = False
    while True:
        try:
            result = action()
        except OSError as error:
            now = time.monotonic()
            since = since or now
            if not is_passing(error) or now - since > _patience(should_stop):
                raise
            if now - since > _SILENT_S and not has_warned:
                has_warned = True
                log.warning(
                    "%s does not answer (%s); trying again for up to %d minutes",
                    place, str(error).splitlines()[0], PATIENCE_S / 60,
                )  # fmt: skip
        else:
            if has_warned and since:
                log.warning("%s is back after %d s", place, time.monotonic() - since)
            return result
        _wait(delay * random.uniform(0.5, 1.0), should_stop)
        delay = min(2 * delay, _MAX_DELAY_S)


def _patience(should_stop: Callable[[], bool]) -> float:
    return STOPPED_S if should_stop() else PATIENCE_S


def _wait(seconds: float, should_stop: Callable[[], bool]) -> None:
    """Sleep, but only in short naps once it is asked to stop."""
    until = time.monotonic() + seconds
    while (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _POLL_S))
        if should_stop():
            return
