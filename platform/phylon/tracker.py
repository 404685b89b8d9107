"""The tracker: shows a study in MLflow, behind the search and never in its way."""

from __future__ import annotations

import logging
import threading
import time
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

from phylon.cluster.location import Location
from phylon.errors import JournalError
from phylon.mlflow_backlog import Backlog
from phylon.mlflow_extras import Extras, Winner
from phylon.mlflow_record import RunRecord, run_ids
from phylon.mlflow_runs import RunsLostError, StudyRuns

__all__ = ["Tracker", "Winner", "run_ids"]

log = logging.getLogger(__name__)

POLL_S = 1.0
REST_S = 0.5
MAX_BACKOFF_S = 10.0
EXTRAS_BACKOFF_S = 60.0


class Tracker:
    """Follows a study's journal and repeats it in MLflow, in a thread of its own.

    What MLflow should hold is a function of the journal, so nothing is lost when MLflow is away or
    the driver is killed: the tracker remembers how far it was and goes on from there, with the same
    runs. It warns once when MLflow cannot be reached, and raises nothing, ever.

    Start it when all packages that the driver needs are imported: it imports MLflow, and two
    threads that import the same large packages get in each other's way.

    Args:
        study: Where the study lives.
        uri: Where MLflow is.
        winner: Returns the best network of the finished study and an example of its input.
    """

    def __init__(self, study: Location, uri: str, *, winner: Winner | None = None) -> None:
        self._study = study
        self._uri = uri
        self._extras = Extras(winner)
        self._extras_due = 0.0
        self._failed_extras: set[str] = set()
        self._record = RunRecord.of(study, uri)
        self._thread = threading.Thread(target=self._run, name="phylon-tracker", daemon=True)
        self._awake = threading.Event()
        self._closing = threading.Event()
        self._status = "starting"
        self._complaint = ""
        self._is_abandoned = False
        self._backlog = Backlog(study, self._record)
        self._runs: StudyRuns | None = None

    @property
    def status(self) -> str:
        """How far MLflow is: ``in step``, or how many events behind and why."""
        return self._status

    def start(self) -> None:
        """Begin to follow the journal."""
        self._thread.start()

    def wake(self) -> None:
        """Say that the journal has grown. Cheap; never waits."""
        self._awake.set()

    def close(self, timeout: float) -> int:
        """Send what is left, and stop.

        Args:
            timeout: Seconds after which to give up.

        Returns:
            How many events MLflow still lacks; they are sent when the study is resumed.
        """
        self._closing.set()
        self._awake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
            self._is_abandoned = True
        missing = len(self._backlog)
        lacks = [f"the last {missing} events"] if missing else self._missing_extras()
        if lacks:
            log.warning(
                "MLflow at %s still lacks %s; `phylon resume %s` sends what is missing",
                _public(self._uri), " and ".join(lacks), self._study,
            )  # fmt: skip
        return missing

    def _run(self) -> None:
        try:
            self._follow()
        except Exception:
            self._status = "stopped by an error in phylon"
            log.exception("tracking of %s stopped; the search goes on without it", self._study)
        finally:
            with suppress(OSError):  # it is a cache
                self._record.close()

    def _follow(self) -> None:
        failures = 0
        while True:
            began = time.thread_time()
            try:
                is_idle = self._step()
            except RunsLostError:
                self._runs = None
                self._backlog.rewind()
                continue
            except Exception as error:  # noqa: BLE001 - MLflow raises whatever its libraries do
                if self._is_abandoned:
                    return
                self._complain(error)
                if self._closing.is_set():
                    return
                failures += 1
                self._closing.wait(min(2.0 ** (failures - 1), MAX_BACKOFF_S))
                continue
            failures = 0
            if is_idle and self._closing.is_set():
                return
            if is_idle:
                self._awake.wait(POLL_S)
                self._awake.clear()
            else:  # Compute half of the time at most: the search needs this process too.
                self._closing.wait(max(REST_S, time.thread_time() - began))

    def _step(self) -> bool:
        """Send the next stretch of the journal; return whether there was none."""
        plan = self._backlog.next_plan()
        if not plan:
            self._send_extras()
            return True
        runs = self._connected()
        for candidate_id, writes in plan.items():
            if self._is_abandoned:
                raise TimeoutError
            runs.write(candidate_id, writes)
        self._backlog.mark_sent()
        sent = self._record.sent
        self._status = "in step" if self._backlog.is_last else f"catching up, {sent} events sent"
        return False

    def _send_extras(self) -> None:
        """Upload what is missing beside the runs."""
        is_due = self._closing.is_set() or time.monotonic() >= self._extras_due
        for name in self._missing_extras() if is_due else ():
            runs = self._connected()
            try:
                self._extras.send(name, runs, self._backlog.projection)
            except Exception as error:  # noqa: BLE001 - MLflow raises whatever its libraries do
                self._extras_due = time.monotonic() + EXTRAS_BACKOFF_S
                if name not in self._failed_extras:
                    self._failed_extras.add(name)
                    log.warning(
                        "MLflow at %s did not take %s: %s", _public(self._uri), name, _brief(error)
                    )
            else:
                self._record.note_done(name)

    def _missing_extras(self) -> list[str]:
        return self._extras.missing(self._backlog.projection, self._record)

    def _connected(self) -> StudyRuns:
        if self._runs is None:
            created = self._backlog.projection.created
            if created is None:
                raise JournalError(f"the journal of {self._study} does not begin with `Created`")
            self._runs = StudyRuns(self._uri, self._record, created)
            if self._complaint:
                log.info("MLflow at %s is back", _public(self._uri))
                self._complaint = ""
        return self._runs

    def _complain(self, error: Exception) -> None:
        self._runs = None
        reason = _brief(error)
        self._status = f"{len(self._backlog)} events behind: {reason}"
        if not self._complaint and isinstance(error, JournalError):
            log.warning("what MLflow lacks is sent later: %s", reason)
        elif not self._complaint:
            log.warning(
                "MLflow at %s cannot be used now: %s. The search goes on, and what is missing is "
                "sent later; check that the server runs and that `tracking.uri` is right",
                _public(self._uri), reason,
            )  # fmt: skip
        self._complaint = reason


def _public(uri: str) -> str:
    """Return a URI without its password."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit(parts._replace(netloc=host)) if "@" in parts.netloc else uri


def _brief(error: Exception) -> str:
    """Return what an error of MLflow's says, in one line: the cause, if it wraps one."""
    text = str(error) or type(error).__name__
    if "Caused by" in text:
        text = text.rpartition(": ")[2].strip("'\")")
    return text.splitlines()[0][:300]
