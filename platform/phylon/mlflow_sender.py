"""Brings the MLflow at one URI in step with a study's journal, a stretch at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from phylon.cluster.location import Location
from phylon.errors import JournalError
from phylon.mlflow_backlog import Backlog
from phylon.mlflow_extras import Extras
from phylon.mlflow_machine import MachineMeter
from phylon.mlflow_record import STUDY, RunRecord
from phylon.mlflow_runs import RunsLostError, StudyRuns
from phylon.mlflow_writes import Plan, RunWrites


class Sender:
    """Sends what MLflow lacks. Any call may fail, and be repeated; use it while it is `opened`.

    Args:
        study: Where the study lives.
        uri: Where MLflow is.
        extras: What is sent beside the runs.

    Attributes:
        record: What is in MLflow.
        backlog: What is not.
        written: How many runs were brought up to date, each time counted.
    """

    def __init__(self, study: Location, uri: str, extras: Extras) -> None:
        self._study = study
        self._uri = uri
        self._extras = extras
        self._runs: StudyRuns | None = None
        self.record = RunRecord.of(study, uri)
        self.backlog = Backlog(study, self.record)
        self.written = 0

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Keep every other process from sending the same.

        Raises:
            StudyError: A living process does.
            OSError: The study's storage cannot be used.
        """
        with self.record.held():
            self.backlog.rewind()
            yield

    def send_stretch(self, is_abandoned: Callable[[], bool] = lambda: False) -> bool:
        """Send the next stretch of the journal; return whether there was any.

        Args:
            is_abandoned: Whether nobody waits for it any more.

        Raises:
            JournalError: The journal is damaged.
            Exception: MLflow cannot be reached, or refuses; of whatever type its client raises.
        """
        plan = self.backlog.next_plan()
        if not plan:
            return False
        try:
            self._write(plan, is_abandoned)
        except RunsLostError:
            self._lose_runs()
        else:
            self.backlog.mark_sent()
        return True

    def _lose_runs(self) -> None:
        """Begin again: MLflow has forgotten the study."""
        self._runs = None
        self.backlog.rewind()

    def _write(self, plan: Plan, is_abandoned: Callable[[], bool]) -> None:
        """Write to runs; what is written leaves the plan, and is not sent again."""
        runs = self.runs()
        for candidate_id, writes in plan.items():
            if is_abandoned():
                raise TimeoutError
            runs.begin(candidate_id, writes)  # notes link to runs of the same stretch
        for candidate_id in list(plan):
            if is_abandoned():
                raise TimeoutError
            runs.write(candidate_id, plan[candidate_id])
            del plan[candidate_id]
            self.written += 1

    def send_points(self, machine: MachineMeter) -> None:
        """Send what was measured of this machine to the study's run, if there is one already.

        Raises:
            Exception: As for `send_stretch`.
        """
        created = self.backlog.projection.created
        if created is None or STUDY not in self.record.runs:
            return
        taken = machine.points(created.time)
        try:
            if taken:
                self.runs().write(STUDY, RunWrites(metrics=taken))
                machine.forget()
        except RunsLostError:
            self._lose_runs()

    def missing_extras(self) -> list[str]:
        """Return the names of what should be beside the runs by now and is not."""
        return self._extras.missing(self.backlog, self.record)

    def send_extra(self, name: str, patience: float = 0.0) -> bool:
        """Send one of them; return whether it is there, or else is still in the making.

        Args:
            name: Which.
            patience: Seconds to wait for what is in the making.

        Raises:
            RunsLostError: MLflow no longer has the study's run.
            Exception: MLflow, its artifact store, or torch's export does not take it.
        """
        is_there = self._extras.send(name, self.runs(), self.backlog, patience)
        if is_there:
            self.record.note_done(name)
        return is_there

    def refresh_report(self) -> None:
        """Send a report if one is due, and is built; never waits for it.

        Raises:
            RunsLostError: MLflow no longer has the study's run.
            Exception: MLflow does not take it, or it could not be built.
        """
        if self.record.sent:
            self._extras.refresh(self.runs(), self.backlog.ended)

    def runs(self) -> StudyRuns:
        """Return the runs in MLflow; connect to it if need be.

        Raises:
            RunsLostError: The study was in MLflow, and is not any more; the backlog begins anew.
            Exception: As for `send_stretch`.
        """
        if self._runs is None:
            created = self.backlog.projection.created
            if created is None:
                raise JournalError(f"the journal of {self._study} does not begin with `Created`")
            try:
                self._runs = StudyRuns(self._uri, self.record, created)
            except RunsLostError:
                self._lose_runs()
                raise
        return self._runs

    def close(self) -> None:
        """End what is in the making; the thread that sends may be another one."""
        self._extras.close()

    def disconnect(self) -> None:
        """Forget the connection: the next call makes a new one."""
        self._runs = None
