from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from phylon.search import Candidate, Context, Measurement
from phylon.trainables import LightningEvaluator, Training, digits


def test_a_good_architecture_reads_digits(
    evaluate: Callable[..., list[Measurement]], tmp_path: Path
) -> None:
    task = digits()
    architecture = task.space.sample(np.random.default_rng([0, 1]))
    candidate = Candidate(1, architecture, seed=1)
    evaluator = LightningEvaluator(task, Training(epochs=6))
    assert evaluate(evaluator, candidate=candidate)[-1].metrics["val_accuracy"] >= 0.97
    tested = evaluator.test(candidate, Context(tmp_path / "candidate", print))
    assert tested["test_accuracy"] >= 0.95


def test_the_data_can_be_told_from_other_data() -> None:
    fingerprint = LightningEvaluator(digits()).fingerprint()
    assert json.loads(json.dumps(fingerprint)) == {
        "name": "digits",
        "digest": "c8190b34f973a615",
        "pictures": 1797,
        "official_test": 0,
        "shape": [1, 8, 8],
        "classes": 10,
    }
