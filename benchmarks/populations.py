"""What populations that inherit weights find, against searches of the same number of epochs.

    python benchmarks/populations.py lamarckian PICTURES.npz FOLDER [SEED ...]
    python benchmarks/populations.py pbt FOLDER [SEED ...]

For each seed two studies run in this process, on one CPU thread, each for the same number of epochs
in all: one strategy inherits weights, the other trains each candidate from random ones.

`lamarckian`: against `regularized_evolution`, by validation accuracy, on the macro space. `pbt`:
eight members, against `random`, on digits, over architecture and learning rate, by validation loss,
since the best of both tell all validation pictures right. Told are the best results, and after how
many epochs the first reached what the second had at its end. Seeds 0 to 4 unless told. FOLDER keeps
the studies.
"""

from __future__ import annotations

import math
import statistics
import sys
from itertools import accumulate
from typing import Any

from phylon.search import Objective
from phylon.study import Study

ACCURACY = Objective("val_accuracy")
LOSS = Objective("val_loss", "minimize")
MACRO = {"name": "macro", "image_size": 28, "width": [8, 16], "depth": [1, 2]}
LAMARCKIAN: dict[str, Any] = {
    "space": MACRO,
    "strategy": "lamarckian",
    "training": {"epochs": 3, "batch_size": 64},
    "budget": {"epochs": 120},
}
EVOLUTION: dict[str, Any] = {
    "space": MACRO,
    "strategy": "regularized_evolution",
    "training": {"epochs": 5, "batch_size": 64},
    "budget": {"epochs": 120},
}
PBT: dict[str, Any] = {
    "strategy": {"name": "pbt", "population": 8},
    "training": {"epochs": 3, "batch_size": 64},
    "budget": {"epochs": 240},
}
RANDOM: dict[str, Any] = {  # the best of 8, 16 and 30 epochs on seeds 100 to 102
    "strategy": "random",
    "training": {"epochs": 30, "batch_size": 64},
    "budget": {"epochs": 240},
}


def main() -> None:
    match sys.argv[1:]:
        case ["lamarckian", pictures, folder, *seeds]:
            task = {"name": "images", "path": pictures}
            compare(task, ACCURACY, (LAMARCKIAN, EVOLUTION), folder, seeds)
        case ["pbt", folder, *seeds]:
            compare({"name": "digits"}, LOSS, (PBT, RANDOM), folder, seeds)
        case _:
            raise SystemExit(__doc__)


def compare(
    task: dict[str, Any],
    objective: Objective,
    studies: tuple[dict[str, Any], dict[str, Any]],
    folder: str,
    seeds: list[str],
) -> None:
    """Print how two strategies do on each seed, and on all."""
    parts, gains = [], []
    for seed in [int(word) for word in seeds] or range(5):
        (found, epochs), (others, others_epochs) = (
            run(task, objective, settings, seed, folder) for settings in studies
        )
        goal, total = others[-1], others_epochs[-1]
        reached = next((at for at, loss in zip(epochs, found, strict=True) if loss <= goal), None)
        parts.append(math.inf if reached is None else reached / total)
        gains.append(goal - found[-1])
        print(
            f"seed {seed}: {objective.metric} {abs(found[-1]):.4f} after {epochs[-1]} epochs, "
            f"against {abs(goal):.4f} after {total}; reached after {reached or 'more'} "
            f"({parts[-1]:.2f}); better by {gains[-1]:+.4f}",
            flush=True,
        )
    print(f"median part of the epochs: {statistics.median(parts):.2f}")
    print(f"better on {sum(gain > 0 for gain in gains)} of {len(gains)}, equal {gains.count(0.0)}")


def run(
    task: dict[str, Any], objective: Objective, settings: dict[str, Any], seed: int, folder: str
) -> tuple[list[float], list[int]]:
    """Return the least loss so far after each candidate, and the epochs spent by then."""
    strategy = settings["strategy"]
    name = strategy if isinstance(strategy, str) else strategy["name"]
    study = Study(
        name=f"{name}-{seed}",
        task=task,
        objectives=[objective],
        seed=seed,
        storage=folder,
        tracking={"uri": "none"},
        **settings,
    )
    study.run(in_process=True, show_progress=False)
    records = sorted(study.state().records.values(), key=lambda record: record.ended or math.inf)
    losses = [
        objective.loss(record.metrics) if record.state == "completed" else math.inf
        for record in records
    ]
    return list(accumulate(losses, min)), list(accumulate(record.epochs for record in records))


if __name__ == "__main__":
    main()
