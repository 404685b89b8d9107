"""What is computed and shown of a study with shared weights."""

from __future__ import annotations

import io
import json

import pytest
from rich.console import Console

from phylon import events
from phylon.cluster.location import Location
from phylon.leaderboard import family_table, overview
from phylon.lineage import lineage_rows, lineage_table
from phylon.progress import Progress
from phylon.rank_meter import is_low, measure
from phylon.search.candidate import Phase
from phylon.state import StudyState
from phylon.summary import summarize
from tests.phylon.supernet_story import (
    EXTRACTED,
    FRESH,
    PROBES,
    SAMPLES,
    SEARCH,
    SUPERNET,
    SupernetStory,
    state_of,
)

TOTALS: dict[Phase, int] = {"supernet": 1, "sample": 4, "search": 3, "probe": 4, "final": 4}
NO_FINAL = {"final": None}


def console() -> Console:
    return Console(file=io.StringIO(), width=140, color_system=None)


def shown(state: StudyState, status: str = "finished") -> str:
    target = console()
    target.print(overview(state, Location("studies/shared"), status))
    return target.file.getvalue()


def summary(state: StudyState) -> dict:
    told = summarize(state, Location("studies/shared"), "finished")
    return json.loads(json.dumps(told, allow_nan=False))


# --- ranking


def test_what_was_trained_ranks_before_what_was_scored() -> None:
    story = SupernetStory()
    trained = story.trained(12, "search", 0.01)
    state = state_of(story.until_search(), [story.ranked(0.1, verdict="switched")], trained)
    assert [record.id for record in state.ranking("search")] == [12, 11, 10, 9]
    assert state.best.id == 12
    assert [record.id for record in state.winners()] == [12]


def test_fresh_and_extracted_trainings_are_reported_side_by_side_and_one_wins() -> None:
    state = state_of(SupernetStory().whole())
    groups = state.final_groups()
    assert [sorted(r.id for r in group) for group in groups] == [list(EXTRACTED), list(FRESH)]
    assert [record.id for record in state.winners()] == list(EXTRACTED)
    tested = events.Tested(candidate_ids=list(EXTRACTED), metrics={"test_accuracy": [0.9, 0.9]})
    state.apply(tested)
    assert state.tested is tested
    told = {group["inherit_from"]: group for group in summary(state)["final"]}
    assert (told[None]["of"], told[None]["ids"]) == (10, list(FRESH))
    assert told[None]["metrics"]["val_accuracy"]["mean"] == pytest.approx(0.925)
    assert told[SUPERNET]["metrics"]["val_accuracy"]["mean"] == pytest.approx(0.945)
    text = shown(state)
    assert "0.9250 ± 0.0071" in text
    assert "0.9450 ± 0.0071" in text
    assert "fresh" in text
    assert "extracted" in text


def test_a_best_candidate_without_weights_of_its_own_has_nothing_to_test() -> None:
    state = state_of(SupernetStory(**NO_FINAL).until_search())
    assert state.best.id == SEARCH[-1]
    assert state.winners() == []
    assert state.tested is None
    assert summary(state)["best"]["is_scored"]
    text = shown(state)
    assert "val_accuracy  0.1100 (candidate 11)" in text
    assert "nothing to test until it is trained, by a study with a `final` section" in text


def test_before_the_final_phase_it_is_said_that_there_will_be_one() -> None:
    text = shown(state_of(SupernetStory().until_search()))
    assert "with shared weights only; the final phase trains the best" in text
    assert "0 (shared)" in text
    assert "with shared weights only" not in shown(state_of(SupernetStory().whole()))


# --- the rank meter


def test_each_trained_probe_is_compared_with_the_sample_that_it_repeats() -> None:
    story = SupernetStory()
    before = [*story.begin(), *story.supernet(), *story.samples()]
    assert measure(state_of(before)).probes == 0
    found = measure(state_of(before, story.probes((0.6, 0.7, 0.8, 0.75))))
    assert found.probes == 4
    assert found.kendall_tau == pytest.approx(4 / 6)
    assert found.low <= found.kendall_tau <= found.high
    failed = events.Failed(candidate_id=PROBES[1], reason="loss is nan")
    lost = [story.proposed(PROBES[1], "probe", parents=(SAMPLES[1],)), failed]
    assert measure(state_of(before, story.probes((0.6,)), lost)).probes == 1


def test_minimised_metrics_are_compared_the_right_way_round() -> None:
    loss = [{"metric": "val_accuracy", "direction": "minimize"}]  # whatever its name says
    story = SupernetStory(objectives=loss)
    first = [*story.begin(), *story.supernet(), *story.samples()]
    found = measure(state_of(first, story.probes((0.9, 0.6, 0.7, 0.8))))
    assert found.kendall_tau == pytest.approx(0.0)
    assert found.top_half is None  # of two


@pytest.mark.parametrize(
    ("tau", "verdict", "line", "low"),
    [
        (0.607, "trusted", "Rank correlation 0.61 [-0.20, 0.90], 4 probes: trusted", False),
        (0.2, "warned", "Rank correlation 0.20 [-0.20, 0.90], 4 probes: warned", True),
        (0.2, "", "Rank correlation 0.20 [-0.20, 0.90], 4 probes\n", True),
        (None, "", "Rank correlation not known [-0.20, 0.90], 4 probes\n", False),
        (None, "warned", "4 probes: warned", True),
    ],
)
def test_the_rank_correlation_is_told(
    tau: float | None, verdict: str, line: str, low: bool
) -> None:
    story = SupernetStory()
    state = state_of(story.until_search(), [story.ranked(tau, verdict=verdict)])
    assert line in "\n".join(each.rstrip() for each in shown(state).splitlines())
    assert is_low(state) == low
    assert summary(state)["rank_correlation"] == {
        "kendall_tau": tau,
        "low": -0.2,
        "high": 0.9,
        "top_half": None,
        "probes": 4,
        "verdict": verdict,
    }


