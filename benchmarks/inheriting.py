"""What it costs to begin with a parent's weights.

    python benchmarks/inheriting.py cost

`cost`: processor seconds that inheriting takes, against an epoch of the same candidate, on digits
and one thread. Random architectures of the task's own space are trained for a few epochs, and for
each a mutated child, which inherits. Counted are reading the weights and giving them to the
network, what the parent's optimizer kept to the child's, and writing the same for children of the
child. Prints medians over the children.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from pkgutil import resolve_name
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from phylon.cluster.location import CANDIDATES, Location
from phylon.cluster.weights import read_weights
from phylon.search import Candidate, Context, Measurement
from phylon.search.variation import mutate
from phylon.trainables import LightningEvaluator, Training, digits

FAMILIES = 20
EPOCHS = 3
BATCH_SIZE = 64
PARTS = {
    "reading and inheriting": "phylon.trainables.heritage.take_over",
    "what the optimizer kept, to go on with": "phylon.trainables.heritage.Heritage.hand_over",
    "the same, gathered": "phylon.trainables.reporter.keep",
    "and written": "phylon.trainables.folder.CandidateFolder.save_optimizer",
}


def main() -> None:
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["cost"]:
            cost()
        case _:
            sys.exit(__doc__)


def cost() -> None:
    """Print which part of an epoch inheriting takes."""
    task = digits()
    space, rng = task.space, np.random.default_rng(0)
    evaluator = LightningEvaluator(task, Training(EPOCHS, BATCH_SIZE), inherits=True)
    spent: list[Counter[str]] = []
    epochs: list[float] = []
    shares: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(FAMILIES):
            parent = Candidate(2 * number, space.sample(rng), seed=number)
            heir = mutate(space, parent.architecture, rng=rng)
            child = Candidate(2 * number + 1, heir, seed=number, inherit_from=parent.id)
            evaluate(evaluator, parent, Path(folder))
            with stopwatches() as seconds:
                measured, moments = evaluate(evaluator, child, Path(folder))
            spent.append(seconds)
            epochs.append(statistics.median(np.diff(moments)))
            shares.append(measured[-1].metrics["inherited_share"])
    for name in PARTS:
        print(f"{statistics.median(each[name] for each in spent) * 1e3:8.2f} ms  {name}")
    parts = [each.total() / epoch for each, epoch in zip(spent, epochs, strict=True)]
    print(
        f"{statistics.median(epochs) * 1e3:8.2f} ms  an epoch\n"
        f"inheriting takes {statistics.median(parts):.2%} of an epoch, at most {max(parts):.2%} "
        f"(wanted: 5 %); {len(parts)} children with {statistics.mean(shares):.1%} of their "
        f"parents' parameters on average"
    )


def evaluate(
    evaluator: LightningEvaluator, candidate: Candidate, study: Path
) -> tuple[list[Measurement], list[float]]:
    """Train a candidate in its folder of a study; return what was measured, and when."""
    measured: list[Measurement] = []
    moments: list[float] = []

    def report(measurement: Measurement) -> None:
        moments.append(time.process_time())
        measured.append(measurement)

    folder = study / CANDIDATES / str(candidate.id)
    lend = partial(read_weights, Location(study))
    evaluator.evaluate(candidate, Context(folder, report, weights=lend))
    return measured, moments


@contextmanager
def stopwatches() -> Iterator[Counter[str]]:
    """Add up the seconds that each of `PARTS` takes."""
    seconds: Counter[str] = Counter()

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:  # noqa: ANN401
            begin = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                seconds[name] += time.process_time() - begin

        return run

    with ExitStack() as stack:
        for name, path in PARTS.items():
            stack.enter_context(patch(path, timed(name, resolve_name(path))))
        yield seconds


if __name__ == "__main__":
    main()
