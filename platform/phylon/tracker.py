"""The tracker: shows a study in MLflow, behind the search and never in its way."""

from __future__ import annotations

import logging
import math
import threading
import time
from contextlib import suppress

from phylon.cluster.location import Location
from phylon.errors import StudyError
from phylon.mlflow_extras import Extras
from phylon.mlflow_machine import MachineMeter
from phylon.mlflow_record import run_ids
from phylon.mlflow_runs import RunsLostError
from phylon.mlflow_sender import Sender
from phylon.mlflow_trouble import Trouble, brief, explain, public

__all__ = ["Tracker", "run_ids"]

log = logging.getLogger(__name__)

POLL_S = 1.0
REST_S = 0.5
EXTRAS_BACKOFF_S = 60.0
TRIES_AT_THE_END = 3
REPORT_PATIENCE_S = 30.0


class Tracker:
    """Follows a study's journal and repeats it in MLflow, in a thread of its own.

    What MLflow should hold is a function of the journal, so nothing is lost when MLflow is away or
    the driver is killed: the tracker remembers how far it was and goes on from there, with the same
    runs. It warns once of each reason why MLflow cannot be used, and raises nothing, ever.

    Start it when all packages that the driver needs are imported: it imports MLflow, and two
    threads that import the same large packages get in each other's way.

    Args:
        study: Where the study lives.
        uri: Where MLflow is.
        extras: What is sent beside the runs.
        machine: Tells how busy this machine is, which the study's run shows; None to leave it out.
    """

    def __init__(
        self, study: Location, uri: str, extras: Extras, machine: MachineMeter | None = None
    ) -> None:
        self._study = study
        self._uri = uri
        self._machine = machine
        self._extras_due = 0.0
        self._failed_extras: set[str] = set()
        self._thread = threading.Thread(target=self._run, name="phylon-tracker", daemon=True)
        self._awake = threading.Event()
        self._closing = threading.Event()
        self._patience_ends = math.inf
        self._status = "starting"
        self._complaints: set[str] = set()
        self._sender = Sender(study, uri, extras)

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
        self._patience_ends = time.monotonic() + timeout
        self._closing.set()
        self._awake.set()
        if self._thread.ident is not None:
            self._thread.join(timeout)
            self._patience_ends = -math.inf
        self._sender.close()
        missing = len(self._sender.backlog)
        lacks = [f"the last {missing} events"] if missing else self._sender.missing_extras()
        if lacks:
            log.warning(
                "MLflow at %s still lacks %s; `phylon sync %s` sends what is missing",
                public(self._uri), " and ".join(lacks), self._study,
            )  # fmt: skip
        return missing

    def _is_abandoned(self) -> bool:
        return time.monotonic() > self._patience_ends

    def _run(self) -> None:
        try:
            failures, is_over = 0, False
            while not is_over:
                try:
                    with self._sender.opened():
                        self._follow()
                    is_over = True
                except (StudyError, OSError) as error:
                    failures += 1
                    trouble = Trouble("study", brief(error), "let it come back")
                    is_over = not self._endure(trouble, failures)
        except Exception:
            self._status = "stopped by an error in phylon"
            log.exception("tracking of %s stopped; the search goes on without it", self._study)

    def _follow(self) -> None:
        failures, written = 0, 0
        while not self._is_abandoned():
            began, is_closing = time.thread_time(), self._closing.is_set()
            try:
                is_idle = self._step(is_closing=is_closing)
            except Exception as error:  # noqa: BLE001 - MLflow raises whatever its libraries do
                self._sender.disconnect()
                failures = failures + 1 if self._sender.written == written else 1
                written = self._sender.written
                if self._is_abandoned() or not self._endure(explain(error, self._uri), failures):
                    return
                continue
            failures = 0
            if is_idle and is_closing:  # nothing was written after that was asked for
                return
            if is_idle:
                self._awake.wait(POLL_S)
                self._awake.clear()
            else:  # Compute half of the time at most: the search needs this process too.
                self._closing.wait(max(REST_S, time.thread_time() - began))

    def _step(self, *, is_closing: bool) -> bool:
        """Send the next stretch of the journal; return whether there was none."""
        if self._machine:
            self._machine.sample(is_last=is_closing)
            self._sender.send_points(self._machine)
        is_idle = not self._sender.send_stretch(self._is_abandoned)
        is_last = self._sender.backlog.is_last
        if not is_idle:
            sent = self._sender.record.sent
            self._status = "in step" if is_last else f"catching up, {sent} events sent"
        # A search may never be idle; at its end the runs come first.
        if is_idle or (is_last and not is_closing):
            with suppress(RunsLostError):  # all is sent again from the next step on
                self._send_extras(is_closing=is_closing)
        return is_idle

    def _send_extras(self, *, is_closing: bool) -> None:
        """Upload what is missing beside the runs; a busy server is asked again only at the end."""
        is_early = not is_closing and time.monotonic() < self._extras_due
        if is_early or not self._sender.record.sent:
            return
        self._sender.runs()  # tells if MLflow is away, or has lost the study
        for name in self._sender.missing_extras():
            left = min(self._patience_ends - time.monotonic(), REPORT_PATIENCE_S)
            try:
                self._sender.send_extra(name, patience=left if is_closing else 0.0)
            except Exception as error:
                trouble = self._note_failure(name, error)
                if is_closing and trouble.kind == "busy":
                    raise
        if not is_closing:
            try:
                self._sender.refresh_report()
            except Exception as error:  # noqa: BLE001 - MLflow raises whatever its libraries do
                self._note_failure("the report", error)

    def _note_failure(self, name: str, error: Exception) -> Trouble:
        self._extras_due = time.monotonic() + EXTRAS_BACKOFF_S
        trouble = explain(error, self._uri)
        if trouble.kind != "away" and name not in self._failed_extras:
            self._failed_extras.add(name)
            log.warning("MLflow at %s did not take %s: %s", public(self._uri), name, trouble.reason)
        return trouble

    def _endure(self, trouble: Trouble, failures: int) -> bool:
        """Say what is wrong, and rest; return whether to go on.

        The study's end is held up only for what may soon be over, and not for long.
        """
        is_at_the_end = self._closing.is_set()
        self._complain(trouble)
        wait = trouble.pause(failures)
        until = time.monotonic() + wait
        if not is_at_the_end and not (self._closing.wait(wait) and trouble.wait):
            return True
        passes = trouble.kind in ("busy", "study")
        if is_at_the_end and (not passes or failures > TRIES_AT_THE_END):
            return False
        if until > self._patience_ends:
            return False
        time.sleep(max(until - time.monotonic(), 0.0))
        return True

    def _complain(self, trouble: Trouble) -> None:
        self._status = f"{len(self._sender.backlog)} events behind: {trouble.reason}"
        kind = trouble.kind if trouble.kind == "study" else trouble.cure
        if kind in self._complaints:
            return
        self._complaints.add(kind)
        if trouble.kind == "study":
            log.warning("what MLflow lacks is sent later: %s", trouble.reason)
        else:
            log.warning(
                "MLflow at %s cannot be used now: %s. The search goes on, and what is missing is "
                "sent later; %s",
                public(self._uri), trouble.reason, trouble.cure,
            )  # fmt: skip
