"""What MLflow and the folders hold of a study with shared weights, and who learns from it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import fs

from phylon import events
from phylon.cluster.location import CANDIDATES, Location
from phylon.earlier import read_earlier
from phylon.folders import CandidateFolders
from phylon.journal import JournalReader, JournalWriter
from phylon.keeping import Keeping
from phylon.mlflow_plan import Projection
from phylon.mlflow_record import STUDY
from phylon.mlflow_writes import Point
from phylon.search import Integer, SearchSpace
from phylon.state import StudyState
from tests.phylon.supernet_story import (
    EPOCHS,
    EXTRACTED,
    FRESH,
    PROBES,
    SAMPLES,
    SEARCH,
    SUPERNET,
    SupernetStory,
)

SPACE = SearchSpace(width=Integer(0, 99))


def write(folder: Path, *parts: list[events.Event]) -> None:
    """Add to a study's journal as one driver."""
    place = fs.LocalFileSystem(), str(folder / "journal")
    reader = JournalReader(*place)
    assert all(reader.read())
    writer = JournalWriter(*place, reader=reader)
    for part in parts:
        writer.append(*part)
    writer.close()


# --- MLflow


def study_points(*parts: list[events.Event]) -> dict[str, list[tuple[int, float]]]:
    """Return what the study's own run is given, metric by metric."""
    projection, points = Projection(), list[Point]()
    for part in parts:
        writes = projection.plan(part).get(STUDY)
        points += writes.metrics if writes else []
    found: dict[str, list[tuple[int, float]]] = {}
    for point in points:
        found.setdefault(point.key, []).append((point.step, point.value))
    return found


def test_the_best_score_and_the_best_result_are_not_mixed() -> None:
    points = study_points(SupernetStory().whole())
    assert [value for _, value in points["best.shared.val_accuracy"]] == [0.09, 0.1, 0.11]
    trained = [value for _, value in points["best.val_accuracy"]]
    assert trained == pytest.approx([0.92, 0.93, 0.94, 0.95])


def test_rank_correlations_are_metrics_of_the_study_by_the_number_of_probes() -> None:
    story = SupernetStory()
    ranked = [story.ranked(None, 2), story.ranked(0.4, 3), story.ranked(0.5, 4)]
    verdict = story.ranked(0.5, 4, "trusted")
    points = study_points(story.until_search(), ranked, [verdict])
    assert points["rank_correlation"] == [(3, 0.4), (4, 0.5)]
    assert points["rank_correlation_low"] == [(2, -0.2), (3, -0.2), (4, -0.2)]
    assert "rank_correlation_top_half" not in points
    tags = Projection().plan([*story.begin(), *ranked, verdict])[STUDY].tags
    assert tags["phylon.rank_verdict"] == "trusted"


@given(st.integers(1, 80))
def test_nothing_is_sent_twice_wherever_a_driver_dies(cut: int) -> None:
    history = SupernetStory().whole()
    assert study_points(history[:cut], history[cut:]) == study_points(history)


def test_each_candidate_is_a_run_that_tells_phase_and_weights() -> None:
    runs = Projection().plan(SupernetStory().whole())
    assert set(runs) == {STUDY, *range(16)}
    for phase, ids in (("sample", SAMPLES), ("probe", PROBES), ("search", SEARCH)):
        assert {runs[number].birth.tags["phylon.phase"] for number in ids} == {phase}
    born = {number: writes.birth.tags for number, writes in runs.items()}
    inherits = {number for number, tags in born.items() if "phylon.inherit_from" in tags}
    assert inherits == {*SAMPLES, *SEARCH, *EXTRACTED}
    assert born[EXTRACTED[0]]["phylon.inherit_from"] == str(SUPERNET)


def test_the_supernet_is_a_run_with_its_own_name_and_epochs() -> None:
    run = Projection().plan(SupernetStory().whole())[SUPERNET]
    assert (run.birth.name, run.status[0]) == ("supernet", "FINISHED")
    steps = [point.step for point in run.metrics if point.key == "path_accuracy"]
    assert steps == list(range(1, EPOCHS + 1))


# --- folders


def follow(
    folder: Path, history: list[events.Event], before: Sequence[events.Event] = ()
) -> set[int]:
    """Let the folders hear of a history, in which what is trained leaves one; return those kept."""
    root, state, keeping = folder / CANDIDATES, StudyState(), Keeping(keep=1)
    for event in before:
        state.apply(event)
        keeping.after(event, state)
    with CandidateFolders(Location(folder), keeping) as folders:
        for event in history:
            state.apply(event)
            keeping.after(event, state)
            if isinstance(event, events.Proposed) and not event.candidate.is_scored:
                (root / str(event.candidate.id)).mkdir(parents=True)
            folders(event)
    return {int(path.name) for path in root.iterdir()}


def test_the_supernet_stays_and_probes_go(tmp_path: Path) -> None:
    story = SupernetStory()
    *before, last = story.probes()
    begun = [*story.begin(), *story.supernet(), *story.samples(), *before]
    assert follow(tmp_path, begun) == {SUPERNET, PROBES[-1]}
    finished = events.Finished(reason="done")
    rest = [last, *story.search(), *story.finals(), finished]
    assert follow(tmp_path, rest, begun) == {SUPERNET, *FRESH, *EXTRACTED}


def test_what_a_killed_driver_left_of_probes_is_removed(tmp_path: Path) -> None:
    for number in (SUPERNET, *PROBES):
        (tmp_path / CANDIDATES / str(number)).mkdir(parents=True)
    assert follow(tmp_path, [], SupernetStory().until_search()) == {SUPERNET}


def test_scored_candidates_cost_no_removals(tmp_path: Path) -> None:
    """A removal is a round trip to the store; there are thousands of them, with nothing to remove.

    What has the name of such a candidate was put there by somebody else, and stays.
    """
    for number in SEARCH:
        (tmp_path / CANDIDATES / str(number)).mkdir(parents=True)
    kept = follow(tmp_path, SupernetStory().whole())
    assert kept == {SUPERNET, *SEARCH, *FRESH, *EXTRACTED}


def test_after_a_switch_the_best_of_those_that_were_trained_is_kept(tmp_path: Path) -> None:
    story = SupernetStory()
    switch = [story.ranked(0.1, verdict="switched")]
    trained = [event for n, y in ((12, 0.5), (13, 0.3)) for event in story.trained(n, "search", y)]
    history = [*story.until_search(), *switch, *trained, events.Finished(reason="done")]
    assert follow(tmp_path, history) == {SUPERNET, 12}


# --- later studies


def test_a_later_study_learns_from_results_of_one_kind(tmp_path: Path) -> None:
    story = SupernetStory()
    first = story.begin()
    created = first[0]
    created.space.update(SPACE.to_json())
    config = SupernetStory(warm_start=[str(tmp_path)]).config
    write(tmp_path, first, story.supernet(), story.samples(), story.probes(), story.search())
    (earlier,) = read_earlier(config, SPACE)
    assert [losses for _, losses in earlier.results] == [(-0.11,), (-0.1,), (-0.09,)]
    switch = [story.ranked(0.1, verdict="switched")]
    write(tmp_path, switch, story.trained(12, "search", 0.05))
    (earlier,) = read_earlier(config, SPACE)
    assert [losses for _, losses in earlier.results] == [(-0.05,)]


def test_candidates_of_before_there_were_shared_weights_are_read() -> None:
    (event,) = SupernetStory().trained(1, "search", 0.5)[:1]
    old = event.to_json()
    del old["candidate"]["inherit_from"]
    assert events.Event.from_json(old) == event
