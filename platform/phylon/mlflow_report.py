"""The study's report as an artifact in MLflow: built beside the search, replaced as it grows."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from phylon.cluster.location import Location
from phylon.errors import StudyError
from phylon.mlflow_runs import StudyRuns

REPORT = "report.html"
GROWTH = 1.5
"""A new report is due when so many times as many candidates have ended as at the last one."""
FIRST_S = 60.0
"""Seconds before the first report, so that short studies have one only, at their end."""
SHARE = 0.05
"""Of the time that building reports may take at most."""
NICENESS = 19  # below Ray's workers, which have 15


class ReportArtifact:
    """Has `phylon report` build a report in a process of its own, and sends it to MLflow.

    Args:
        study: Where the study lives.
    """

    def __init__(self, study: Location) -> None:
        self._study = study
        self._folder = tempfile.TemporaryDirectory(prefix="phylon-report-")
        self._said = Path(self._folder.name) / "said"
        self._process: subprocess.Popen[bytes] | None = None
        self._shows = 0
        self._begun = 0.0
        self._rests_until = time.monotonic() + FIRST_S

    def is_due(self, ended: int) -> bool:
        """Return whether a report would show much more than the last one, or is being built.

        Args:
            ended: How many candidates have ended.
        """
        if self._process is not None:
            return True
        has_rested = time.monotonic() >= self._rests_until
        return has_rested and ended >= max(1, GROWTH * self._shows)

    def send(self, runs: StudyRuns, ended: int, patience: float) -> bool:
        """Begin to build a report, or send the one that was begun; return whether it was sent.

        Args:
            runs: Where to.
            ended: How many candidates have ended.
            patience: Seconds to wait for it, at most.

        Raises:
            StudyError: It could not be built.
            Exception: MLflow or its artifact store does not take it.
        """
        if self._process is None:
            self._process, self._shows = self._build(), ended
            self._begun = time.monotonic()
        try:
            code = self._process.wait(max(patience, 0.0))
        except subprocess.TimeoutExpired:
            return False
        self._process = None
        now = time.monotonic()
        self._rests_until = now + (now - self._begun) / SHARE
        if code:
            said = self._said.read_text(errors="replace").strip().rpartition("\n")[2]
            raise StudyError(f"`phylon report` failed: {said or f'exit code {code}'}")
        runs.client.log_artifact(runs.study, str(self._file))
        return True

    def drop(self) -> None:
        """End what is being built: the study has gone on."""
        if self._process:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Leave nothing behind."""
        self.drop()
        self._folder.cleanup()

    @property
    def _file(self) -> Path:
        return Path(self._folder.name) / REPORT

    def _build(self) -> subprocess.Popen[bytes]:
        self._file.unlink(missing_ok=True)
        command = [sys.executable, "-m", "phylon", "report", str(self._study)]
        with self._said.open("wb") as said:
            process = subprocess.Popen(
                [*command, "--out", str(self._file)],
                env={**os.environ, "OMP_NUM_THREADS": "1"},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=said,
                start_new_session=True,
            )
        with suppress(OSError):  # it may have ended
            os.setpriority(os.PRIO_PROCESS, process.pid, NICENESS)
        return process
