from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from phylon.search import Architecture, Candidate, Context, Evaluator, Measurement
from phylon.trainables import ImageTask, Labelled, dataset_from_arrays, macro_space

Evaluate = Callable[..., list[Measurement]]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bars() -> ImageTask:
    """Tell upright bars from lying ones, in noise: 120 pictures of 6x6 pixels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, size=(120, 6, 6), dtype=np.uint8)
    labels = np.arange(120) % 2
    for image, label in zip(images, labels, strict=True):
        place = rng.integers(6)
        bar = (slice(None), place) if label else (place, slice(None))
        image[bar] += 180
    dataset = dataset_from_arrays(Labelled(images, labels), source="bars")
    return ImageTask(dataset, macro_space(6, depth=(1, 1), width=(8, 16)))


@pytest.fixture(scope="session")
def small() -> Architecture:
    """An architecture of the space of `bars`, with dropout and batch norm."""
    stage = {
        "block": {"type": "plain", "kernel": 3},
        "depth": 1,
        "width": 8,
        "pooling": "max",
    }
    return Architecture(
        {
            "stages": [stage],
            "activation": "relu",
            "dropout": 0.2,
            "learning_rate": 0.02,
            "weight_decay": 0.001,
        }
    )


@pytest.fixture
def evaluate(tmp_path: Path, small: Architecture) -> Evaluate:
    """Evaluate a candidate in a folder and return its measurements."""

    def run(
        evaluator: Evaluator, folder: str = "candidate", candidate: Candidate | None = None
    ) -> list[Measurement]:
        measurements: list[Measurement] = []
        candidate = candidate or Candidate(0, small, seed=5)
        evaluator.evaluate(candidate, Context(tmp_path / folder, measurements.append))
        return measurements

    return run
