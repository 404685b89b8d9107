from __future__ import annotations

import json
import math
import pickle
from collections.abc import Callable
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch
from pytorch_lightning import LightningDataModule
from torch import nn
from torch.utils.data import TensorDataset

from phylon.search import Architecture, Candidate, Evaluator, Measurement
from phylon.search.errors import ConfigurationError, EvaluationError
from phylon.search.zero_cost import PROXIES
from phylon.trainables import ImageTask, ProxyEvaluator, Task
from phylon.trainables.proxies import PROXIES as ALL
from phylon.trainables.proxies import score

Evaluate = Callable[..., list[Measurement]]


def test_a_candidate_is_scored_once_and_not_trained(bars: ImageTask, evaluate: Evaluate) -> None:
    evaluator = ProxyEvaluator(bars, tuple(ALL), batch_size=16)
    assert isinstance(evaluator, Evaluator)
    (measurement,) = evaluate(evaluator)
    assert measurement.step == 1
    assert measurement.seconds > 0
    assert tuple(measurement.metrics) == evaluator.metrics == tuple(ALL)
    assert json.loads(json.dumps(measurement.metrics, allow_nan=False)) == measurement.metrics


def test_scores_are_those_of_the_network_on_training_data(
    bars: ImageTask, evaluate: Evaluate, small: Architecture
) -> None:
    (measurement,) = evaluate(ProxyEvaluator(bars, ("nwot", "snip"), seed=3, batch_size=16))
    torch.manual_seed(5)  # the candidate's
    network = bars.build(small)
    data = bars.datamodule(3, 16)
    torch.manual_seed(3)
    inputs, labels = data.on_after_batch_transfer(next(iter(data.train_dataloader())), 0)
    assert measurement.metrics == score(network, inputs, labels, ["nwot", "snip"])


def test_scores_follow_from_the_seeds_in_any_process_and_order(
    bars: ImageTask, evaluate: Evaluate
) -> None:
    evaluator = ProxyEvaluator(bars, PROXIES, seed=1, batch_size=16)
    candidates = [
        Candidate(n, bars.space.sample(np.random.default_rng(n)), seed=n) for n in range(4)
    ]
    first = [evaluate(evaluator, candidate=candidate)[0].metrics for candidate in candidates]
    assert len({scores["nwot"] for scores in first}) == 4
    text = cloudpickle.dumps(evaluator)
    assert len(text) < bars.dataset.images.nbytes + 4000  # the batch stays at home
    there = pickle.loads(text)  # noqa: S301
    again = [evaluate(there, candidate=each)[0].metrics for each in reversed(candidates)]
    assert again == first[::-1]
    other = Candidate(9, candidates[0].architecture, seed=9)
    assert evaluate(evaluator, candidate=other)[0].metrics != first[0]
    (elsewhere,) = evaluate(
        ProxyEvaluator(bars, PROXIES, seed=2, batch_size=16), candidate=candidates[0]
    )
    assert elsewhere.metrics["nwot"] != first[0]["nwot"]


class Lines(Task):
    """Numbers in lines; what a user brings, with labels or without."""

    metrics = ("val_loss",)

    def __init__(self, *, labelled: bool) -> None:
        self.labelled = labelled

    def build(self, architecture: Architecture) -> nn.Module:
        width = architecture["width"]
        return nn.Sequential(nn.Linear(4, width), nn.Tanh(), nn.Dropout(0.5), nn.Linear(width, 2))

    def datamodule(self, _seed: int, batch_size: int) -> LightningDataModule:
        lines, labels = torch.randn(40, 4), torch.arange(40) % 2
        data: Any = TensorDataset(lines, labels) if self.labelled else list(lines)
        return LightningDataModule.from_datasets(data, batch_size=batch_size, num_workers=0)


def test_a_task_of_the_users_own_is_scored_too(evaluate: Evaluate) -> None:
    candidate = Candidate(0, Architecture({"width": 8}))
    (measurement,) = evaluate(ProxyEvaluator(Lines(labelled=True), tuple(ALL)), candidate=candidate)
    assert all(map(math.isfinite, measurement.metrics.values()))
    assert measurement.metrics["macs"] == 4 * 8 + 8 * 2


def test_data_without_labels_is_refused(evaluate: Evaluate) -> None:
    with pytest.raises(EvaluationError, match="two tensors; the data of Lines yields Tensor"):
        evaluate(ProxyEvaluator(Lines(labelled=False), PROXIES))


def test_a_batch_too_small_for_the_networks_is_refused(bars: ImageTask) -> None:
    with pytest.raises(ConfigurationError, match="batch size 1 is too small for ImageTask"):
        ProxyEvaluator(bars, PROXIES, batch_size=1)


def test_nothing_is_said(
    bars: ImageTask, evaluate: Evaluate, capfd: pytest.CaptureFixture[str]
) -> None:
    evaluate(ProxyEvaluator(bars, PROXIES))
    assert capfd.readouterr() == ("", "")
