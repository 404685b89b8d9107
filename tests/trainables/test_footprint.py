"""How much memory trainings are foreseen to need, against what they need."""

from __future__ import annotations

import json
import logging
import pickle
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

from phylon.search import Architecture, Candidate, Measurement
from phylon.search.evaluation import MemoryForeseer
from phylon.trainables import LightningEvaluator, Task, Training

ROOT = Path(__file__).parents[2]
Evaluate = Callable[..., list[Measurement]]
WEIGHTS = 4 * (5 * 1000 + 1001)  # bytes: 4 -> 1000 -> 1, with biases


def wide(width: int = 1000) -> Candidate:
    return Candidate(0, Architecture({"width": width}), seed=3)


def foreseen(task: Task, batch_size: int = 8, width: int = 1000) -> int:
    return LightningEvaluator(task, Training(batch_size=batch_size)).memory(wide(width))


def with_optimizer(own: Task, make: Callable[..., Any]) -> Task:
    class Other(type(own)):
        def build(self, architecture: Architecture) -> nn.Module:
            module = super().build(architecture)
            module.configure_optimizers = lambda: make(module.parameters())
            return module

    return Other()


def with_step(own: Task, step: Callable[..., Any]) -> Task:
    class Other(type(own)):
        def build(self, architecture: Architecture) -> nn.Module:
            module = super().build(architecture)
            module.training_step = lambda batch, _: step(module, batch)
            return module

    return Other()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the peaks")
def test_real_trainings_need_about_what_is_foreseen() -> None:
    program = [sys.executable, "-m", "tests.trainables.peaks_of_trainings"]
    done = subprocess.run(program, cwd=ROOT, check=True, capture_output=True, text=True)
    for measured in json.loads(done.stdout.splitlines()[-1]).values():
        foreseen, needed = np.array(measured, dtype=float).T
        ratios = needed / foreseen
        assert ratios.min() > 1.0
        assert ratios.max() < 3.0
        assert ratios.max() / ratios.min() < 2.5
        assert spearmanr(foreseen, needed).statistic > 0.8


def test_the_optimizer_s_state_counts(own: Task) -> None:
    plain = foreseen(with_optimizer(own, lambda it: torch.optim.SGD(it, lr=0.1)))
    momentum = foreseen(with_optimizer(own, lambda it: torch.optim.SGD(it, lr=0.1, momentum=0.9)))
    adam = foreseen(with_optimizer(own, torch.optim.Adam))
    fused = foreseen(with_optimizer(own, lambda it: torch.optim.AdamW(it, fused=True)))
    both = foreseen(
        with_optimizer(
            own, lambda it: ([torch.optim.Adam(it, amsgrad=True)], [{"scheduler": object()}])
        )
    )
    assert momentum - plain == pytest.approx(WEIGHTS, rel=0.01)
    assert adam - plain == pytest.approx(2 * WEIGHTS, rel=0.01)
    assert fused - plain == pytest.approx(2 * WEIGHTS, rel=0.01)
    assert both - plain == pytest.approx(3 * WEIGHTS, rel=0.01)


def test_activations_grow_with_the_batch_and_the_network(own: Task) -> None:
    few, many = foreseen(own, 8), foreseen(own, 32)
    kept = 4 * 1000 * 2  # bytes of a sample: the hidden layer, and what dropout makes of it
    assert many - few >= 24 * kept
    assert many - few < 24 * 4 * kept
    assert foreseen(own, 8, 10) < foreseen(own, 8, 100) < foreseen(own, 8, 1000)


def test_a_step_that_looks_at_values_counts_as_far_as_it_came(
    own: Task, caplog: pytest.LogCaptureFixture
) -> None:
    def step(module: Any, batch: list[torch.Tensor]) -> torch.Tensor:
        loss = module.layers(batch[0]).square().mean()
        assert loss.item() >= 0
        return loss

    evaluator = LightningEvaluator(with_step(own, step), Training(batch_size=32))
    with caplog.at_level(logging.WARNING):
        first, second = evaluator.memory(wide(1000)), evaluator.memory(wide(2000))
    assert foreseen(own, 32) / 2 < first < second
    (said,) = caplog.messages
    assert "training_step cannot go through tensors without content" in said


def test_of_a_network_that_needs_real_tensors_the_weights_count(
    own: Task, caplog: pytest.LogCaptureFixture
) -> None:
    class Numeric(type(own)):
        def build(self, architecture: Architecture) -> nn.Module:
            module = super().build(architecture)
            assert np.isfinite(next(module.parameters()).detach().numpy()).all()
            return module

    assert foreseen(Numeric()) == 4 * WEIGHTS
    assert "build cannot go through" in caplog.text


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_what_cannot_even_be_built_is_left_to_the_training(own: Task) -> None:
    class Broken(type(own)):
        def build(self, _architecture: Architecture) -> nn.Module:
            raise ZeroDivisionError

        def datamodule(self, _seed: int, _batch_size: int) -> Any:
            raise FileNotFoundError

    assert foreseen(Broken()) == 0


def test_trainings_and_random_generators_stay_the_same(bars: Task, evaluate: Evaluate) -> None:
    training = Training(epochs=2, batch_size=20)
    alone = evaluate(LightningEvaluator(bars, training), "alone")
    evaluator = LightningEvaluator(bars, training)
    assert isinstance(evaluator, MemoryForeseer)
    states = random.getstate(), torch.get_rng_state(), np.random.get_state()[1].tolist()  # noqa: NPY002
    small = Candidate(0, bars.space.sample(np.random.default_rng(0)))
    assert evaluator.memory(small) == evaluator.memory(small) > 0
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])
    assert np.random.get_state()[1].tolist() == states[2]  # noqa: NPY002
    foreseen_before = evaluate(evaluator, "foreseen")
    assert [each.metrics for each in foreseen_before] == [each.metrics for each in alone]
    assert pickle.loads(pickle.dumps(evaluator)).memory(small) > 0  # noqa: S301
