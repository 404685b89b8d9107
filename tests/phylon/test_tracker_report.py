"""The report on the study's run: replaced as the study grows, and never in the way."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from phylon.mlflow_client import default_uri
from phylon.mlflow_report import ReportArtifact
from tests.phylon.tracking import runs_of, tracker_of, wait_until, without_report

Story = Any  # see conftest.py


@pytest.fixture
def story(tmp_path: Path, new_story: Callable[[Path], Story]) -> Story:
    return new_story(tmp_path / "study")


def train(story: Story, *ids: int) -> None:
    for number in ids:
        story.propose(number)
        story.train(number)
        story.complete(number)


def test_report_is_replaced_while_the_study_grows_and_at_its_end(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phylon.mlflow_report.FIRST_S", 0.0)
    monkeypatch.setattr("phylon.mlflow_report.SHARE", 1.0)
    uri = default_uri(tmp_path)
    client = MlflowClient(uri)
    folder = tmp_path / "mlflow-artifacts"
    story.create()
    train(story, 0)
    tracker = tracker_of(story.study, uri)
    wait_until(lambda: any(folder.rglob("report.html")), "there is no report")
    (file,) = folder.rglob("report.html")
    first = file.stat().st_mtime_ns
    train(story, 1, 2)
    tracker.wake()
    wait_until(lambda: file.stat().st_mtime_ns > first, "it is not replaced")
    train(story, 3)
    story.finish()
    assert tracker.close(120) == 0
    parent, children = runs_of("study", client)
    assert len(children) == 4
    (artifact,) = [
        each for each in client.list_artifacts(parent.info.run_id) if each.path == "report.html"
    ]
    assert artifact.file_size == file.stat().st_size
    assert "the budget is spent" in file.read_text(encoding="utf-8")


def test_study_that_ends_while_a_report_is_sent_gets_there_whole(
    story: Story, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_sending, may_go_on = threading.Event(), threading.Event()
    without_report(monkeypatch.setattr)
    build = ReportArtifact._build

    def slow(self: ReportArtifact) -> Any:
        is_sending.set()
        assert may_go_on.wait(60)
        return build(self)

    monkeypatch.setattr("phylon.mlflow_report.FIRST_S", 0.0)
    monkeypatch.setattr(ReportArtifact, "_build", slow)
    story.create()
    train(story, 0)
    tracker = tracker_of(story.study, default_uri(tmp_path))
    assert is_sending.wait(60)
    train(story, 1)
    story.finish()
    threading.Timer(0.5, may_go_on.set).start()  # by then it was asked to close
    assert tracker.close(60) == 0


def test_report_that_cannot_be_built_is_told_of_once_and_harms_nothing(
    story: Story,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("sys.executable", "false")
    monkeypatch.setattr("phylon.tracker.EXTRAS_BACKOFF_S", 0.1)
    monkeypatch.setattr("phylon.mlflow_report.FIRST_S", 0.0)
    uri = default_uri(tmp_path)
    story.create()
    tracker = tracker_of(story.study, uri)
    for number in range(3):
        train(story, number)
        tracker.wake()
        wait_until(lambda: tracker.status == "in step", "the tracker does not go on")
    story.finish()
    assert tracker.close(120) == 0
    parent, children = runs_of("study", MlflowClient(uri))
    assert {run.info.status for run in (parent, *children.values())} == {"FINISHED"}
    said = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
    about = [text for text in said if "did not take the report" in text]
    assert len(about) == len(set(about)) <= 2  # the one during the search, the last one
    assert "still lacks the report" in said[-1]
