"""Beginning with earlier studies and with the scores of untrained networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyarrow import fs

from phylon import Choice, Float, Integer, Measurement, SearchSpace, Study, StudyConfig, events
from phylon.cluster.serial import SerialExecutor
from phylon.errors import ConfigurationError, EvaluationError, StudyError
from phylon.journal import JournalReader
from phylon.scoring import SCORES, Scoring
from phylon.search.candidate import Candidate
from phylon.search.evaluation import Context
from phylon.search.zero_cost import PROXIES, best_by_proxies
from phylon.trainables.registry import load_task
from tests.phylon.toy import SPACE, Toy, journal, run

NewStudy = Callable[..., Study]


def primed(study: Study) -> events.Primed:
    (event,) = (event for event in journal(study) if isinstance(event, events.Primed))
    return event


@pytest.fixture
def earlier(new_study: NewStudy) -> Study:
    study = new_study(name="earlier", budget={"candidates": 20})
    run(study)
    return study


def test_a_warm_start_tries_the_best_of_earlier_studies_first(
    new_study: NewStudy, earlier: Study
) -> None:
    strategy = "regularized_evolution"
    study = new_study(name="later", warm_start=[str(earlier.folder)], strategy=strategy, seed=5)
    state = run(study)
    ranking = earlier.state().ranking("search")
    share = len(primed(study).start)
    assert share >= 2
    for place in range(share):
        candidate = state.records[place].candidate
        assert candidate.operator == "prime"
        assert candidate.architecture == ranking[place].candidate.architecture
    assert state.records[share].candidate.operator == "sample"
    assert {known.architecture for known in primed(study).known} == {
        record.candidate.architecture for record in earlier.state().records.values()
    }


def test_a_primed_study_resumes_without_the_earlier_one(
    new_study: NewStudy, earlier: Study, tmp_path: Path
) -> None:
    whole = new_study(name="whole", warm_start=[str(earlier.folder)])
    expected = [record.candidate for record in run(whole).records.values()]
    fields: dict[str, Any] = {"name": "halves", "warm_start": [str(earlier.folder)]}
    run(new_study(**fields, budget={"candidates": 3}))
    earlier.folder.rename(tmp_path / "gone")
    state = run(new_study(**fields), resume=True)
    assert [record.candidate for record in state.records.values()] == expected
    assert primed(new_study(**fields)).start


@pytest.mark.parametrize(
    ("space", "message"),
    [
        (SearchSpace(x=Float(0.0, 0.1), kind=Choice("a", "b")), "`x`: a float from 0.0 to 1.0 bec"),
        (SearchSpace(x=Float(0.0, 1.0), kind=Choice("a", "c")), "`kind`: one of 'a', 'b' became"),
        (SearchSpace(x=Float(0.0, 1.0)), "`kind` was removed"),
        (SearchSpace(x=Float(0.0, 1.0), kind=Choice("a", "b"), n=Integer(1, 2)), "`n` was added"),
    ],
)
def test_an_earlier_study_of_another_space_is_refused(
    new_study: NewStudy, earlier: Study, space: SearchSpace, message: str
) -> None:
    study = new_study(name="later", space=space, warm_start=[str(earlier.folder)])
    with pytest.raises(ConfigurationError, match=message) as raised:
        run(study)
    assert str(earlier.folder) in str(raised.value)
    assert not study.folder.exists()


def test_a_wider_space_takes_what_a_narrower_one_found(new_study: NewStudy, earlier: Study) -> None:
    space = SearchSpace(x=Float(-1.0, 2.0), kind=Choice("a", "b", "c"))
    study = new_study(name="later", space=space, warm_start=[str(earlier.folder)])
    assert run(study).records[0].candidate.operator == "prime"


def test_what_is_no_study_or_measured_something_else_is_refused(
    new_study: NewStudy, earlier: Study, tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"warm_start.0: .* is no study"):
        run(new_study(name="later", warm_start=[str(tmp_path)]))
    other = new_study(
        Toy(metrics=("y", "z", "w")),
        name="later",
        objectives=[{"metric": "w", "direction": "minimize"}],
        warm_start=[str(earlier.folder)],
    )
    with pytest.raises(ConfigurationError, match=r"`w` was not reported; .* reported: y, z"):
        run(other)


def test_a_strategy_of_one_start_takes_the_best_of_earlier_studies(
    new_study: NewStudy, earlier: Study, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(earlier.folder.parent))
    for folder in (earlier.folder, "~/earlier"):
        name = f"later-{type(folder).__name__}"
        strategy = {"name": "hill_climb", "starts": 1}
        study = new_study(name=name, warm_start=[folder], strategy=strategy)
        run(study)
        best = earlier.state().ranking("search")[0]
        assert primed(study).start == [best.candidate.architecture]


def test_what_misses_the_constraints_or_was_not_finite_is_no_start(new_study: NewStudy) -> None:
    earlier = new_study(Holes(), name="earlier", budget={"candidates": 30})
    state = run(earlier)
    study = new_study(
        Holes(),
        name="later",
        objectives=[{"metric": "z", "direction": "minimize"}],
        constraints=[{"metric": "y", "at_most": 0.8}],
        warm_start=[str(earlier.folder)],
    )
    run(study)
    measured = [r for r in state.records.values() if np.isfinite(r.metrics["z"])]
    within = [r.candidate.architecture for r in measured if r.metrics["y"] <= 0.8]
    assert {known.architecture for known in primed(study).known} == set(within)
    assert set(primed(study).start) < set(within)
    assert 0 < len(within) < len(measured) < len(state.records)


@dataclass
class Holes:
    """Measures no `z` where `x` is small."""

    metrics: tuple[str, ...] = ("y", "z")

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        x = candidate.architecture["x"]
        z = -x if x > 0.2 else float("nan")
        context.report(Measurement(1, {"y": x, "z": z}, 0.0))


def test_zero_cost_begins_with_the_best_scored_networks(new_study: NewStudy) -> None:
    task: Any = load_task("digits")
    fields: dict[str, Any] = {
        "task": task,
        "space": task.space,
        "name": "zero",
        "objectives": [{"metric": "val_accuracy", "direction": "maximize"}],
        "initial": {"name": "zero_cost", "samples": 12},
        "strategy": {"name": "regularized_evolution", "population": 6, "sample": 2},
        "constraints": [{"metric": "params", "at_most": 60_000}],
        "training": {"epochs": 1},
        "budget": {"candidates": 2},
    }
    study = new_study(**fields)
    state = run(study)
    reader = JournalReader(fs.LocalFileSystem(), str(study.folder / SCORES))
    scores = {e.candidate_id: e.metrics for e in reader.read() if isinstance(e, events.Completed)}
    assert len(scores) == 12
    assert set(scores[0]) == {"synflow", "nwot", "jacov", "params"}
    assert np.isfinite([list(each.values()) for each in scores.values()]).all()
    within = [each for each in scores.values() if each["params"] <= 60_000]
    assert 3 < len(within) < 12
    chosen = [within[place]["params"] for place in best_by_proxies(within, 3)]
    assert [r.metrics["params"] for r in state.records.values()] == chosen[:2]
    assert [r.candidate.architecture for r in state.records.values()] == primed(study).start[:2]


@dataclass
class Scorer:
    """Scores by the decision `x`, and breaks down in the middle."""

    breaks_at: int
    metrics: tuple[str, ...] = PROXIES
    scored: list[int] = field(default_factory=list)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        if len(self.scored) == self.breaks_at:
            raise KeyboardInterrupt
        self.scored.append(candidate.id)
        scores = dict.fromkeys(PROXIES, candidate.architecture["x"])
        context.report(Measurement(1, scores, 0.0))


def new_scoring(
    config: StudyConfig, on_score: Callable[[], None], check: Callable[[], None] = lambda: None
) -> Scoring:
    return Scoring(config.location, config, SPACE, lambda: False, on_score, check=check)


def test_scores_survive_an_interruption(new_study: NewStudy) -> None:
    config = new_study(initial={"name": "zero_cost", "samples": 10}).config

    said = list[str]()

    def scoring() -> Scoring:
        return new_scoring(config, lambda: said.append(""))

    first, second = Scorer(breaks_at=4), Scorer(breaks_at=99)
    with pytest.raises(KeyboardInterrupt):
        scoring().best(3, SerialExecutor(config.location), first)
    best = scoring().best(3, SerialExecutor(config.location), second)
    assert first.scored + second.scored == list(range(10))
    assert len(said) == 10
    values = [architecture["x"] for architecture in best]
    assert values == sorted(values, reverse=True)
    assert len(values) == 3


def test_no_score_is_written_once_another_driver_has_the_study(new_study: NewStudy) -> None:
    config = new_study(initial={"name": "zero_cost", "samples": 10}).config
    said = list[str]()

    def check() -> None:
        if len(said) > 3:
            raise StudyError("another driver took it over")

    scoring = new_scoring(config, lambda: said.append(""), check)
    with pytest.raises(StudyError, match="took it over"):
        scoring.best(3, SerialExecutor(config.location), Scorer(breaks_at=99))
    scores = config.location / SCORES
    assert len(list(JournalReader(scores.filesystem, scores.path).read())) == 3


def test_only_a_network_that_took_its_worker_with_it_is_left_out(new_study: NewStudy) -> None:
    scoring = new_scoring(
        new_study(initial={"name": "zero_cost", "samples": 4}).config, lambda: None
    )

    def proposed() -> list[int]:
        return [candidate.id for candidate in iter(scoring.propose, None)]

    assert proposed() == [0, 1, 2, 3]
    scoring.lose(0, [1], "its node died", innocent=True)
    assert proposed() == [0, 1]
    scoring.lose(2, [3], "its worker died")
    assert proposed() == [3]


def test_that_nothing_can_be_scored_is_told_with_a_reason(new_study: NewStudy) -> None:
    task: Any = load_task("digits")
    space = SearchSpace(stages=Choice(1, 2), activation=Choice("none"))
    objective = {"metric": "val_accuracy", "direction": "maximize"}
    zero_cost = {"name": "zero_cost", "samples": 2}
    study = new_study(task, space=space, objectives=[objective], initial=zero_cost)
    with pytest.raises(EvaluationError, match=r"no network .* scored; .*: the space does"):
        run(study)


def test_zero_cost_needs_networks(new_study: NewStudy) -> None:
    study = new_study(initial="zero_cost")
    with pytest.raises(ConfigurationError, match="initial: zero_cost scores untrained networks"):
        run(study)
    assert not study.folder.exists()
