"""What people see of a study: progress while it runs, the picture at its end."""

import errno
import io
import sys
from typing import Any

import pytest
from rich.console import Console

from phylon import events, picture
from phylon.cluster.location import Location
from phylon.config import StudyConfig
from phylon.leaderboard import overview
from phylon.progress import Progress, clock, shorten
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from phylon.state import StudyState

CONFIG = StudyConfig.build(
    name="s",
    task="digits",
    objectives=[{"metric": "val_accuracy", "direction": "maximize"}],
    budget={"candidates": 4},
).to_json()
CREATED = events.Created(uid="u", config=CONFIG, space={}, metrics=["val_accuracy"], time=1.0)
OPENED = events.Opened(host="h", pid=1, versions={}, budget={"candidates": 4}, time=1.0)


def proposed(number: int, **fields: Any) -> events.Proposed:
    return events.Proposed(
        candidate=Candidate(number, Architecture({"width": 8 + number}), **fields), time=2.0
    )


def completed(number: int, accuracy: float) -> events.Completed:
    metrics = {"val_accuracy": accuracy, "params": 12_340.0}
    return events.Completed(candidate_id=number, metrics=metrics, seconds=1.0, time=60.0)


def failed(number: int, reason: str) -> events.Failed:
    return events.Failed(candidate_id=number, reason=reason, time=61.0)


SEARCH = [
    proposed(0),
    proposed(1, parents=(0,), operator="mutate", generation=1),
    proposed(2),
    completed(0, 0.5),
    failed(2, "loss is nan\nTraceback ..."),
    completed(1, 0.75),
]
FINAL = [
    proposed(3, parents=(1,), operator="retrain", phase="final"),
    proposed(4, parents=(1,), operator="retrain", phase="final"),
    completed(3, 0.9),
    completed(4, 0.8),
    events.Tested(candidate_ids=[3, 4], metrics={"test_accuracy": [0.88, 0.86]}, time=62.0),
    events.Finished(reason="done", time=63.0),
]


def console(*, terminal: bool) -> Console:
    return Console(file=io.StringIO(), force_terminal=terminal, width=120, color_system=None)


def follow(history: list[events.Event], target: Console, **options: Any) -> str:
    state = StudyState([CREATED, OPENED])
    with Progress(state, {"search": 4, "final": 2}, 4, console=target, **options) as progress:
        for event in history:
            state.apply(event)
            progress(event)
    return target.file.getvalue()


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_tells_counts_best_failure_and_notice(terminal: bool) -> None:
    text = follow(SEARCH, console(terminal=terminal), notice=lambda: "MLflow is 3 runs behind")
    assert "3/4 done, 0 running, 1 failed" in text
    assert "val_accuracy 0.75 (candidate 1)" in text
    assert "candidate 2 failed: loss is nan" in text
    assert "Traceback" not in text
    assert "MLflow is 3 runs behind" in text
    assert "ETA" in text


def test_without_a_terminal_there_is_a_line_per_phase_not_per_event() -> None:
    text = follow(SEARCH + FINAL, console(terminal=False))
    assert "\x1b" not in text
    lines = text.splitlines()
    assert len(lines) == 3
    assert "final 0/2 done" in lines[1]
    assert "final 2/2 done" in lines[2]
    assert "val_accuracy 0.9 (candidate 3)" in lines[2]


def test_a_resumed_study_shows_what_it_had() -> None:
    state = StudyState([CREATED, OPENED, *SEARCH])
    line = Progress(state, {"search": 4, "final": 0}, 4, console=console(terminal=False)).line()
    assert line.startswith("search 3/4 done")
    assert "best val_accuracy 0.75 (candidate 1)" in line
    assert "ETA" not in line


class Gone(io.StringIO):
    """A stream whose other end is gone."""

    def write(self, _: str) -> int:
        raise OSError(errno.EIO, "gone")


@pytest.mark.parametrize("terminal", [True, False])
def test_progress_is_silent_when_its_output_is_gone(
    terminal: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = Gone()
    monkeypatch.setattr(gone, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stderr", gone)
    state = StudyState([CREATED, OPENED])
    with Progress(state, {"search": 4, "final": 0}, 4) as progress:
        for event in SEARCH:
            state.apply(event)
            progress(event)
    assert progress.line().startswith("search 3/4 done")


def overview_text(history: list[events.Event], status: str) -> str:
    target = console(terminal=False)
    target.print(overview(StudyState([CREATED, OPENED, *history]), Location("studies/s"), status))
    return target.file.getvalue()


def test_the_picture_of_a_finished_study() -> None:
    text = overview_text(SEARCH + FINAL, "finished")
    assert "4 completed, 1 failed, 0 open" in text
    assert "val_accuracy  0.8500 ± 0.0707 (2 trainings)" in text
    assert "test_accuracy  0.8700 ± 0.0141" in text
    assert "1 x loss is nan" in text
    assert "mutate of 0" in text
    assert "12.3k" in text
    for command in ("phylon ui studies/s", "phylon show studies/s", "phylon lineage studies/s"):
        assert command in text
    assert "phylon resume" not in text


def test_an_interrupted_study_says_how_to_go_on() -> None:
    text = overview_text(SEARCH, "interrupted")
    assert "phylon resume studies/s" in text
    assert "val_accuracy  0.7500 (candidate 1)" in text


def test_a_study_without_results_has_a_picture_too() -> None:
    assert "No candidate has completed" in overview_text([proposed(0)], "running")
    assert "1 x out of memory" in overview_text([proposed(0), failed(0, "out of memory")], "x")


def test_reasons_in_brackets_are_not_taken_for_markup() -> None:
    text = overview_text([proposed(0), failed(0, "bad shape [3] [/red]")], "finished")
    assert "bad shape [3] [/red]" in text


def test_drawing_shows_the_best_so_far_without_the_outliers() -> None:
    drawn = picture.draw([0.1, *(0.8 + n / 100 for n in range(10))], maximize=True)
    lines = drawn.splitlines()
    assert lines[0].startswith("0.89 ┤")
    assert lines[0].endswith("━")
    assert lines[-1].startswith(" 0.8 ┤━━")
    assert picture.draw([1.0] * 4, maximize=True) == ""
    assert max(map(len, picture.draw([0.5] * 1000, maximize=False).splitlines())) < 80


def test_durations_and_reasons_are_short() -> None:
    assert (clock(5), clock(75.4), clock(3675)) == ("0:05", "1:15", "1:01:15")
    assert len(shorten("x" * 500)) == 80
