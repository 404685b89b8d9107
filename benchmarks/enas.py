"""What weight sharing finds for the cost of 15 trainings, against the best of 15 random networks.

    python benchmarks/enas.py PICTURES.npz FOLDER [SEED ...]

On the NAS-Bench-201 space, 8 channels wide and with two cells in a stage. For each seed two studies
run in this process, on one CPU thread: one trains 15 random networks for 8 epochs; the other is an
`enas` study, which trains shared weights, scores what its controller proposes, and trains the six
best for 8 epochs, too. Each chooses the network that is best on the validation split. What either
chose is then trained for 8 epochs from three new seeds, and tested: told is the mean test accuracy,
and what `enas` cost until it had chosen, in trainings of the first study, by processor seconds.
Seeds 0 to 4 unless told. FOLDER keeps the studies.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from phylon.search import Candidate, Context, Objective
from phylon.search.candidate import candidate_seed
from phylon.study import Study
from phylon.trainables import LightningEvaluator

TRAININGS = 3
FIRST_SEED = 1000  # far from those of candidates

COMMON: dict[str, Any] = {
    "space": {"name": "nasbench201", "cells": 2, "channels": 8},
    "objectives": [Objective("val_accuracy")],
    "training": {"epochs": 8, "batch_size": 64},
    "tracking": {"uri": "none"},
}
RANDOM: dict[str, Any] = {"strategy": "random", "budget": {"candidates": 15}}
ENAS: dict[str, Any] = {
    "strategy": "enas",
    "supernet": {"epochs": 15, "probes": 0},
    "budget": {"candidates": 100},
    "final": {"top": 6, "epochs": 8, "seeds": 1, "weights": "fresh"},
}


def main() -> None:
    pictures, folder, *words = sys.argv[1:]
    differences = []
    for seed in [int(word) for word in words] or range(5):
        random, each = run(RANDOM, "random", seed, pictures, folder)
        enas, cost = run(ENAS, "enas", seed, pictures, folder)
        each /= RANDOM["budget"]["candidates"]
        found, drawn = (accuracies(study, random) for study in (enas, random))
        difference = statistics.fmean(found) - statistics.fmean(drawn)
        differences.append(difference)
        print(
            f"seed {seed}: test accuracy {in_words(found)} for {cost / each:.1f} trainings of "
            f"{each:.1f} s; the best of 15 random networks {in_words(drawn)}; "
            f"difference {difference:+.4f}",
            flush=True,
        )
    print(f"mean difference {statistics.fmean(differences):+.4f}")


def run(
    settings: dict[str, Any], name: str, seed: int, pictures: str, folder: str
) -> tuple[Study, float]:
    """Return a new study at its end, and the processor seconds that it took."""
    study = Study(
        name=f"{name}-{seed}",
        task={"name": "images", "path": pictures},
        seed=seed,
        storage=folder,
        **COMMON,
        **settings,
    )
    begin = time.process_time()
    study.run(in_process=True, show_progress=False)
    return study, time.process_time() - begin


def accuracies(study: Study, random: Study) -> list[float]:
    """Train what a study chose from new seeds, as the random networks; return test accuracies."""
    best, evaluator = study.state().best, random.parts.evaluator
    if best is None or not isinstance(evaluator, LightningEvaluator):
        raise SystemExit(f"{study.folder} has chosen no network")
    found = []
    for training in range(TRAININGS):
        seed = candidate_seed(random.config.seed, FIRST_SEED + training)
        candidate = Candidate(training, best.candidate.architecture, phase="final", seed=seed)
        with tempfile.TemporaryDirectory() as folder:
            context = Context(Path(folder), lambda _: None)
            evaluator.evaluate(candidate, context)
            found.append(evaluator.test(candidate, context)["test_accuracy"])
    return found


def in_words(values: list[float]) -> str:
    """Return the mean of some accuracies, and each."""
    return f"{statistics.fmean(values):.4f} ({', '.join(f'{value:.3f}' for value in values)})"


if __name__ == "__main__":
    main()
