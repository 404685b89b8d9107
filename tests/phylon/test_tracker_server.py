"""The tracker and a server that is away, hangs, or dies: the search does not notice."""

import logging
import random
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from phylon.cluster.location import Location
from phylon.mlflow_record import RunRecord
from tests.phylon.postgres import postgres
from tests.phylon.tracking import (
    Server,
    assert_each_point_once,
    running,
    tracker_of,
    wait_until,
    without_report,
)

Story = Any  # see conftest.py
WARNING = "cannot be used now"


@pytest.fixture(autouse=True)
def _no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    without_report(monkeypatch.setattr)


@pytest.fixture
def story(tmp_path: Path, new_story: Callable[[Path], Story]) -> Story:
    return new_story(tmp_path / "study")


@pytest.mark.parametrize(
    "uri", ["http://127.0.0.1:9", "postgresql+psycopg2://me:secret@127.0.0.1:9/runs"]
)
def test_unreachable_server_is_warned_of_once_and_does_not_hold_up_the_end(
    uri: str, story: Story, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phylon.mlflow_trouble.MAX_BACKOFF_S", 0.1)
    story.create()
    tracker = tracker_of(story.study, uri)
    wait_until(lambda: "Connection refused" in tracker.status, "the tracker does not notice")
    story.run(0)
    time.sleep(1)
    began = time.monotonic()
    assert tracker.close(10) == story.events
    assert time.monotonic() - began < 10
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert [WARNING in text for text in warnings] == [True, False]
    assert f"the last {story.events} events; `phylon sync" in warnings[1]
    assert "secret" not in caplog.text


def test_server_that_never_answers_is_given_up_in_time(story: Story) -> None:
    story.create()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracker = tracker_of(story.study, f"http://127.0.0.1:{silent.getsockname()[1]}")
        time.sleep(0.5)
        began = time.monotonic()
        assert tracker.close(1) == 2
        assert time.monotonic() - began < 5


def test_server_that_is_away_at_first_and_dies_in_the_middle_ends_up_with_everything(
    story: Story,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("phylon.mlflow_trouble.MAX_BACKOFF_S", 0.5)
    server = Server(tmp_path)
    story.create()
    tracker = tracker_of(story.study, server.uri)
    with running(server):
        story.run(0, 1)
        first = story.events
        wait_until(
            lambda: RunRecord.of(Location(story.study), server.uri).sent == first, "nothing arrives"
        )
        story.run(*range(2, 30))
        tracker.wake()
        time.sleep(0.5)  # It is in the middle of them.
        server.kill()
        story.run(30)
        server.start()
        story.run(31)
        story.finish()
        server.wait()
        assert tracker.close(60) == 0
        assert_each_point_once("study", 32, story.epochs, MlflowClient(server.uri))
    warnings = [r for r in caplog.records if WARNING in r.getMessage()]
    assert len(warnings) == 1  # though it was away twice


@pytest.fixture(params=["sqlite", "postgres"])
def lasting_server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Server]:
    """A server whose database outlives it."""
    if request.param == "sqlite":
        yield Server(tmp_path)
        return
    with postgres() as store:
        yield Server(tmp_path, store)


@pytest.mark.slow
@pytest.mark.timeout(900)  # a server starts six times
@pytest.mark.parametrize("seed", range(1))
def test_server_that_is_killed_at_random_moments_ends_up_with_everything_once(
    story: Story, lasting_server: Server, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The study goes on meanwhile; each time, its candidates are somewhere between two calls."""
    monkeypatch.setattr("phylon.mlflow_trouble.MAX_BACKOFF_S", 0.5)
    monkeypatch.setattr("phylon.tracker.REST_S", 0.05)
    monkeypatch.setattr("phylon.mlflow_backlog.STRETCH", 40)
    rng = random.Random(seed)
    server = lasting_server
    story.create()
    tracker = tracker_of(story.study, server.uri)
    with running(server):
        record = RunRecord.of(Location(story.study), server.uri)
        for kill in range(5):
            story.run(*range(12 * kill, 12 * kill + 12))
            tracker.wake()
            known = len(record.runs)
            enough = known + rng.randint(1, 8)

            def is_under_way(enough: int = enough) -> bool:
                return len(RunRecord.of(Location(story.study), server.uri).runs) >= enough

            wait_until(is_under_way, "nothing arrives")
            time.sleep(rng.uniform(0.0, 0.2))
            server.kill()
            record = RunRecord.of(Location(story.study), server.uri)
            time.sleep(rng.uniform(0.0, 1.0))
            server.start()
            server.wait()
        story.finish()
        assert tracker.close(120) == 0
        assert_each_point_once("study", 60, story.epochs, MlflowClient(server.uri))
