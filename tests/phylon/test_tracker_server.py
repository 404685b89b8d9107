"""The tracker and a server that is away, hangs, or dies: the search does not notice."""

import logging
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from phylon.cluster.location import Location
from phylon.mlflow_record import RunRecord
from phylon.tracker import Tracker

Story = Any  # see conftest.py
WARNING = "cannot be used now"


@pytest.fixture
def story(tmp_path: Path, new_story: Callable[[Path], Story]) -> Story:
    return new_story(tmp_path / "study")


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def test_unreachable_server_is_warned_of_once_and_does_not_hold_up_the_end(
    story: Story, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("phylon.tracker.MAX_BACKOFF_S", 0.1)
    story.create()
    tracker = Tracker(Location(story.study), "http://127.0.0.1:9")
    tracker.start()
    wait_until(lambda: "Connection refused" in tracker.status, "the tracker does not notice")
    story.run(0)
    time.sleep(1)
    began = time.monotonic()
    assert tracker.close(10) == story.events
    assert time.monotonic() - began < 10
    warnings = [r.getMessage() for r in caplog.records if r.levelno >= logging.WARNING]
    assert [WARNING in text for text in warnings] == [True, False]
    assert f"the last {story.events} events" in warnings[1]


def test_server_that_never_answers_is_given_up_in_time(story: Story) -> None:
    story.create()
    with socket.create_server(("127.0.0.1", 0)) as silent:
        tracker = Tracker(Location(story.study), f"http://127.0.0.1:{silent.getsockname()[1]}")
        tracker.start()
        time.sleep(0.5)
        began = time.monotonic()
        assert tracker.close(1) == 2
        assert time.monotonic() - began < 5


class Server:
    """An MLflow server on a port and store that stay the same from start to start."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self._port = probe.getsockname()[1]
        self.uri = f"http://127.0.0.1:{self._port}"
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        options = {
            "--backend-store-uri": f"sqlite:///{self._folder}/server.db",
            "--artifacts-destination": f"{self._folder}/artifacts",
            "--host": "127.0.0.1",
            "--port": str(self._port),
            "--workers": "1",
        }
        arguments = [word for option in options.items() for word in option]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "mlflow", "server", *arguments],
            env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=1):
                return True
        except OSError:
            return False

    def kill(self) -> None:
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._process = None


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path)
    yield server
    server.kill()


def test_server_that_is_away_at_first_and_dies_in_the_middle_ends_up_with_everything(
    story: Story,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("phylon.tracker.MAX_BACKOFF_S", 0.5)
    story.create()
    tracker = Tracker(Location(story.study), server.uri)
    tracker.start()
    server.start()
    story.run(0, 1)
    wait_until(server.is_up, "the server does not start")
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
    wait_until(server.is_up, "the server does not start again")
    assert tracker.close(60) == 0

    client = MlflowClient(server.uri)
    experiment = client.get_experiment_by_name("study")
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.status for run in runs} == {"FINISHED"}
    candidates = [run for run in runs if run.data.tags["phylon.kind"] == "candidate"]
    assert len(runs) == len(candidates) + 1
    assert sorted(int(run.data.tags["phylon.id"]) for run in candidates) == list(range(32))
    for run in candidates[::8]:
        points = client.get_metric_history(run.info.run_id, "accuracy")
        assert sorted(point.step for point in points) == list(range(1, story.epochs + 1))
    warnings = [r for r in caplog.records if WARNING in r.getMessage()]
    assert 1 <= len(warnings) <= 2  # once for each time that the server was away
