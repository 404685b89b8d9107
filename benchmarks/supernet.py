"""What a network costs on shared weights, against the same network on its own.

    python benchmarks/supernet.py step
    python benchmarks/supernet.py score PICTURES.npz

`step`: processor seconds of a training step (select, forward, backward, update) on a path drawn at
random, against the same step of the stand-alone network, on pictures of the size of MNIST's and of
those of digits, and one thread. Prints the median ratio of interleaved pairs.

`score`: processor seconds of scoring a random cell of the nasbench201 space on shared weights, with
calibrated batch norms, against training it on its own for 8 epochs, through the evaluators. Prints
the ratio of the sums over interleaved pairs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from phylon.search import Architecture, Candidate, Context, SearchSpace
from phylon.search.evaluation import Published
from phylon.trainables import (
    ImageTask,
    Labelled,
    LightningEvaluator,
    Training,
    dataset_from_arrays,
    images,
    macro_space,
    nasbench201_space,
)
from phylon.trainables.path_draws import PathDraws
from phylon.trainables.sharing import Sharing
from phylon.trainables.supernet_evaluator import SupernetEvaluator

CLASSES = 10
BATCH_SIZE = 64
PAIRS = 40
STEPS = 5
EPOCHS = 8
CELLS = 6
SPACE = nasbench201_space(cells=2, channels=8)


def main() -> None:
    torch.set_num_threads(1)
    match sys.argv[1:]:
        case ["step"]:
            for side in (28, 8):
                step("nasbench201", side, SPACE)
                step("macro", side, macro_space(side, hyperparameters=False))
        case ["score", pictures]:
            score(pictures)
        case _:
            sys.exit(__doc__)


def step(name: str, side: int, space: SearchSpace) -> None:
    """Print how many times as long a step on shared weights takes."""
    task = blank_pictures(side, space)
    supernet = task.supernet(space)
    draws = PathDraws(space, supernet)
    shared_step = stepper(supernet, side, draws.step)
    rng = np.random.default_rng(0)
    pairs = []
    for _ in range(PAIRS):
        architecture = draws.draw(rng)
        alone_step = stepper(task.build(architecture), side, torch.optim.AdamW.step)

        def on_path(architecture: Architecture = architecture) -> None:
            supernet.select(architecture)
            shared_step()

        for each in (on_path, alone_step):
            each()  # to warm up
        both = [[seconds(each) for each in (on_path, alone_step)] for _ in range(STEPS)]
        shared, alone = (min(times) for times in zip(*both, strict=True))
        pairs.append((shared / alone, shared, alone))
    ratio, shared, alone = (statistics.median(each) for each in zip(*pairs, strict=True))
    print(
        f"{name}, {side}x{side}: a step on shared weights takes {ratio:.3f} times one alone "
        f"(target 1.15); medians {1000 * shared:.1f} and {1000 * alone:.1f} ms",
        flush=True,
    )


def score(pictures: str) -> None:
    """Print how many times as cheap scoring is."""
    task = images(pictures)
    evaluator = SupernetEvaluator(LightningEvaluator(task, Training(EPOCHS)), SPACE, Sharing())
    state = task.supernet(SPACE).state_dict()
    shared = Published({name: each.numpy() for name, each in state.items()})
    both = []
    with tempfile.TemporaryDirectory() as folder:

        def measure(candidate: Candidate) -> float:
            home = Path(folder) / candidate.phase / str(candidate.id)
            context = Context(home, lambda _: None, weights=lambda _: shared)
            return seconds(lambda: evaluator.evaluate(candidate, context))

        for index in range(CELLS):
            cell = SPACE.sample(np.random.default_rng(index))
            scored = Candidate(index, cell, phase="sample", epochs=0, inherit_from=0)
            alone = Candidate(index, cell, phase="probe")
            measure(scored)  # to warm up
            both.append((measure(scored), measure(alone)))
    cheap, dear = (sum(each) / len(both) for each in zip(*both, strict=True))
    print(
        f"scoring is {dear / cheap:.0f} times as cheap as training alone (target 50); "
        f"{cheap:.3f} and {dear:.2f} processor seconds on average, of {len(both)} cells",
        flush=True,
    )


def stepper(
    network: nn.Module, side: int, update: Callable[[torch.optim.AdamW], object]
) -> Callable[[], None]:
    """Return what trains a network by a step on random pictures."""
    images = torch.randn(BATCH_SIZE, 1, side, side).to(memory_format=torch.channels_last)
    labels = torch.randint(CLASSES, (BATCH_SIZE,))
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)

    def train() -> None:
        optimizer.zero_grad()
        cross_entropy(network(images), labels).backward()
        update(optimizer)

    return train


def seconds(run: Callable[[], None]) -> float:
    """Return processor seconds."""
    start = time.process_time()
    run()
    return time.process_time() - start


def blank_pictures(side: int, space: SearchSpace) -> ImageTask:
    images = np.zeros((3 * CLASSES, side, side), dtype=np.uint8)
    return ImageTask(dataset_from_arrays(Labelled(images, np.arange(3 * CLASSES) % CLASSES)), space)


if __name__ == "__main__":
    main()
