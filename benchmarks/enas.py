"""What weight sharing finds for the cost of 15 trainings, against the best of 15 random networks.

    python benchmarks/enas.py PICTURES.npz FOLDER [SEED ...]

On the NAS-Bench-201 space, 8 channels wide and with two cells in a stage. For each seed two studies
run in this process, on one CPU thread: one trains 15 random networks for 8 epochs; the other is an
`enas` study, which trains shared weights, scores what its controller proposes, and trains the nine
best for 8 epochs, too. Each tests the network that is best on the validation split. Told are
both test accuracies and what `enas` cost, in processor seconds and in trainings of the first study.
Seeds 0 to 4 unless told. FOLDER keeps the studies.
"""

from __future__ import annotations

import statistics
import sys
import time
from typing import Any

from phylon.search.objective import Objective
from phylon.state import StudyState
from phylon.study import Study

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
    "final": {"top": 9, "epochs": 8, "seeds": 1, "weights": "fresh"},
}


def main() -> None:
    pictures, folder, *words = sys.argv[1:]
    differences = []
    for seed in [int(word) for word in words] or range(5):
        random, each = run(RANDOM, "random", seed, pictures, folder)
        enas, cost = run(ENAS, "enas", seed, pictures, folder)
        each /= RANDOM["budget"]["candidates"]
        difference = test_accuracy(enas) - test_accuracy(random)
        differences.append(difference)
        print(
            f"seed {seed}: test accuracy {test_accuracy(enas):.4f} for {cost / each:.1f} trainings "
            f"of {each:.1f} s; the best of 15 random networks {test_accuracy(random):.4f}; "
            f"difference {difference:+.4f}",
            flush=True,
        )
    print(f"mean difference {statistics.fmean(differences):+.4f}")


def run(
    settings: dict[str, Any], name: str, seed: int, pictures: str, folder: str
) -> tuple[StudyState, float]:
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
    state = study.run(in_process=True, show_progress=False)
    return state, time.process_time() - begin


def test_accuracy(state: StudyState) -> float:
    if state.tested is None:
        raise SystemExit("the winner was not tested")
    return state.tested.metrics["test_accuracy"][0]


if __name__ == "__main__":
    main()
