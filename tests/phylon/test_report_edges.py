"""Reports of studies that hold little, or numbers that are none."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from phylon import events
from phylon.cluster.location import Location
from phylon.history import read_history
from phylon.report import build_report
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from tests.phylon.test_report import Page

Story = Any  # see conftest.py
NAN, INF = math.nan, math.inf
ODD = (NAN, INF, -INF, 1e300, -1e300, 0, 7)


@pytest.fixture
def story(tmp_path: Path, new_story: Callable[[Path], Story]) -> Story:
    return new_story(tmp_path / "study")


def page_of(story: Story) -> Page:
    page = Page(build_report(read_history(Location(story.study))))
    assert page.every("section")
    for figure in page.figures():
        json.dumps(figure, allow_nan=False)  # a browser reads nothing else
    return page


def measure(story: Story, number: int, end: dict[str, float]) -> None:
    for step in (1, 2):
        measured = Measurement(step, end, 0.5)
        story.tell(events.Reported, candidate_id=number, measurement=measured)
    story.tell(events.Completed, candidate_id=number, metrics=end, seconds=1.0, node="n1")


@pytest.mark.parametrize("count", [1, 2, 3])
def test_a_study_that_runs_and_has_hardly_begun(story: Story, count: int) -> None:
    story.create()
    for number in range(count):
        story.run(number)
    story.propose(count)
    text = page_of(story).text
    assert f"{count}none failed, 1 open" in text
    assert "Which decisions mattered" in text
    assert "Too little to tell" in text


def test_metrics_that_are_no_numbers_or_huge_or_whole(story: Story) -> None:
    story.create(objectives=[{"metric": "y", "direction": "minimize"}])
    for number, odd in enumerate(ODD):
        story.propose(number)
        measure(story, number, {"y": number, "loss": odd, "params": odd, "also": odd})
    story.propose(len(ODD))
    reported = Measurement(1, {"y": NAN}, 0.5)
    story.tell(events.Reported, candidate_id=len(ODD), measurement=reported)
    story.tell(events.Failed, candidate_id=len(ODD), reason="y is nan", seconds=1.0, node="n1")
    text = page_of(story).text
    assert "Best y0.0000" in text
    assert "y is nan" in text


def test_objectives_that_are_huge(story: Story) -> None:
    story.create(objectives=[{"metric": name, "direction": "minimize"} for name in ("a", "b")])
    for number in range(8):
        story.propose(number)
        measure(story, number, {"a": 10.0 ** (40 * number - 100), "b": -float(number)})
    assert "Pareto front" in page_of(story).text


def test_a_study_that_only_scored_with_shared_weights(story: Story) -> None:
    story.create()
    weights = Candidate(0, Architecture({}), phase="supernet")
    story.tell(events.Proposed, candidate=weights)
    measure(story, 0, {"accuracy": NAN})
    for number in range(1, 5):
        net = Architecture({"lr": number})
        scored = Candidate(number, net, operator="sample", epochs=0, inherit_from=0)
        story.tell(events.Proposed, candidate=scored)
        metrics = {"accuracy": number / 10}
        story.tell(events.Completed, candidate_id=number, metrics=metrics, seconds=1.0, node="n1")
    text = page_of(story).text
    assert "with shared weights only" in text
    assert "candidate 4" in text
