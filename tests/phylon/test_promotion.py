"""Studies whose candidates are promoted: each network counts once, and nothing is trained twice."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from phylon import Candidate, Choice, Context, Measurement, SearchSpace, Study
from phylon.errors import ConfigurationError
from phylon.events import Completed, Failed, Finished, Proposed, Reported
from phylon.lineage import lineage_rows
from phylon.mlflow_plan import Projection
from phylon.state import StudyState
from tests.phylon.slots import Slots, opened, plan, without_times
from tests.phylon.slots import journal as slots_journal
from tests.phylon.toy import journal, run


class Killed(BaseException):
    """As if the driver was killed."""


@dataclasses.dataclass
class Trained:
    """Trains one epoch after another, and keeps how far it is in the candidate's folder.

    Attributes:
        dies_in: The candidate in whose second epoch the driver is killed.
        fails_in: The candidate that fails.
        fades: Whether what is measured becomes worse with every epoch.
        trained: Epochs that were trained, by candidate.
    """

    dies_in: int = -1
    fails_in: int = -1
    fades: bool = False
    trained: list[tuple[int, int]] = dataclasses.field(default_factory=list)
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        if candidate.id == self.fails_in:
            raise RuntimeError("no luck")
        files = [
            context.folder / "state",
            context.folder.parent / str(candidate.continues) / "state",
        ]
        done = next((int(file.read_text()) for file in files if file.exists()), 0)
        for epoch in range(1, (candidate.epochs or 9) + 1):
            if epoch > done:
                self.trained.append((candidate.id, epoch))
                context.folder.mkdir(parents=True, exist_ok=True)
                files[0].write_text(str(epoch))
            if candidate.id == self.dies_in and epoch == 2:
                raise Killed
            y = candidate.architecture["x"] * epoch
            context.report(Measurement(epoch, {"y": -y if self.fades else y}, 0.0))

    def test(self, candidate: Candidate, context: Context) -> dict[str, float]:
        assert int((context.folder / "state").read_text()) == candidate.epochs
        return {"test_y": 1.0}


@pytest.fixture
def new_halving(new_study: Callable[..., Study]) -> Callable[..., Study]:
    def build(task: Trained | None = None, **fields: object) -> Study:
        settings: dict[str, object] = {
            "strategy": {"name": "halving", "of": "random", "eta": 2},
            "training": {"epochs": 4},
            "budget": {"candidates": 30},
            **fields,
        }
        return new_study(task or Trained(), **settings)

    return build


def first_promotion(study: Study) -> int:
    return next(
        event.candidate.id
        for event in journal(study)
        if isinstance(event, Proposed) and event.candidate.continues is not None
    )


def test_each_network_is_ranked_once_with_its_furthest_result(
    new_halving: Callable[..., Study],
) -> None:
    study = new_halving(final={"top": 3, "epochs": 5, "seeds": 1})
    state = run(study)
    ranking = state.ranking("search")
    networks = [record.candidate.architecture for record in ranking]
    assert len(networks) == len(set(networks)) < 30
    for record in ranking:
        others = [
            r
            for r in state.records.values()
            if r.candidate.phase == "search"
            and r.candidate.architecture == record.candidate.architecture
        ]
        assert record.step == max(other.step for other in others)
    assert [record.step for record in ranking] == sorted((r.step for r in ranking), reverse=True)
    assert ranking[0].step == 4
    finals = [r.candidate for r in state.records.values() if r.candidate.phase == "final"]
    assert [candidate.parents for candidate in finals] == [(r.id,) for r in ranking[:3]]


def test_results_after_fewer_epochs_do_not_beat_those_after_more(
    new_halving: Callable[..., Study],
) -> None:
    state = run(new_halving(Trained(fades=True)))
    steps = [record.step for record in state.ranking("search")]
    assert steps == sorted(steps, reverse=True)
    assert state.best.step == 4
    assert max(r.metrics["y"] for r in state.records.values()) > state.best.metrics["y"]


def test_a_promotion_trains_what_it_adds_and_shows_all_epochs_and_its_descent(
    new_halving: Callable[..., Study],
) -> None:
    task = Trained()
    study = new_halving(task)
    state = run(study)
    assert len(task.trained) == len(set(task.trained))
    tagged = Projection().plan(journal(study))
    promoted = [r.candidate for r in state.records.values() if r.candidate.continues is not None]
    assert {candidate.epochs for candidate in promoted} == {2, 4}
    for candidate in promoted:
        before = state.records[candidate.continues].candidate
        trained = [epoch for number, epoch in task.trained if number == candidate.id]
        assert trained == list(range(before.epochs + 1, candidate.epochs + 1))
        steps = [
            event.measurement.step
            for event in journal(study)
            if isinstance(event, Reported) and event.candidate_id == candidate.id
        ]
        assert steps == list(range(1, candidate.epochs + 1))
        row = lineage_rows(state, {})[candidate.id]
        assert (row["operator"], row["parents"]) == ("promote", [before.id])
        assert tagged[candidate.id].birth.tags["phylon.continues"] == str(before.id)


def test_folders_are_kept_while_they_may_be_gone_on_with(new_halving: Callable[..., Study]) -> None:
    checked = 0

    class Watching(Trained):
        def evaluate(self, candidate: Candidate, context: Context) -> None:
            nonlocal checked
            if candidate.continues is not None:
                assert (context.folder.parent / str(candidate.continues) / "state").exists()
            state = StudyState(journal(study))
            kept = {int(path.name) for path in context.folder.parent.glob("*")}
            for record in state.records.values():
                if record.state == "completed" and record.candidate.epochs < 4:
                    ended = {r.id for r in state.records.values() if r.state != "pending"}
                    assert (record.id in kept) == (record.continued_by not in ended), record
                    checked += 1
            super().evaluate(candidate, context)

    study = new_halving(Watching(fails_in=12))
    state = run(study)
    assert checked > 100
    kept = {int(path.name) for path in (study.folder / "candidates").iterdir()}
    assert kept == {state.best.id}


def test_a_failed_promotion_leaves_the_earlier_result(new_halving: Callable[..., Study]) -> None:
    whole = new_halving(name="whole")
    run(whole)
    number = first_promotion(whole)
    study = new_halving(Trained(fails_in=number), budget={"candidates": number + 1})
    state = run(study)
    (failed,) = [event for event in journal(study) if isinstance(event, Failed)]
    before = state.records[failed.candidate_id].candidate.continues
    assert before in {record.id for record in state.ranking("search")}
    assert state.tested.candidate_ids == [state.best.id]


@pytest.mark.parametrize("order", ["free", "strict"])
def test_a_driver_killed_in_a_promotion_goes_on_with_it_under_its_id(
    new_halving: Callable[..., Study], order: str
) -> None:
    whole = new_halving(name="whole", order=order)
    expected = run(whole)
    number = max(r.id for r in expected.records.values() if r.candidate.epochs == 4)
    with pytest.raises(Killed):
        run(new_halving(Trained(dies_in=number), order=order))
    task = Trained()
    state = run(new_halving(task, order=order), resume=True)
    assert task.trained[0] == (number, 3)
    assert [r.candidate for r in state.records.values()] == [
        r.candidate for r in expected.records.values()
    ]
    assert [r.metrics for r in state.records.values()] == [
        r.metrics for r in expected.records.values()
    ]


@pytest.mark.parametrize("order", ["free", "strict"])
def test_promotions_go_on_after_the_space_is_exhausted(
    new_halving: Callable[..., Study], order: str
) -> None:
    space = SearchSpace(x=Choice(*range(1, 9)))
    study = new_halving(space=space, order=order, window=4)
    state = run(study)
    assert isinstance(state.ending, Finished)
    assert "every architecture" in state.ending.reason
    epochs = [record.candidate.epochs for record in state.records.values()]
    assert epochs.count(1) == 8
    assert epochs.count(2) >= 4
    assert epochs.count(4) >= 2
    assert state.best.metrics == {"y": 32.0}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"name": "halving", "epochs": 3}, "strategy.epochs: .* set `training.epochs`"),
        ({"name": "random", "seed": 3}, "strategy.seed: .* set `seed`"),
        ({"name": "halving", "of": "random", "min_epochs": 4}, "allowed: integers from 1 to 3"),
    ],
)
def test_what_the_study_says_is_not_for_the_strategy_to_say(
    new_halving: Callable[..., Study], strategy: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        run(new_halving(strategy=strategy))


@pytest.mark.parametrize("deaths", [0, 3])
def test_strict_order_promotes_the_same_on_any_number_of_slots(tmp_path: Path, deaths: int) -> None:
    histories = []
    for slots in (1, 2, 4):
        folder = tmp_path / str(slots)
        random = Random(slots)
        for _ in range(deaths):
            with opened(folder, plan(30, seed=7), window=3, halving=True) as driver:
                Slots(driver, slots, random, fails=0.2).run(limit=random.randint(5, 30))
        with opened(folder, plan(30, seed=7), window=3, halving=True) as driver:
            Slots(driver, slots, random, fails=0.2).run()
            assert driver.finished
        histories.append(without_times(slots_journal(folder)))
    assert histories[0] == histories[1] == histories[2]
    epochs = Counter(e.candidate.epochs for e in histories[0] if isinstance(e, Proposed))
    assert epochs[1] > epochs[2] > epochs[4] > 0


def test_digits_are_halved_on_ray(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    study = Study(
        name="digits",
        task="digits",
        space={"name": "macro", "image_size": 8, "stages": [1, 1], "width": [8, 8]},
        strategy={"name": "halving", "of": "random", "eta": 2},
        objectives=[{"metric": "val_accuracy", "direction": "maximize"}],
        training={"epochs": 2, "batch_size": 256},
        budget={"candidates": 6},
        resources={"cpus": float(os.cpu_count() or 1)},
        tracking={"uri": "none"},
        storage=str(tmp_path),
    )
    with caplog.at_level(logging.WARNING):
        state = study.run(show_progress=False)
    assert "starts over" not in caplog.text
    assert (state.completed, state.failed) == (6, 0)
    promoted = [r for r in state.records.values() if r.candidate.continues is not None]
    assert len(promoted) >= 2
    for record in promoted:
        seconds = [
            event.measurement.seconds
            for event in journal(study)
            if isinstance(event, Reported) and event.candidate_id == record.id
        ]
        before = state.records[record.candidate.continues].step
        assert seconds[:before] == [0.0] * before
        assert all(value > 0 for value in seconds[before:])
    assert state.best.candidate.continues is not None
    assert state.tested.candidate_ids == [state.best.id]
    assert sum(isinstance(event, Completed) for event in journal(study)) == 6
