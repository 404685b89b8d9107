"""Candidates in this process: stopped between two measurements, and honest about failures."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import pytest

from phylon.cluster import SerialExecutor
from phylon.cluster.location import Location
from phylon.errors import JournalError
from phylon.search import Architecture, Candidate, Context, Measurement


class Steps:
    """Reports ten times, whatever is raised meanwhile."""

    metrics = ("y",)

    def evaluate(self, _candidate: Candidate, context: Context) -> None:
        for step in range(1, 11):
            with suppress(Exception):
                context.report(Measurement(step, {"y": 1.0}, 0.0))


class Exits:
    """Ends the program; so it does with a thread of a worker, which is silent about it."""

    metrics = ("y",)

    def evaluate(self, _candidate: Candidate, _context: Context) -> None:
        raise SystemExit(7)


class Recorder:
    """A study of two candidates that notes what it is told."""

    def __init__(self, *, stop_at: int = 0, break_at: int = 0) -> None:
        self.stopping = False
        self.finished = False
        self.told: list[str] = []
        self._stop_at, self._break_at = stop_at, break_at
        self._left = [Candidate(number, Architecture({})) for number in (1, 0)]

    def propose(self) -> Candidate | None:
        return self._left.pop() if self._left else None

    def observe(self, candidate_id: int, measurement: Measurement) -> None:
        if measurement.step == self._break_at:
            raise JournalError("the storage is full")
        self.stopping = measurement.step == self._stop_at
        self.told.append(f"{candidate_id}.{measurement.step}")

    def complete(self, candidate_id: int, _usage: object) -> None:
        self.told.append(f"{candidate_id} completed")

    def fail(self, candidate_id: int, reason: str, _usage: object) -> None:
        self.told.append(f"{candidate_id} failed: {reason}")

    def outgrow(self, candidate_id: int, _usage: object) -> None:
        self.told.append(f"{candidate_id} outgrew")

    def lose(self, running: int, _waiting: object, reason: str, *, innocent: bool = False) -> None:
        self.told.append(f"{running} lost: {reason}, innocent: {innocent}")

    def flush(self) -> None:
        """Nothing: nothing is written."""


def test_a_stop_is_noticed_at_the_next_measurement(tmp_path: Path) -> None:
    study = Recorder(stop_at=3)
    SerialExecutor(Location(tmp_path)).run(study, Steps())
    assert study.told == ["0.1", "0.2", "0.3"]


def test_a_storage_that_fails_is_no_failure_of_the_candidate(tmp_path: Path) -> None:
    study = Recorder(break_at=2)
    with pytest.raises(JournalError, match="the storage is full"):
        SerialExecutor(Location(tmp_path)).run(study, Steps())
    assert study.told == ["0.1"]


def test_candidates_run_one_after_another(tmp_path: Path) -> None:
    study = Recorder()
    SerialExecutor(Location(tmp_path)).run(study, Steps())
    assert study.told == [
        *(f"0.{step}" for step in range(1, 11)), "0 completed",
        *(f"1.{step}" for step in range(1, 11)), "1 completed",
    ]  # fmt: skip


def test_a_candidate_that_ends_the_program_fails_alone(tmp_path: Path) -> None:
    study = Recorder()
    SerialExecutor(Location(tmp_path)).run(study, Exits())
    assert study.told == ["0 failed: SystemExit: 7", "1 failed: SystemExit: 7"]
