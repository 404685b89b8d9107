"""MLflow servers that are slow, busy, broken or strict: the search goes on, all gets there once."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from phylon import Study
from tests.phylon.toy import journal, run
from tests.phylon.tracking import (
    Answer,
    Proxy,
    Server,
    assert_each_point_once,
    running,
    runs_of,
    tracker_of,
    wait_until,
    without_report,
)

Story = Any  # see conftest.py


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with running(Server(tmp_path_factory.mktemp("server"))) as server:
        yield server


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    with Proxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def story(
    tmp_path: Path, request: pytest.FixtureRequest, new_story: Callable[[Path], Story]
) -> Story:
    return new_story(tmp_path / request.node.name[5:30])


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("phylon.mlflow_trouble.MAX_BACKOFF_S", 0.1)
    without_report(monkeypatch.setattr)


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


def test_a_slow_server_does_not_hold_up_the_search(
    proxy: Proxy,
    server: Server,
    new_study: Callable[..., Study],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each request takes 2 s, and each candidate needs three of them at least."""
    monkeypatch.setattr("phylon.session.PATIENCE_AT_THE_END_S", 1.0)
    proxy.delay = 2.0
    settings = {"name": "slow", "budget": {"candidates": 40}, "tracking": {"uri": proxy.uri}}
    study = new_study(**settings)
    run(study)
    events = journal(study)
    assert events[-1].time - events[0].time < 60  # 240 s of requests
    proxy.delay = 0.0
    monkeypatch.setattr("phylon.session.PATIENCE_AT_THE_END_S", 120.0)
    run(study, resume=True)
    _, children = runs_of("slow", MlflowClient(server.uri))
    assert {run.info.status for run in children.values()} == {"FINISHED"}
    assert sorted(children) == list(range(40))


def test_failing_answers_are_made_up_for_and_warned_of_once(
    proxy: Proxy, server: Server, story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    """A quarter fails. Half of these come after the server did what it was asked."""
    proxy.answer = lambda number: (500, {}, b"oops") if number % 8 == 2 else None
    proxy.spoils = lambda number: number % 8 == 6
    story.create()
    tracker = tracker_of(story.study, proxy.uri)
    story.run(*range(8))
    story.finish()
    wait_until(lambda: tracker.status == "in step", "the server is given up")
    proxy.answer, proxy.spoils = lambda _: None, lambda _: False
    assert tracker.close(60) == 0
    assert_each_point_once(story.study.name, 8, story.epochs, MlflowClient(server.uri))
    (said,) = [text for text in warnings_in(caplog) if "cannot be used now" in text]
    assert "the server answers 500" in said
    assert "look into its log" in said


def test_what_a_server_fails_to_take_is_sent_again_whatever_users_have_set_for_their_trainings(
    proxy: Proxy, server: Server, story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_ENABLE_ASYNC_LOGGING", "true")

    def answer(number: int) -> Answer | None:
        is_batch = "log-batch" in proxy.requests[number][1]
        return (500, {}, b"oops") if is_batch and number < 16 else None

    proxy.answer = answer
    story.create()
    story.run(*range(4))
    story.finish()
    tracker = tracker_of(story.study, proxy.uri)
    wait_until(lambda: len(proxy.requests) > 16, "the server is given up")
    assert tracker.close(60) == 0
    assert_each_point_once(story.study.name, 4, story.epochs, MlflowClient(server.uri))


def test_a_server_that_wants_to_be_left_alone_is_left_alone(
    proxy: Proxy, server: Server, story: Story, caplog: pytest.LogCaptureFixture
) -> None:
    """Its answer is 429 until the time is over that it names in `Retry-After`."""
    wait = 3
    calm: list[float] = []

    def answer(number: int) -> Answer | None:
        if number < 3 or (calm and time.monotonic() > calm[0] + wait):
            return None
        if not calm:
            calm.append(time.monotonic())
        return 429, {"Retry-After": str(wait)}, b"too many requests"

    proxy.answer = answer
    story.create()
    story.run(0, 1)
    story.finish()
    tracker = tracker_of(story.study, proxy.uri)
    assert tracker.close(60) == 0
    assert_each_point_once(story.study.name, 2, story.epochs, MlflowClient(server.uri))
    refused = [at for at, _ in proxy.requests[3:] if at <= calm[0] + wait]
    assert len(refused) <= 2  # a request, and the question how long to wait
    (said,) = [text for text in warnings_in(caplog) if "cannot be used now" in text]
    assert "the server answers 429" in said


@pytest.mark.parametrize(
    ("strictness", "cure"),
    [
        ("host", "--allowed-hosts"),
        ("nobody", "MLFLOW_TRACKING_USERNAME"),
        ("permission", "EDIT"),
    ],
)
def test_a_server_that_refuses_is_told_of_once_with_the_cure(
    proxy: Proxy,
    server: Server,
    story: Story,
    strictness: str,
    cure: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    if strictness == "host":
        proxy.host = "mlflow.example.org:5000"
    elif strictness == "nobody":
        proxy.answer = lambda _: (401, {"WWW-Authenticate": "Basic"}, b"You are not authenticated.")
    else:
        proxy.answer = lambda _: (403, {}, b"Permission denied")
    story.create()
    tracker = tracker_of(story.study, proxy.uri)
    wait_until(lambda: len(proxy.requests) >= 3, "it is given up")
    assert "behind" in tracker.status
    (said,) = warnings_in(caplog)
    assert "cannot be used now" in said
    assert cure in said
    proxy.host, proxy.answer = "", lambda _: None
    story.run(0)
    story.finish()
    wait_until(lambda: tracker.status == "in step", "it is not tried again")
    assert tracker.close(60) == 0
    assert_each_point_once(story.study.name, 1, story.epochs, MlflowClient(server.uri))
