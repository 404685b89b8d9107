"""A study from Python: what it writes, what it refuses, and that it can always go on."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from phylon import Choice, Float, SearchSpace, Study
from phylon.errors import ConfigurationError, JournalError, StudyError
from phylon.events import Completed, Finished, Opened
from phylon.lock import StudyLock, is_held
from tests.phylon.toy import SPACE, Toy, journal, run


def test_a_study_ends_with_its_best_trained_again_and_tested(
    new_study: Callable[..., Study],
) -> None:
    study = new_study(final={"top": 2, "epochs": 3, "seeds": 2})
    state = run(study)
    assert isinstance(state.ending, Finished)
    assert state.completed == 12
    best = max(r.metrics["y"] for r in state.records.values() if r.candidate.phase == "search")
    assert state.best.candidate.architecture["x"] * 2 == pytest.approx(best, abs=2e-3)
    winners = [record.id for record in state.winners()]
    assert len(winners) == 2
    assert state.tested.candidate_ids == winners
    assert len(set(state.tested.metrics["test_y"])) == 1
    assert study.status() == "finished"


def test_only_weights_that_may_still_be_asked_for_are_kept(new_study: Callable[..., Study]) -> None:
    study = new_study(budget={"candidates": 20}, final={"top": 2, "epochs": 3, "seeds": 2})
    state = run(study)
    kept = {int(path.name) for path in (study.folder / "candidates").iterdir()}
    best = {record.id for record in state.ranking("search")[:2]}
    assert kept == best | {20, 21, 22, 23}


def test_a_study_without_a_final_phase_tests_its_best(new_study: Callable[..., Study]) -> None:
    state = run(new_study())
    assert state.tested.candidate_ids == [state.best.id]


def test_a_failed_candidate_is_no_failed_study(new_study: Callable[..., Study]) -> None:
    state = run(new_study(Toy(fails=True)))
    assert state.failed == 8
    assert state.best is None
    assert {r.reason for r in state.records.values()} == {"RuntimeError: no luck"}
    assert isinstance(state.ending, Finished)


def test_a_bigger_budget_goes_on_where_the_smaller_one_ended(
    new_study: Callable[..., Study],
) -> None:
    run(new_study(budget={"candidates": 5}))
    state = run(new_study(budget={"candidates": 9}), resume=True)
    assert sorted(state.records) == list(range(9))
    whole = run(new_study(name="whole", budget={"candidates": 9}))
    assert [r.candidate for r in state.records.values()] == [
        r.candidate for r in whole.records.values()
    ]


def test_a_new_winner_is_tested_and_an_old_test_is_not_shown_for_it(
    new_study: Callable[..., Study],
) -> None:
    first = run(new_study(budget={"candidates": 3}))
    tested = first.tested.candidate_ids
    state = run(new_study(budget={"candidates": 30}), resume=True)
    assert state.best.id not in tested
    assert state.tested.candidate_ids == [state.best.id]


def test_a_study_made_in_python_goes_on_from_its_folder(new_study: Callable[..., Study]) -> None:
    study = new_study(budget={"candidates": 3})
    run(study)
    assert run(new_study(budget={"candidates": 5}, resources={"cpus": 0.5}), resume=True)
    reopened = Study.open(study.folder)
    assert reopened.config.budget.candidates == 5
    assert reopened.config.resources.cpus == 0.5
    assert reopened.parts.space == SPACE


def test_a_study_out_of_hours_stays_finished(new_study: Callable[..., Study]) -> None:
    study = new_study(budget={"candidates": 10**6, "hours": 1e-5})
    state = run(study)
    assert state.ending.reason == "the hours are spent"
    before = journal(study)
    run(new_study(budget={"candidates": 10**6, "hours": 1e-5}), resume=True)
    assert journal(study) == before


def test_a_finished_study_is_not_run_again(new_study: Callable[..., Study]) -> None:
    study = new_study()
    run(study)
    before = journal(study)
    run(new_study(), resume=True)
    assert journal(study) == before


def test_an_existing_study_is_not_begun_again(new_study: Callable[..., Study]) -> None:
    run(new_study())
    with pytest.raises(StudyError, match=r"exists; go on with it by `phylon resume .*another name"):
        run(new_study())


def test_a_folder_with_something_else_is_left_alone(new_study: Callable[..., Study]) -> None:
    study = new_study()
    study.folder.mkdir(parents=True)
    (study.folder / "thesis.tex").touch()
    with pytest.raises(StudyError, match="is no study"):
        run(study, resume=True)
    assert [path.name for path in study.folder.iterdir()] == ["thesis.tex"]


def test_what_a_driver_left_that_was_killed_at_once_is_in_nobodys_way(
    new_study: Callable[..., Study],
) -> None:
    study = new_study()
    study.folder.mkdir(parents=True)
    (study.folder / ".phylon-0123").touch()
    assert run(study, resume=True).completed == 8


def test_a_folder_without_a_study_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(StudyError, match=r"is no study.*phylon list"):
        Study.open(tmp_path)


def test_a_changed_space_is_refused_with_the_decision(new_study: Callable[..., Study]) -> None:
    run(new_study(budget={"candidates": 3}))
    changed = SearchSpace(x=Float(0.0, 2.0), kind=Choice("a", "b"))
    with pytest.raises(StudyError, match=r"the space of study `toy` changed.*\bx\b"):
        run(new_study(space=changed), resume=True)


def test_a_changed_setting_is_refused_with_both_values(new_study: Callable[..., Study]) -> None:
    run(new_study())
    with pytest.raises(StudyError, match="`seed` was 0, is 4"):
        run(new_study(seed=4), resume=True)


def test_an_objective_that_is_not_reported_is_refused_before_anything(
    new_study: Callable[..., Study],
) -> None:
    study = new_study(objectives=[{"metric": "w", "direction": "maximize"}])
    with pytest.raises(ConfigurationError, match=r"does not report `w`.*Known: y, z"):
        run(study)
    assert not study.folder.parent.exists()


def test_a_study_that_another_driver_holds_is_refused(new_study: Callable[..., Study]) -> None:
    study = new_study(budget={"candidates": 2})
    run(study)
    with StudyLock(study.folder):
        assert is_held(study.location)
        with pytest.raises(StudyError, match=f"run by another driver .process {os.getpid()} on"):
            run(new_study(budget={"candidates": 4}), resume=True)
    assert run(new_study(budget={"candidates": 4}), resume=True).completed == 4


def test_a_torn_journal_opens_and_says_what_it_dropped(
    new_study: Callable[..., Study], caplog: pytest.LogCaptureFixture
) -> None:
    study = new_study(budget={"candidates": 4})
    run(study)
    (segment,) = (study.folder / "journal").glob("*.jsonl")
    whole = segment.read_bytes()
    lines = whole.splitlines(keepends=True)
    segment.write_bytes(b"".join(lines[:-4]) + lines[-4][:-7])
    state = run(new_study(budget={"candidates": 4}), resume=True)
    assert state.completed == 4
    assert "ends in half an event" in caplog.text
    opened = [event for event in journal(study) if isinstance(event, Opened)]
    assert opened[-1].dropped_bytes == len(lines[-4]) - 7


def test_a_damaged_journal_is_refused_and_untouched(new_study: Callable[..., Study]) -> None:
    study = new_study()
    run(study)
    (segment,) = (study.folder / "journal").glob("*.jsonl")
    content = bytearray(segment.read_bytes())
    content[len(content) // 2] ^= 1
    segment.write_bytes(content)
    with pytest.raises(JournalError, match="damaged at byte"):
        Study.open(study.folder)
    assert segment.read_bytes() == content


def test_a_storage_that_cannot_be_written_is_named(
    new_study: Callable[..., Study], tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match=r"storage: .* is no folder that can be written"):
        run(new_study(storage=str(tmp_path / "file" / "studies")))


def test_completed_means_the_last_measurement(new_study: Callable[..., Study]) -> None:
    study = new_study(budget={"candidates": 1})
    run(study)
    (completed,) = [event for event in journal(study) if isinstance(event, Completed)]
    assert completed.metrics["y"] == -completed.metrics["z"]
    assert completed.metrics["y"] > study.state().records[0].candidate.architecture["x"]
