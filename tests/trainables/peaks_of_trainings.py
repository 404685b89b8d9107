"""Trains networks of two spaces; prints what each was foreseen to need and needed, as JSON."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np

from phylon.cluster.attempts import evaluate
from phylon.cluster.executor import Share
from phylon.search import Candidate, Context, SearchSpace
from phylon.trainables import (
    ImageTask,
    Labelled,
    LightningEvaluator,
    Training,
    dataset_from_arrays,
    macro_space,
)
from phylon.trainables.nasbench201 import nasbench201_space
from tests.cluster.hungry import held

SPACES: dict[str, SearchSpace] = {"macro": macro_space(32), "cells": nasbench201_space(2, 16)}


def main(count: int) -> None:
    rng = np.random.default_rng(7)
    images = rng.integers(0, 256, size=(180, 3, 32, 32), dtype=np.uint8)
    data = dataset_from_arrays(Labelled(images, np.arange(180) % 5), source="noise")
    evaluator = LightningEvaluator(ImageTask(data), Training(epochs=2, batch_size=128))
    results: dict[str, list[tuple[int, int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, space in SPACES.items():
            drawn = [Candidate(number, space.sample(rng)) for number in range(30)]
            drawn.sort(key=evaluator.memory)
            chosen = [drawn[round(i)] for i in np.linspace(0, len(drawn) - 1, count)]
            if not results:
                chosen.insert(0, chosen[0])  # loads libraries
            results[name] = [measure(evaluator, each, Path(folder) / name) for each in chosen]
    results["macro"].pop(0)
    print(json.dumps(results))


def measure(evaluator: LightningEvaluator, candidate: Candidate, folder: Path) -> tuple[int, int]:
    foreseen, before = evaluator.memory(candidate), held()
    context = Context(folder / str(candidate.id), lambda _: None)
    shutil.rmtree(context.folder, ignore_errors=True)
    ended = evaluate(evaluator, candidate, context, Share(memory=16 * 2**30))
    assert ended.error is None, ended.error
    return foreseen, ended.peak - before


if __name__ == "__main__":
    main(5)
