from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from phylon.search import Architecture, Candidate, Context, Evaluator, Measurement, evaluation
from phylon.search.errors import ConfigurationError, EvaluationError
from phylon.search.evaluation import Published, Weights
from phylon.search.objective import Objective
from phylon.trainables import LightningEvaluator, Training
from phylon.trainables.sharing import Sharing
from phylon.trainables.supernet_evaluator import SupernetEvaluator
from tests.trainables.lines import SPACE, Lines

WHOLE = Candidate(0, Architecture({}), phase="supernet", seed=3)
FIRST = SPACE.sample(np.random.default_rng(0))


def evaluator(task: Lines | None = None, epochs: int = 2) -> SupernetEvaluator:
    trained = LightningEvaluator(task or Lines(), Training(epochs, 16, checkpoint_every=1))
    return SupernetEvaluator(trained, SPACE, Sharing("enas", epochs=2, samples=4))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a trained supernet."""
    folder = tmp_path_factory.mktemp("supernet")
    evaluator().evaluate(WHOLE, Context(folder, lambda _: None))
    return folder


@pytest.fixture
def weights(trained: Path) -> Weights:
    return load_file(trained / "weights.safetensors")


def evaluate(
    made: SupernetEvaluator, candidate: Candidate, folder: Path, weights: Weights
) -> list[Measurement]:
    found: list[Measurement] = []
    made.evaluate(
        candidate, Context(folder, found.append, weights={0: Published(weights)}.__getitem__)
    )
    return found


def test_it_is_all_that_a_study_may_ask_for() -> None:
    made = evaluator()
    for protocol in (
        Evaluator,
        evaluation.Tester,
        evaluation.Fingerprinted,
        evaluation.NetworkKeeper,
        evaluation.MemoryForeseer,
        evaluation.Adviser,
    ):
        assert isinstance(made, protocol)
    assert made.metrics == ("val_score", "val_loss", "params", "macs")
    assert made.fingerprint() == made.trained.fingerprint()


def test_a_scored_candidate_is_measured_once_and_leaves_nothing(
    tmp_path: Path, weights: Weights
) -> None:
    made = evaluator()
    scored = Candidate(1, FIRST, epochs=0, inherit_from=0)
    (found,) = evaluate(made, scored, tmp_path / "1", weights)
    assert found.step == 1
    assert found.checkpoint is None
    assert set(found.metrics) == set(made.metrics)
    assert not (tmp_path / "1").exists()
    again = pickle.loads(pickle.dumps(made))  # noqa: S301
    (other,) = evaluate(again, scored, tmp_path / "1", weights)
    assert other.metrics == found.metrics


def test_other_weights_are_taken_when_another_version_is_asked_for(
    tmp_path: Path, weights: Weights
) -> None:
    made, asked = evaluator(), []

    def versions(version: int) -> Published:
        asked.append(version)
        return Published({name: array * (1 + version) for name, array in weights.items()})

    losses = []
    for version in (0, 0, 1, 1):
        found: list[Measurement] = []
        scored = Candidate(5, FIRST, epochs=0, inherit_from=version)
        made.evaluate(scored, Context(tmp_path, found.append, weights=versions))
        losses.append(found[0].metrics["val_loss"])
    assert asked == [0, 1], "the scorer of a version is kept"
    assert losses[0] == losses[1] != losses[2] == losses[3]


def test_a_candidate_that_inherits_begins_with_the_weights_of_its_path(
    tmp_path: Path, weights: Weights
) -> None:
    made = evaluator(Lines(rate=0.0))
    heir = Candidate(7, FIRST, phase="final", inherit_from=0)
    fresh = Candidate(8, FIRST, phase="final")
    inherited = evaluate(made, heir, tmp_path / "7", weights)
    assert [each.metrics["inherited_share"] for each in inherited] == [1.0, 1.0]
    assert "inherited_share" not in evaluate(made, fresh, tmp_path / "8", weights)[-1].metrics
    network, _ = made.network(heir, tmp_path / "7")
    path = f"network.0.{FIRST['first']}.0.weight"
    assert torch.equal(network[0][0].weight, torch.from_numpy(weights[path]))
    other, _ = made.network(fresh, tmp_path / "8")
    assert not torch.equal(other[0][0].weight, network[0][0].weight)


def test_a_checkpoint_of_its_own_goes_before_what_it_inherits(
    tmp_path: Path, weights: Weights
) -> None:
    heir = Candidate(7, FIRST, phase="final", inherit_from=0)
    expected = evaluate(evaluator(epochs=4), heir, tmp_path / "whole", weights)

    def kill(measurement: Measurement) -> None:
        if measurement.step == 2:
            raise KeyboardInterrupt

    context = Context(tmp_path / "killed", kill, weights=lambda _: Published(weights))
    with pytest.raises(KeyboardInterrupt):
        evaluator(epochs=4).evaluate(heir, context)
    resumed: list[Measurement] = []  # without any weights to be had
    evaluator(epochs=4).evaluate(heir, Context(tmp_path / "killed", resumed.append))
    assert [m.metrics for m in resumed] == [m.metrics for m in expected]


def test_checkpoints_of_one_that_inherits_are_not_those_of_one_that_does_not(
    tmp_path: Path, weights: Weights, caplog: pytest.LogCaptureFixture
) -> None:
    evaluate(evaluator(), Candidate(7, FIRST), tmp_path, weights)
    evaluate(evaluator(), Candidate(7, FIRST, inherit_from=0), tmp_path, weights)
    assert "it is of another training" in caplog.text


def test_the_controller_advises_different_architectures(trained: Path) -> None:
    advised = evaluator().advice(WHOLE, trained)
    assert len({each.key for each in advised}) == len(advised) == 4
    assert all(each in SPACE for each in advised)
    assert advised == [Architecture(e) for e in json.loads((trained / "advice.json").read_text())]


def test_a_controller_that_repeats_itself_advises_fewer(tmp_path: Path) -> None:
    lone = LightningEvaluator(Lines(), Training(1, 16))
    made = SupernetEvaluator(lone, SPACE, Sharing("enas", epochs=1, samples=99))
    made.evaluate(WHOLE, Context(tmp_path, lambda _: None))
    assert len(made.advice(WHOLE, tmp_path)) == SPACE.size


def test_only_a_controller_advises(tmp_path: Path) -> None:
    made = SupernetEvaluator(LightningEvaluator(Lines()), SPACE, Sharing("uniform"))
    assert made.advice(WHOLE, tmp_path) == []
    with pytest.raises(EvaluationError, match=r"advice\.json` cannot be read.*candidate 0"):
        evaluator().advice(WHOLE, tmp_path)


def test_the_memory_of_a_supernet_is_that_of_all_its_weights() -> None:
    made = evaluator()
    alone, whole = made.memory(Candidate(1, FIRST)), made.memory(WHOLE)
    supernet = sum(each.nbytes for each in Lines().supernet(SPACE).parameters())
    assert whole > alone
    assert whole > 3 * supernet


def test_a_controller_is_rewarded_for_what_validation_tells() -> None:
    lone = LightningEvaluator(Lines())
    with pytest.raises(ConfigurationError, match=r"first one is `params`.*val_score, val_loss"):
        SupernetEvaluator(lone, SPACE, Sharing("enas"), Objective("params", "minimize"))


def test_one_that_is_scored_needs_weights(tmp_path: Path, weights: Weights) -> None:
    with pytest.raises(EvaluationError, match="candidate 4 is to be scored, but inherits no"):
        evaluate(evaluator(), Candidate(4, FIRST, epochs=0), tmp_path, weights)
