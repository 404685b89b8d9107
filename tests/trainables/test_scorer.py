from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from phylon.search import Architecture, Candidate, Context, Measurement
from phylon.search.errors import EvaluationError, SpaceError
from phylon.search.evaluation import Weights
from phylon.trainables import ImageTask, LightningEvaluator, Training, nasbench201_space
from phylon.trainables.lightning import quiet
from phylon.trainables.scorer import Scorer, share

SPACE = nasbench201_space(cells=1, channels=4)
Make = Callable[..., Scorer]


@pytest.fixture(scope="module")
def weights(bars: ImageTask) -> Weights:
    """Weights of a supernet that has learned a little, as workers are lent them."""
    torch.manual_seed(1)
    supernet = bars.supernet(SPACE)
    optimizer = torch.optim.AdamW(supernet.parameters(), 1e-2)
    images, labels = next(iter(bars.datamodule(0, 64).train_dataloader()))
    for seed in range(40):
        supernet.select(cell(seed))
        optimizer.zero_grad()
        nn.functional.cross_entropy(supernet(images / 80 - 1), labels).backward()
        optimizer.step()
    arrays = {name: each.detach().numpy() for name, each in supernet.state_dict().items()}
    for array in arrays.values():
        array.flags.writeable = False
    return arrays


@pytest.fixture
def make(bars: ImageTask, weights: Weights, tmp_path: Path) -> Iterator[Make]:
    def new(calibration: int = 3) -> Scorer:
        supernet = bars.supernet(SPACE)
        share(supernet, weights)
        data = bars.datamodule(0, 16)
        return Scorer(bars, supernet, data, calibration, 0, Context(tmp_path, lambda _: None))

    with quiet():
        yield new


def cell(seed: int) -> Architecture:
    return SPACE.sample(np.random.default_rng(seed))


@pytest.mark.parametrize("calibration", [0, 3])
def test_a_score_does_not_depend_on_what_was_scored_before(
    make: Make, weights: Weights, calibration: int
) -> None:
    before = {name: array.copy() for name, array in weights.items()}
    scorer = make(calibration)
    scores = [scorer.score(cell(seed)) for seed in range(5)]
    torch.rand(3)
    again = make(calibration)
    assert [again.score(cell(seed)) for seed in reversed(range(5))] == scores[::-1]
    assert scorer.score(cell(3)) == scores[3]
    assert all(np.array_equal(before[name], weights[name]) for name in before)


def test_calibration_fits_the_statistics_to_the_path(make: Make) -> None:
    def losses(calibration: int) -> float:
        scorer = make(calibration)
        return float(np.mean([scorer.score(cell(seed))["val_loss"] for seed in range(5)]))

    assert losses(3) < 0.8 * losses(0)


def test_a_score_is_what_the_network_measures_on_its_own(
    bars: ImageTask, make: Make, weights: Weights, tmp_path: Path
) -> None:
    supernet = bars.supernet(SPACE)
    share(supernet, weights)
    network = supernet.extract(cell(1)).eval()
    data = bars.datamodule(0, 16)
    batches = [data.on_after_batch_transfer(each, 0) for each in data.val_dataloader()]
    with torch.no_grad():
        logits = torch.cat([network(images) for images, _ in batches])
    labels = torch.cat([each for _, each in batches])
    score = make(calibration=0).score(cell(1))
    loss = float(nn.functional.cross_entropy(logits, labels))
    assert score["val_loss"] == pytest.approx(loss, rel=1e-5)
    assert score["val_accuracy"] == float((logits.argmax(1) == labels).double().mean())
    alone: list[Measurement] = []
    trained = LightningEvaluator(bars, Training(epochs=1, batch_size=16))
    trained.evaluate(Candidate(1, cell(1)), Context(tmp_path / "1", alone.append))
    assert set(trained.metrics) - {"train_loss"} == set(score)
    assert [score[each] for each in ("params", "macs")] == [
        alone[0].metrics[each] for each in ("params", "macs")
    ]


def test_parameters_are_the_lent_arrays_themselves(bars: ImageTask, weights: Weights) -> None:
    supernet = bars.supernet(SPACE)
    share(supernet, weights)
    for name, parameter in supernet.named_parameters():
        assert np.shares_memory(parameter.detach().numpy(), weights[name])
    for name, buffer in supernet.named_buffers():
        assert not np.shares_memory(buffer.numpy(), weights[name])


def test_what_does_not_fit_is_told_by_name(bars: ImageTask, weights: Weights, make: Make) -> None:
    with pytest.raises(EvaluationError, match=r"`network\.\S+` has shape \(4,.*\(2,.*train"):
        share(bars.supernet(nasbench201_space(1, 2)), weights)
    fewer = dict(weights)
    name = sorted(fewer)[0]
    del fewer[name]
    with pytest.raises(EvaluationError, match=f"`{name}` has shape None in the weights"):
        share(bars.supernet(SPACE), fewer)
    with pytest.raises(EvaluationError, match=r"`more` has shape.*None in the supernet"):
        share(bars.supernet(SPACE), {**weights, "more": np.zeros(1)})
    with pytest.raises(SpaceError, match="cells"):
        make().score(nasbench201_space(2, 4).sample(np.random.default_rng(0)))