def test_what_was_not_measured_is_null() -> None:
    assert summary(state_of(SupernetStory().until_search()))["rank_correlation"] is None
    assert "ank correlation" not in shown(state_of(SupernetStory().until_search()))


def test_a_study_that_only_has_shared_weights_so_far_has_a_picture() -> None:
    story = SupernetStory()
    text = shown(state_of(story.begin(), story.supernet(), story.samples()), "running")
    assert "No candidate of the search has completed yet" in text


# --- progress


class Follower:
    """A progress that is told what happens."""

    def __init__(self, *before: list[events.Event]) -> None:
        self.state = state_of(*before)
        self.progress = Progress(self.state, TOTALS, 2, console=console())

    def line_after(self, history: list[events.Event]) -> str:
        for event in history:
            self.state.apply(event)
            self.progress(event)
        return self.progress.line()

    def picture(self) -> str:
        target = console()
        target.print(self.progress.picture())
        return target.file.getvalue()


def test_progress_goes_through_the_phases() -> None:
    story = SupernetStory()
    followed = Follower(story.begin())
    assert followed.progress.line().startswith("supernet 0/5 epochs, 0 running")
    training = story.supernet()
    line = followed.line_after(training[:3])
    assert line.startswith("supernet 2/5 epochs, 1 running")
    assert "loss 0.7 path_accuracy 0.5" in line
    assert "2/5 epochs" in followed.picture()
    assert "loss 0.7 path_accuracy 0.5" in followed.picture()
    assert followed.line_after(training[3:]).startswith("supernet 5/5 epochs, 0 running")
    line = followed.line_after(story.samples())
    assert line.startswith("sample 4/4 done")
    assert "best val_accuracy 0.04 (candidate 4)" in line
    assert "path_accuracy" not in line
    line = followed.line_after(story.search()[:-1])
    assert line.startswith("search 2/3 done, 1 running")
    assert "best val_accuracy 0.1 (candidate 10)" in line


def test_what_is_heard_late_counts_once() -> None:
    story = SupernetStory()
    followed = Follower(story.begin(), story.supernet(), story.samples())
    search = story.search()
    for event in search:  # all of them are written in one go, and told afterwards
        followed.state.apply(event)
    for event in search:
        followed.progress(event)
    assert followed.progress.line().startswith("search 3/3 done")


def test_probes_are_in_the_background() -> None:
    story = SupernetStory()
    followed = Follower(story.begin(), story.supernet(), story.samples())
    search = story.search()
    followed.line_after(search[:3])
    line = followed.line_after([*story.probes((0.9, 0.8)), story.ranked(None, probes=2)])
    assert line.startswith("search 1/3 done")
    assert "best val_accuracy 0.09 (candidate 9)" in line
    assert "2/4 probes" in line
    line = followed.line_after([*search[3:], story.ranked(0.333)])
    assert line.startswith("search 3/3 done")
    assert "4/4 probes, rank correlation 0.33" in line
    assert "rank correlation 0.33" in followed.picture()
    line = followed.line_after(story.finals())
    assert line.startswith("final 4/4 done")
    assert "probes" not in line


def test_scores_that_are_not_to_be_trusted_are_warned_of_to_the_end() -> None:
    story = SupernetStory()
    followed = Follower(story.until_search())
    assert "trusted" not in followed.line_after([story.ranked(0.1, 3)])
    warned = [story.ranked(0.1, verdict="warned")]
    for events_of_phase in (warned, story.finals()):
        line = followed.line_after(events_of_phase)
        assert "4/4 probes, rank correlation 0.10: the scores are not to be trusted" in line


def test_after_a_switch_the_search_begins_anew() -> None:
    story = SupernetStory()
    followed = Follower(story.until_search())
    assert followed.progress.line().startswith("search 3/3 done")
    line = followed.line_after([story.ranked(0.1, verdict="switched")])
    assert line.startswith("search 0/3 done")
    assert "best" not in line
    line = followed.line_after(story.trained(12, "search", 0.01))
    assert line.startswith("search 1/3 done")
    assert "best val_accuracy 0.01 (candidate 12)" in line


@pytest.mark.parametrize(
    ("parts", "begin"),
    [(1, "supernet 0/5"), (2, "supernet 5/5"), (3, "sample 4/4"), (4, "sample 4/4")],
)
def test_a_resumed_study_is_where_it_was(parts: int, begin: str) -> None:
    story = SupernetStory()
    made = [story.begin(), story.supernet(), story.samples(), story.probes()]
    assert Follower(*made[:parts]).progress.line().startswith(begin)


# --- lineage


def test_lineage_tells_whose_weights_a_candidate_began_with() -> None:
    state = state_of(SupernetStory().whole())
    rows = lineage_table(state, {}).to_pylist()
    plain = lineage_rows(state, {})
    for row, told in zip(rows, plain, strict=True):
        assert (row["inherit_from"], row["epochs"]) == (told["inherit_from"], told["epochs"])
    inherited = {row["id"] for row in rows if row["inherit_from"] == SUPERNET}
    assert inherited == {*SAMPLES, *SEARCH, *EXTRACTED}
    assert {row["id"] for row in rows if not row["epochs"]} == {*SAMPLES, *SEARCH}
    phases = {row["phase"] for row in rows}
    assert phases == {"supernet", "sample", "probe", "search", "final"}
    assert rows[PROBES[0]]["parents"] == [SAMPLES[0]]
    target = console()
    target.print(family_table(state))
    assert "probe" in target.file.getvalue()
