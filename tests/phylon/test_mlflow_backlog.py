"""What MLflow lacks of a journal, and what is made of errors on the way there."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mlflow.exceptions import MlflowException

from phylon import events
from phylon.cluster.location import Location
from phylon.mlflow_backlog import Backlog
from phylon.mlflow_record import RunRecord
from phylon.mlflow_trouble import Trouble, explain
from phylon.segments import EventCounter

Story = Any  # see conftest.py


@pytest.fixture
def story(tmp_path: Path, new_story: Callable[[Path], Story]) -> Story:
    story = new_story(tmp_path / "study")
    story.create()
    return story


def test_events_that_cannot_be_planned_are_not_passed_over(story: Story) -> None:
    story.tell(events.Opened, host="a", pid=1, versions={}, budget={}, machine={"cpu": "8086"})
    backlog = Backlog(Location(story.study), RunRecord.of(Location(story.study), "sqlite:///a.db"))
    for _ in range(2):
        with pytest.raises(KeyError, match="cores"):
            backlog.next_plan()


def test_events_are_counted_while_they_become_more(story: Story) -> None:
    counter = EventCounter(Location(story.study) / "journal")
    for number in range(3):
        story.run(number)
        assert counter.count() == story.events
    (segment,) = (story.study / "journal").iterdir()
    whole = segment.read_bytes()
    segment.write_bytes(whole + b"half an event")
    assert counter.count() == story.events
    segment.write_bytes(whole + b"one that took its place, and is longer\n")
    assert counter.count() == story.events + 1


def test_pause_grows_to_ten_seconds_however_long_a_server_is_away() -> None:
    trouble = Trouble("away", "", "")
    assert [trouble.pause(failures) for failures in (1, 2, 3, 5, 5000)] == [1, 2, 4, 10, 10]
    assert Trouble("busy", "", "", wait=60.0).pause(1) == 60


def test_password_is_in_no_reason() -> None:
    said = "API request to http://me:secret@host:5000/api/x failed with timeout exception (t)"
    trouble = explain(MlflowException(said), "http://me:secret@host:5000/")
    assert trouble.kind == "away"
    assert "http://host:5000/api" in trouble.reason
    assert "secret" not in trouble.reason
