"""What successive halving gains: the same number of epochs, spent on more networks.

    python benchmarks/halving.py [SEED ...]

Searches the macro space on the digits, on one CPU thread in this process, with random search that
trains every candidate for 9 epochs, and with `halving` of random search over rungs of 1, 3 and 9
epochs. A search begins candidates until it has spent 90 epochs. Told is the least validation
error of a network that was trained for all 9, once 30, 60 and 90 epochs were spent; seeds 1, 2
and 3 unless told.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

from phylon.search import Candidate, Context, Measurement, Outcome, Strategy, make_strategy
from phylon.search.errors import EvaluationError
from phylon.trainables import LightningEvaluator, Training
from phylon.trainables.registry import load_task

EPOCHS = 9
BUDGETS = (30, 60, 90)
METRIC = "val_accuracy"


def main() -> None:
    seeds = [int(word) for word in sys.argv[1:]] or [1, 2, 3]
    errors: dict[str, list[list[float]]] = {"random": [], "halving": []}
    for seed in seeds:
        task = load_task({"name": "digits"})
        evaluator = LightningEvaluator(task, Training(epochs=EPOCHS), seed=seed)
        for name, found in errors.items():
            params = {"of": "random"} if name == "halving" else {}
            strategy = make_strategy(name, task.space, seed=seed, epochs=EPOCHS, **params)
            found.append(search(name, strategy, evaluator))
    for place, budget in enumerate(BUDGETS):
        halving, random = (
            statistics.fmean(row[place] for row in errors[name]) for name in ("halving", "random")
        )
        print(
            f"after {budget} epochs, mean validation error over seeds {seeds}: random "
            f"{random:.4f}, halving {halving:.4f}, ratio {halving / random:.2f}"
        )


def search(name: str, strategy: Strategy, evaluator: LightningEvaluator) -> list[float]:
    """Spend the epochs, print what came of it, and return the least error after each budget."""
    spent, begin = 0, time.perf_counter()
    candidates: list[Candidate] = []
    finished: list[float] = []
    errors: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        while spent < BUDGETS[-1]:
            (candidate,) = strategy.ask()
            candidates.append(candidate)
            accuracies, trained = train(evaluator, candidate, Path(folder))
            spent += trained
            strategy.tell(candidate, Outcome((-accuracies[-1],) if accuracies else None))
            if len(accuracies) == EPOCHS:
                finished.append(accuracies[-1])
            while len(errors) < len(BUDGETS) and spent >= BUDGETS[len(errors)]:
                errors.append(1 - max(finished, default=0.0))
    networks = sum(candidate.continues is None for candidate in candidates)
    print(
        f"seed {strategy.seed}, {name}: {spent} epochs in {time.perf_counter() - begin:.0f} s on "
        f"{networks} networks, {len(finished)} of them trained to the end, least validation "
        f"errors {', '.join(f'{error:.4f}' for error in errors)}",
        flush=True,
    )
    return errors


def train(
    evaluator: LightningEvaluator, candidate: Candidate, folder: Path
) -> tuple[list[float], int]:
    """Return the accuracy after each epoch, and how many epochs were trained for it."""
    told: list[Measurement] = []
    try:
        evaluator.evaluate(candidate, Context(folder / str(candidate.id), told.append))
    except EvaluationError:
        return [], len(told)
    return [m.metrics[METRIC] for m in told], sum(m.seconds > 0 for m in told)


if __name__ == "__main__":
    main()
