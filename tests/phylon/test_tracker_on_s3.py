"""MLflow follows a study in an object store, where what is known of its runs is written late."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from phylon.cluster.location import Location
from phylon.mlflow_client import default_uri
from phylon.mlflow_record import RunRecord
from phylon.tracker import run_ids
from tests.cluster.store import Gate, Store
from tests.phylon.tracking import tracker_of

Story = Any  # see conftest.py


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def assert_each_once(story: Story, count: int, uri: str) -> None:
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(story.study.name)
    assert experiment
    runs = client.search_runs([experiment.experiment_id])
    tags = [run.data.tags for run in runs]
    numbers = [int(each["phylon.id"]) for each in tags if each["phylon.kind"] != "study"]
    assert sorted(numbers) == list(range(count))
    assert len(runs) == count + 1
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_runs_that_ended_before_they_were_on_record_are_not_made_again(
    store: Store, tmp_path: Path, new_story: Callable[[Location], Story]
) -> None:
    """The driver's host dies before the record was written again."""
    story, uri = new_story(store.location()), default_uri(tmp_path)
    story.create()
    assert tracker_of(story.study, uri).close(120) == 0
    (record,) = (n for n in (story.study / "tracking").names() if n.endswith(".jsonl"))
    old = (story.study / "tracking" / record).read()
    story.run(0, 1, 2)
    assert tracker_of(story.study, uri).close(120) == 0
    before = run_ids(story.study)
    (story.study / "tracking" / record).write(old)
    assert not run_ids(story.study)
    story.run(3)
    story.finish()
    assert tracker_of(story.study, uri).close(120) == 0
    assert_each_once(story, 4, uri)
    assert before.items() <= run_ids(story.study).items()


def test_a_storage_that_is_away_for_a_while_does_not_end_the_tracking(
    store: Store,
    tmp_path: Path,
    new_story: Callable[[Location], Story],
    caplog: pytest.LogCaptureFixture,
) -> None:
    uri = default_uri(tmp_path)
    with Gate(store.port) as gate:
        story, study = new_story(store.location()), store.location(port=gate.port)
        story.create()
        tracker = tracker_of(study, uri)
        wait_for(lambda: tracker.status == "in step")
        gate.shut()
        tracker.wake()
        wait_for(lambda: "behind" in tracker.status)
        story.run(0, 1)
        story.finish()
        gate.open()
        assert tracker.close(120) == 0
    assert_each_once(story, 2, uri)
    assert RunRecord.of(store.location(), uri).sent == story.events
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith("what MLflow lacks is sent later: the journal")


def test_a_storage_that_does_not_come_back_does_not_hold_up_the_end(
    store: Store,
    tmp_path: Path,
    new_story: Callable[[Location], Story],
) -> None:
    with Gate(store.port) as gate:
        story, study = new_story(store.location()), store.location(port=gate.port)
        story.create()
        tracker = tracker_of(study, default_uri(tmp_path))
        wait_for(lambda: tracker.status == "in step")
        gate.shut()
        began = time.monotonic()
        tracker.close(10)
        assert time.monotonic() - began < 60
