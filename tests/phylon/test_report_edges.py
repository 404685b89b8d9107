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
from phylon.history import History, read_history
from phylon.report import build_report
from phylon.report_candidates import details, number_format, percent
from phylon.report_candidates import number as written
from phylon.report_decisions import decisions_section
from phylon.report_progress import progress_section
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate, Measurement
from tests.phylon.supernet_story import SupernetStory, state_of
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


@pytest.mark.parametrize(
    ("value", "told"),
    [(NAN, "nan"), (INF, "inf"), (1e300, "1e+300"), (2.5e-5, "2.5e-05"), (12_345.6, "12,346")],
)
def test_any_number_can_be_written(value: float, told: str) -> None:
    assert written(value) == told


def test_shares_and_small_numbers_are_not_rounded_to_nothing() -> None:
    assert [percent(share) for share in (0.0, 0.004, -0.004, 0.25, 1.0)] == [
        "0 %", "0.4 %", "-0.4 %", "25 %", "100 %",
    ]  # fmt: skip
    assert number_format([3e-5, 1e-5]) == "0.00000000"  # four digits that count
    assert number_format([NAN, 0.5, -2.0]) == "0.0000"


def test_hovering_tells_only_what_the_study_measures(story: Story) -> None:
    story.create()
    story.run(0)
    state = read_history(Location(story.study)).state
    _, tooltips = details(state, list(state.records.values()))
    assert [label for label, _ in tooltips][:3] == ["candidate", "accuracy", "loss"]
    assert "params" not in dict(tooltips)


def progress_of(story: Story, *values: float) -> tuple[str, Any]:
    """Return the words above the first figure of a study with these results, and that figure."""
    for number, value in enumerate(values):
        story.propose(number)
        measure(story, number, {"accuracy": value})
    section = progress_section(read_history(Location(story.study)))
    assert section is not None
    return str(section.parts[0]), section.parts[2].children[0]  # type: ignore[union-attr]


def test_results_that_are_mostly_the_same_hide_none_of_the_others(story: Story) -> None:
    story.create()
    words, plot = progress_of(story, *[0.9] * 15, *[0.5] * 3)
    assert "far worse" not in words
    assert plot.y_range.start < 0.5 < 0.9 < plot.y_range.end


def test_results_that_are_far_worse_than_most_are_counted(story: Story) -> None:
    story.create()
    words, plot = progress_of(story, *(0.9 + n / 1000 for n in range(15)), 0.1)
    assert " 1 far worse ones are outside the frame" in words
    assert 0.1 < plot.y_range.start < 0.9


def test_where_nothing_meets_the_constraints_there_is_no_best_so_far(story: Story) -> None:
    story.create(constraints=[{"metric": "accuracy", "at_least": 2.0}])
    words, _ = progress_of(story, 0.9, 0.8)
    assert "There is no best so far" in words
    text = page_of(story).text
    assert "best so far (" not in text
    assert "misses a constraint (x)" in text
    assert "missesaccuracy at least 2" in text


def shared(*parts: list[events.Event], folder: Path) -> History:
    told = [event for part in parts for event in part]
    created = next(event for event in told if isinstance(event, events.Created))
    drivers = [event for event in told if isinstance(event, events.Opened)]
    return History(Location(folder), state_of(told), {}, drivers, [], created)


def test_shared_weights_alone_are_no_network(tmp_path: Path) -> None:
    story = SupernetStory()
    page = Page(build_report(shared(story.begin(), story.supernet(), folder=tmp_path)))
    assert "No candidate of the search has completed yet" in page.text


def test_scores_with_weights_that_were_given_up_decide_nothing(tmp_path: Path) -> None:
    story = SupernetStory()
    given_up = [story.ranked(-0.2, verdict="switched")]
    trained = story.trained(9, "search", 0.5)
    history = shared(
        story.begin(), story.supernet(), story.samples(), given_up, trained, folder=tmp_path
    )
    section = decisions_section(history)
    assert section is not None
    (words,) = section.parts
    assert "there are 1 different networks, each after 9 epochs" in words
