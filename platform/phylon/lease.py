"""One driver per study on object stores, which know no locks: a lease that must be renewed.

A contender writes a bid, a small object of its own, and lists the others. Of two bids the later one
always sees the earlier, so whoever sees no other turns its bid into a held lease; whoever sees one
withdraws and tries again after a while. The holder rewrites its object again and again. A held one
that does not change, by the contender's own clock, is that of a dead driver: it is removed. No two
clocks are compared.

A holder that could not renew for a while, stopped or cut off, may have lost its lease without
knowing. So it trusts it for a short time only, then looks whether it is still there before it
writes; and a contender lets that time pass after it removed a lease, and looks again.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from contextlib import suppress
from types import TracebackType

from pyarrow import fs

from phylon.cluster.location import Location
from phylon.cluster.patience import patiently
from phylon.errors import StudyError
from phylon.holders import describe_holder, held_by_another, now_in_words

LEASE = "lease"
TTL_S = 20.0
"""After so long without a change a lease is that of a dead driver."""
_RENEWAL, _TRUST, _POLL = 0.2, 0.3, 0.04
"""Parts of that time: from renewal to renewal; after which a holder looks again; between looks."""
_BID, _HELD = ".bid", ".held"


class StudyLease:
    """Holds a study in an object store for one driver.

    Args:
        location: Where the study lives.
        ttl: Seconds, see `TTL_S`; the same for all drivers.
    """

    def __init__(self, location: Location, *, ttl: float = TTL_S) -> None:
        self._location = location
        self._folder = location / LEASE
        self._ttl = ttl
        self._id = ""
        self._beats = 0
        self._since = ""
        self._renewed = 0.0
        self._is_lost = False
        self._renewing = threading.Lock()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="phylon-lease", daemon=True)

    def __enter__(self) -> StudyLease:
        """Take the lease; wait for that of a dead driver to run out.

        Raises:
            StudyError: A living driver holds it.
            OSError: The store cannot be used.
        """
        others = _Others(self._folder, self._ttl)
        while patiently(others.look, self._folder) or not patiently(self._bid, self._folder):
            if others.living:
                raise held_by_another(self._location, others.living)
            time.sleep(self._ttl * _POLL * random.uniform(0.5, 1.5))
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Give the lease back."""
        self._over.set()
        self._thread.join()
        for ours in (self._object(_HELD), self._object(_BID)):
            with suppress(OSError):
                ours.delete()

    def check(self) -> None:
        """Make sure that the lease is still ours; quick as long as it could be renewed.

        Raises:
            StudyError: Another driver took the study over.
            OSError: The store does not say.
        """
        if self._is_doubtful:
            self._renew()

    @property
    def _is_doubtful(self) -> bool:
        return self._is_lost or _now() - self._renewed > self._ttl * _TRUST

    def _bid(self) -> bool:
        """Try to get the lease; return whether that went through."""
        began = _now()
        self._id = uuid.uuid4().hex
        try:
            self._object(_BID).write(b"")
            if _names(self._folder, but=self._id) or _now() - began > self._ttl * _TRUST:
                return False
            self._since = now_in_words()
            self._write()
            self._renewed = began
            return True
        finally:
            with suppress(OSError):
                self._object(_BID).delete()

    def _keep(self) -> None:
        while not self._over.wait(self._ttl * _RENEWAL):
            try:
                self._renew()
            except StudyError:
                return
            except OSError:
                continue  # `check` looks closer if that goes on

    def _renew(self) -> None:
        with self._renewing:
            began = _now()
            held = [name for name in _names(self._folder) if name.endswith(_HELD)]
            if self._is_lost or held != [f"{self._id}{_HELD}"]:
                self._is_lost = True
                raise StudyError(
                    f"another driver took study {self._location} over, since this one could not "
                    f"reach its storage for {_now() - self._renewed:.0f} s; let that one go on: "
                    f"nothing before this is lost"
                )
            self._write()
            self._renewed = began

    def _write(self) -> None:
        self._beats += 1
        self._object(_HELD).write(describe_holder(self._since, self._beats))

    def _object(self, kind: str) -> Location:
        return self._folder / f"{self._id}{kind}"


class _Others:
    """Watches the leases and bids of other drivers.

    Args:
        folder: Where they are.
        ttl: Seconds without a change after which one is removed.

    Attributes:
        living: What a holder that is alive says of itself; empty until one was seen.
    """

    def __init__(self, folder: Location, ttl: float) -> None:
        self._folder = folder
        self._ttl = ttl
        self._seen: dict[str, tuple[bytes, float]] = {}
        self._wait_until = 0.0
        self.living = b""

    def look(self) -> bool:
        """Return whether somebody may hold the lease."""
        for name in _names(self._folder):
            try:
                content = (self._folder / name).read()
            except FileNotFoundError:
                continue
            before, since = self._seen.setdefault(name, (content, _now()))
            if content != before:
                self.living = content
                return True
            if _now() - since > self._ttl:
                (self._folder / name).delete()
                self._wait_until = _now() + self._ttl * _TRUST
        return bool(_names(self._folder)) or _now() < self._wait_until


def is_leased(location: Location) -> bool:
    """Return whether a lease was renewed lately, by the store's clock."""
    folder = location / LEASE
    selector = fs.FileSelector(folder.path, allow_not_found=True)
    found = folder.filesystem.get_file_info(selector)
    times = [info.mtime.timestamp() for info in found if info.base_name.endswith(_HELD)]
    return any(time.time() - renewed < TTL_S for renewed in times)


def _names(folder: Location, *, but: str = "") -> list[str]:
    """Return all leases and bids, but for those of one driver."""
    names = [name for name in folder.names() if name.endswith((_BID, _HELD))]
    return [name for name in names if not but or not name.startswith(but)]


def _now() -> float:
    """Return seconds of a clock that goes on while the machine sleeps, if there is one."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
