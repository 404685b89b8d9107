"""What a search may cost: candidates, epochs, hours, GPU hours, and any of them may be raised."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

from phylon import Candidate, Context, Measurement, Study, events
from phylon.budget import HOPELESS, spent
from phylon.cluster.executor import Share, Usage
from phylon.cluster.location import Location
from phylon.config import Budget, StudyConfig
from phylon.errors import ConfigurationError, StudyError
from phylon.mlflow_study_note import study_note
from phylon.search.architecture import Architecture
from phylon.state import StudyState
from phylon.summary import summarize
from tests.phylon.slots import CREATED, FINAL, Slots, opened, plan
from tests.phylon.toy import Toy, run

NewStudy = Callable[..., Study]
MACRO = {"name": "macro", "image_size": 8}
HALVING = {"name": "halving", "of": "random", "eta": 2}


@dataclasses.dataclass
class Trained(Toy):
    """Trains for as long as it is asked, but for those that fail in their second epoch."""

    failing: tuple[int, ...] = ()

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        epochs = 5 if candidate.epochs is None else candidate.epochs
        for step in range(1, epochs + 1):
            if candidate.id in self.failing and step == 2:
                raise RuntimeError("no luck")
            metrics = {"y": candidate.architecture["x"] * step, "z": 0.0}
            context.report(Measurement(step, metrics, 1.0))

    def test(self, candidate: Candidate, context: Context) -> dict[str, float]:  # noqa: ARG002
        return {}


def trained(state: StudyState) -> int:
    return sum(r.epochs for r in state.records.values() if r.candidate.phase == "search")


def within(config: StudyConfig, **budget: float) -> StudyConfig:
    return StudyConfig.build(**{**config.to_json(), "budget": budget})


# --- what is counted


def test_a_search_ends_when_its_epochs_are_spent(new_study: NewStudy) -> None:
    final = {"top": 1, "epochs": 7, "seeds": 2}
    state = run(new_study(Trained(), budget={"epochs": 18}, final=final))
    assert (state.searched, trained(state), state.spent.epochs) == (4, 20, 20)
    assert (state.proposed["final"], state.ending.reason) == (2, "the epochs are spent")
    told = summarize(state, Location("toy"), "finished")
    assert (told["spent"]["candidates"], told["spent"]["epochs"]) == (4, 20)
    assert (told["budget"]["candidates"], told["budget"]["epochs"]) == (None, 18)


def test_a_candidate_that_fails_gives_back_what_it_did_not_train(new_study: NewStudy) -> None:
    state = run(new_study(Trained(failing=(0, 2)), budget={"epochs": 17}))
    assert (state.completed, state.failed, trained(state)) == (3, 2, 17)


def test_a_task_that_always_fails_is_not_tried_forever(new_study: NewStudy) -> None:
    state = run(new_study(Toy(fails=True), budget={"epochs": 12}))
    assert (state.failed, trained(state)) == (12, 0)


def test_promotions_spend_the_epochs_that_they_add(new_study: NewStudy) -> None:
    fields = {"strategy": HALVING, "training": {"epochs": 4}, "budget": {"epochs": 40}}
    state = run(new_study(Trained(), **fields))
    before = (
        state.records[r.candidate.continues].step if r.candidate.continues is not None else 0
        for r in state.records.values()
    )
    assert trained(state) - sum(before) == state.spent.epochs
    assert 40 <= state.spent.epochs < 40 + 2
    assert {r.candidate.epochs for r in state.records.values()} == {1, 2, 4}


@pytest.mark.parametrize("window", [None, 2])
def test_slots_and_deaths_cost_at_most_one_candidate_more(
    tmp_path: Path, window: int | None
) -> None:
    for seed in range(5):
        folder, random = tmp_path / str(seed), Random(seed)
        config = within(plan(1, seed=2, final=FINAL), epochs=31)
        for limit in (random.randint(1, 40), 10_000):
            with opened(folder, config, window=window) as driver:
                Slots(driver, 1 + seed, random, fails=0.2).run(limit)
        assert driver.finished
        assert driver.end_reason == "the epochs are spent"
        assert 31 <= trained(driver.state) < 31 + 4  # so many each was asked for
        assert driver.state.proposed["final"] == 4


def test_a_search_ends_when_its_gpu_hours_are_spent(tmp_path: Path) -> None:
    with opened(tmp_path, within(plan(1, seed=0), gpu_hours=2.0)) as driver:
        while candidate := driver.propose():
            driver.observe(candidate.id, Measurement(1, {"y": 0.5}, 3600.0))
            driver.complete(candidate.id, Usage(3600.0, Share(cpus=1.0, gpus=0.5)))
        assert (driver.state.searched, driver.end_reason) == (4, "the GPU hours are spent")


def test_gpu_hours_are_those_of_ended_candidates_and_of_open_ones_as_far_as_is_known() -> None:
    state = StudyState([CREATED])
    driver = {"host": "h", "pid": 1, "versions": {}, "budget": {}}
    state.apply(events.Opened(**driver, resources={"gpus": 0.5}))
    for number in range(2):
        state.apply(events.Proposed(candidate=Candidate(number, Architecture({}))))
    held = {"cpus": 1.0, "gpus": 1.0}
    for event, expected in (
        (events.Completed(candidate_id=0, metrics={}, seconds=3000.0, resources=held), 3000),
        (events.Reported(candidate_id=1, measurement=Measurement(1, {}, 1000.0)), 3500),
        (events.Reported(candidate_id=1, measurement=Measurement(2, {}, 1000.0)), 4000),
        (events.Lost(candidate_id=1, reason="its node died"), 4000),
        (events.Failed(candidate_id=1, reason="", seconds=1600.0, resources=held), 4600),
    ):
        assert not spent(Budget(gpu_hours=4600 / 3600), state, 0.0)
        state.apply(event)
        assert state.spent.gpu_seconds == expected
    assert spent(Budget(gpu_hours=4600 / 3600), state, 0.0) == "the GPU hours are spent"


def test_gpu_time_of_attempts_that_came_to_nothing_is_spent_too() -> None:
    state = StudyState([CREATED])
    driver = {"host": "h", "pid": 1, "versions": {}, "budget": {}}
    state.apply(events.Opened(**driver, resources={"gpus": 1.0}))
    state.apply(events.Proposed(candidate=Candidate(0, Architecture({}))))
    for step in (1, 2):
        measurement = Measurement(step, {"y": 0.5}, 1000.0)
        state.apply(events.Reported(candidate_id=0, measurement=measurement))
    state.apply(events.Lost(candidate_id=0, reason="its worker died"))
    held = {"cpus": 1.0, "gpus": 1.0}
    state.apply(events.Completed(candidate_id=0, metrics={}, seconds=300.0, resources=held))
    assert state.spent.gpu_seconds == 2000


@pytest.mark.parametrize("budget", [{"hours": 1.0}, {"epochs": 1000}])
def test_a_search_in_which_nothing_ever_completes_ends(
    new_study: NewStudy, budget: dict[str, float]
) -> None:
    state = run(new_study(Toy(fails=True), budget=budget))
    assert (state.failed, state.completed) == (HOPELESS, 0)
    assert f"none of the first {HOPELESS} candidates completed" in state.ending.reason
    assert "budget.candidates" in state.ending.reason
    again = run(new_study(Toy(), budget={"candidates": HOPELESS + 2}), resume=True)
    assert (again.failed, again.completed) == (HOPELESS, 2)


def test_progress_tells_how_much_is_spent_where_nobody_knows_how_many_there_will_be(
    capsys: pytest.CaptureFixture[str], new_study: NewStudy
) -> None:
    study = new_study(Trained(), budget={"epochs": 12, "hours": 50})
    study.run(in_process=True, show_progress=True)
    last = capsys.readouterr().err.splitlines()[-1]
    assert "search 3 done, 15/12 epochs, " in last
    assert "/50 hours, 0 running, 0 failed, best y " in last


def test_the_note_of_a_study_tells_its_limits() -> None:
    config = {**CREATED.config, "budget": {"candidates": None, "epochs": 12000, "gpu_hours": 2.5}}
    note = study_note(StudyState([dataclasses.replace(CREATED, config=config)]), None, ())
    assert ", at most 12,000 epochs or 2.5 GPU hours, seed 0" in "".join(map(str, note))


# --- what is raised


@pytest.mark.parametrize(
    ("before", "after", "count"),
    [
        ({"epochs": 15}, {"epochs": 30}, 6),
        ({"epochs": 15}, {"candidates": 5}, 5),
        ({"candidates": 2}, {"epochs": 30}, 6),
        ({"candidates": 2, "epochs": 15}, {"candidates": 9, "epochs": 15}, 3),
    ],
)
def test_more_of_any_kind_prolongs_a_search(
    new_study: NewStudy, before: dict[str, int], after: dict[str, int], count: int
) -> None:
    run(new_study(Trained(), budget=before))
    assert run(new_study(Trained(), budget=after), resume=True).completed == count
    again = run(new_study(Trained(), budget=after), resume=True)
    assert (again.completed, again.opened.budget["hours"]) == (count, None)


@pytest.mark.parametrize(
    ("after", "words"),
    [
        ({"epochs": 30}, r"budget\.epochs: 30 \(it was 15\)"),
        ({"candidates": 40}, r"budget\.epochs: null \(it was 15\)"),
    ],
)
def test_no_more_is_searched_once_the_final_phase_has_begun(
    new_study: NewStudy, after: dict[str, int], words: str
) -> None:
    fields = {"task": Trained(), "final": {"top": 1, "epochs": 2, "seeds": 1}}
    run(new_study(budget={"epochs": 15}, **fields))
    with pytest.raises(
        StudyError, match=f"after 3 candidates, so it cannot search on with {words}"
    ):
        run(new_study(budget=after, **fields), resume=True)
    run(new_study(budget={"epochs": 15, "hours": 5}, **fields), resume=True)  # no more of anything


# --- what does not fit


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"budget": {}}, "budget names no limit, .* candidates, epochs, hours, gpu_hours"),
        ({"budget": {"gpu_hours": 1}}, r"budget.gpu_hours is 1, but with resources.gpus: 0 none"),
        (
            {"budget": {"epochs": 9}, "evaluator": "supernet"},
            r"budget.candidates is missing, but with `evaluator: supernet`",
        ),
        (
            {"budget": {"candidates": 5}, "strategy": "pbt"},
            r"strategy.population is 8, but budget.candidates is 5",
        ),
        (
            {"budget": {"epochs": 39}, "strategy": "pbt"},
            r"population is 8, but budget.epochs is 39, which is 7 candidates of 5 each.* to 40",
        ),
    ],
)
def test_budgets_that_do_not_fit_are_refused(
    new_study: NewStudy, fields: dict[str, Any], words: str
) -> None:
    objectives = [{"metric": "val_accuracy", "direction": "maximize"}]
    with pytest.raises(ConfigurationError, match=words):
        new_study("digits", space=MACRO, objectives=objectives, **fields).parts  # noqa: B018


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"strategy": "pbt"}, r"strategy.name: with `pbt` .* in its own way, .* another strategy"),
        (
            {"strategy": "lamarckian"},
            r"strategy.name: with `lamarckian` .*, or bring a phylon.Task",
        ),
        (
            {"strategy": {"name": "random", "inherit": True}},
            r"strategy.inherit: with `random` .* which leaves none; drop it, or bring",
        ),
    ],
)
def test_who_measures_in_its_own_way_leaves_nothing_to_inherit(
    new_study: NewStudy, fields: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        new_study(**fields).parts  # noqa: B018


def test_shared_weights_are_not_inherited(new_study: NewStudy) -> None:
    objectives = [{"metric": "val_accuracy", "direction": "maximize"}]
    fields = {"strategy": {"name": "lamarckian"}, "evaluator": "supernet", "objectives": objectives}
    with pytest.raises(ConfigurationError, match=r"scored with the same ones; name another strat"):
        new_study("digits", space=MACRO, **fields).parts  # noqa: B018
