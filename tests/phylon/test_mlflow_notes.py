"""What the pages of runs say: their families, their results, and nothing that is no text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from phylon import events
from phylon.mlflow_notes import MAX_NOTE, MOST_RELATIVES, escape, render
from phylon.mlflow_plan import Projection
from phylon.mlflow_record import STUDY
from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate
from tests.phylon.mlflow_story import Events, note_of, plan_of

PAGE = "#/experiments/7/runs/run-{}?workflowType=machine_learning"


def test_note_links_to_parents_and_children() -> None:
    story = Events()
    story.run(0, loss=0.5)
    story.run(1, loss=0.25)
    story.run(2, 0, 1, loss=0.125)
    story.propose(3, 2)
    plan = plan_of(story)
    note = note_of(plan, 2)
    assert f"mutate of [candidate 0]({PAGE.format(0)}), [candidate 1](#" in note
    assert f"**Children** (1): [3]({PAGE.format(3)})" in note
    assert "lr 2" in note
    assert "loss **0.125**" in note
    assert "none yet" in note_of(plan, 3)


def test_note_is_written_again_when_a_child_appears_and_only_then() -> None:
    story = Events()
    story.run(0, loss=0.5)
    projection = Projection()
    projection.plan(story)
    before = len(story)
    story.propose(1, 0)
    story.propose(2)
    plan = projection.plan(story[before:])
    assert plan[0].note
    assert "Children" in note_of(plan, 0)
    before = len(story)
    story.complete(2, loss=1.0)
    assert 0 not in projection.plan(story[before:])


def test_of_many_children_the_first_are_named_and_all_counted() -> None:
    story = Events()
    story.run(0, loss=0.5)
    for number in range(1, 51):
        story.propose(number, 0)
    note = note_of(plan_of(story), 0)
    assert "**Children** (50)" in note
    assert f"and {50 - MOST_RELATIVES} more" in note
    assert note.count("/runs/") == MOST_RELATIVES


def test_markup_in_names_values_and_reasons_is_text_in_notes() -> None:
    evil = "<img src=x onerror=alert(1)> **bold** [link](http://evil.example) `code`"
    story = Events(evil, strategy={"name": evil}, task={"name": evil})
    story.propose(0, decisions={"act": evil})
    story.complete(0, **{evil: 1.0})
    story.tell(events.Proposed, candidate=Candidate(1, Architecture({"act": evil}), (), evil))
    story.fail(1, evil)
    plan = plan_of(story)
    for run in (STUDY, 0, 1):
        note = note_of(plan, run)
        assert "onerror" in note
        assert "<" not in note
        assert "](http" not in note
        assert "**bold**" not in note
        assert "http://" not in note


@given(st.text())
def test_escaped_text_is_one_line_without_tags(text: str) -> None:
    safe = escape(text)
    assert "<" not in safe
    assert ">" not in safe
    assert len(safe.splitlines()) <= 1


@pytest.mark.parametrize("size", [10, 5000])
def test_note_fits_into_a_tag(size: int) -> None:
    story = Events()
    story.propose(0, decisions={f"d{n}": "<" * 20 for n in range(size)})
    story.fail(0, "<" * size)
    for number in range(1, 30):
        story.propose(number, 0)
    note = note_of(plan_of(story), 0)
    assert len(note) <= MAX_NOTE
    assert "**Made by:** mutate" in note


def test_candidate_without_a_run_is_named_without_a_link() -> None:
    story = Events()
    story.run(0, loss=0.5)
    story.propose(1, 0)
    note = plan_of(story)[1].note
    assert note is not None
    assert "mutate of candidate 0 " in render(note, "7", {})


def test_study_note_tells_the_best_the_winner_and_strange_names() -> None:
    story = Events(budget={"candidates": 2})
    story.run(0, loss=0.5)
    story.run(1, loss=0.25, **{"f1 (macro)": 1.0})
    note = note_of(plan_of(story), STUDY)
    assert "2 completed, 0 failed" in note
    assert f"search:** [candidate 1]({PAGE.format(1)}): loss **0.25**" in note
    assert "best network" not in note
    assert "f1 \\_macro\\_ is f1 \\(macro\\)" in note
    story.finish()
    assert "best network,** trained as [candidate 1]" in note_of(plan_of(story), STUDY)
