"""A study from Python: what it writes, what it refuses, and that it can always go on."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import ray
from pyarrow import fs

from phylon import Candidate, Choice, Context, Float, Measurement, SearchSpace, Study
from phylon.errors import ConfigurationError, JournalError, StudyError
from phylon.events import Completed, Event, Finished, Interrupted, Opened
from phylon.journal import JournalReader
from phylon.lock import StudyLock, is_held

PHYLON = Path(sys.executable).parent / "phylon"
SPACE = SearchSpace(x=Float(0.0, 1.0), kind=Choice("a", "b"))


@dataclasses.dataclass
class Toy:
    """Reports twice; what it measures follows from the candidate alone."""

    fails: bool = False
    metrics: tuple[str, ...] = ("y", "z")

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        if self.fails:
            raise RuntimeError("no luck")
        context.folder.mkdir(parents=True, exist_ok=True)
        (context.folder / "weights").write_text(str(candidate.id))
        noise = candidate.seed % 1000 / 1e6
        for step in (1, 2):
            y = candidate.architecture["x"] * step + noise
            context.report(Measurement(step, {"y": y, "z": -y}, 0.0))

    def test(self, candidate: Candidate, context: Context) -> dict[str, float]:
        assert (context.folder / "weights").read_text() == str(candidate.id)
        return {"test_y": candidate.architecture["x"]}


@pytest.fixture
def new_study(tmp_path: Path) -> Callable[..., Study]:
    def build(task: Any = None, space: SearchSpace = SPACE, **fields: Any) -> Study:
        settings = {
            "name": "toy",
            "objectives": [{"metric": "y", "direction": "maximize"}],
            "budget": {"candidates": 8},
            "tracking": {"uri": "none"},
            "storage": str(tmp_path / "studies"),
            **fields,
        }
        return Study(task=task or Toy(), space=space, **settings)

    return build


def run(study: Study, *, resume: bool = False) -> Any:
    return study.run(resume=resume, in_process=True, show_progress=False)


def journal(study: Study) -> list[Event]:
    return list(JournalReader(fs.LocalFileSystem(), str(study.folder / "journal")).read())


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
        assert is_held(study.folder)
        assert study.status() == "running"
        with pytest.raises(StudyError, match=f'run by another driver .*"pid": {os.getpid()}'):
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


def without_circumstances(history: list[Event]) -> list[dict[str, Any]]:
    """Events without times, hosts and process ids."""
    plain = [event.to_json() for event in history if not isinstance(event, Opened)]
    for event in plain:
        for key in ("time", "uid", "seconds", "node", "resources", "config"):
            event.pop(key, None)
        event.get("measurement", {}).pop("seconds", None)
    return plain


def test_strict_order_gives_equal_journals_on_1_2_and_4_slots_of_ray(
    new_study: Callable[..., Study],
) -> None:
    histories = []
    ray.init(address="local", num_cpus=4, include_dashboard=False, log_to_driver=False)
    try:
        for cpus in (4.0, 2.0, 1.0):
            study = new_study(
                name=f"slots-{4 / cpus:g}",
                order="strict",
                window=3,
                budget={"candidates": 24},
                final={"top": 2, "epochs": 1, "seeds": 2},
                resources={"cpus": cpus},
            )
            state = study.run(show_progress=False)
            assert state.completed == 28
            histories.append(without_circumstances(journal(study)))
    finally:
        ray.shutdown()
    assert histories[0] == histories[1] == histories[2]


SLOW_TASK = """
    import time
    from phylon import Float, Measurement, SearchSpace

    space = SearchSpace(x=Float(0.0, 1.0))

    class Slow:
        metrics = ("y",)

        def evaluate(self, candidate, context):
            context.report(Measurement(1, {"y": candidate.architecture["x"]}, 0.0))
            time.sleep(0.0 if candidate.id < 4 else 60.0)
            context.report(Measurement(2, {"y": candidate.architecture["x"]}, 0.0))
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_with_everything_saved_and_says_how_to_go_on(
    tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "slow.py").write_text(textwrap.dedent(SLOW_TASK))
    study = {
        "name": "slow",
        "task": "slow:Slow",
        "space": "slow:space",
        "objectives": [{"metric": "y", "direction": "maximize"}],
        "budget": {"candidates": 50},
        "resources": {"cpus": (os.cpu_count() or 1) / 2},
    }
    (tmp_path / "study.yaml").write_text(json.dumps(study))
    driver = subprocess.Popen(
        [PHYLON, "run", "study.yaml"], cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        text=True, start_new_session=True,
    )  # fmt: skip
    folder = tmp_path / "studies" / "slow"
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        state = Study.open(folder).state() if (folder / "journal").exists() else None
        if state and state.completed == 4:
            break
        time.sleep(0.2)
    driver.send_signal(number)
    out, err = driver.communicate(timeout=30)
    assert driver.returncode == 130, err
    assert "phylon resume" in out + err
    state = Study.open(folder).state()
    assert isinstance(state.ending, Interrupted)
    assert state.ending.reason == number.name
    assert state.completed == 4
    assert Study.open(folder).status() == "interrupted"


def test_completed_means_the_last_measurement(new_study: Callable[..., Study]) -> None:
    study = new_study(budget={"candidates": 1})
    run(study)
    (completed,) = [event for event in journal(study) if isinstance(event, Completed)]
    assert completed.metrics["y"] == -completed.metrics["z"]
    assert completed.metrics["y"] > study.state().records[0].candidate.architecture["x"]
