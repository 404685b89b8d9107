"""Seconds per candidate through the evaluator, against a plain PyTorch loop, on digits.

Both train the same network from the same weights on the same batches in the same order with the
same optimizer, schedule and validation, on one thread. The loop has its data normalised in memory
beforehand and writes nothing; the evaluator's time includes all it does for a candidate: building,
Lightning's start, checkpoints, counts and reports. Prints the median ratio of interleaved pairs.

    python benchmarks/training_overhead.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from phylon.search import Architecture, Candidate, Context, Measurement
from phylon.trainables import ImageDataModule, ImageTask, LightningEvaluator, Training, digits

PAIRS = 5
EPOCHS = 10
BATCH_SIZE = 64
SEED = 1
ARCHITECTURE = Architecture(
    {
        "stages": [
            {"block": {"type": "residual", "kernel": 3}, "depth": 1, "width": 24, "pooling": "max"},
            {"block": {"type": "plain", "kernel": 3}, "depth": 2, "width": 32, "pooling": "stride"},
        ],
        "activation": "relu",
        "dropout": 0.1,
        "learning_rate": 0.01,
        "weight_decay": 0.001,
    }
)


def main() -> None:
    torch.set_num_threads(1)
    task = digits()
    candidate = Candidate(0, ARCHITECTURE, seed=SEED)
    evaluator = LightningEvaluator(task, Training(EPOCHS, BATCH_SIZE))
    data = ImageDataModule(task.dataset, seed=0, batch_size=BATCH_SIZE)
    train, validation = normalised(data, data.split.train), normalised(data, data.split.validation)

    through_evaluator(evaluator, candidate), plain_loop(task, train, validation)  # to warm up
    pairs = []
    for _ in range(PAIRS):
        ours, accuracy = through_evaluator(evaluator, candidate)
        plain, plain_accuracy = plain_loop(task, train, validation)
        pairs.append(ours / plain)
        print(
            f"evaluator {ours:.3f} s (accuracy {accuracy:.4f}), plain loop {plain:.3f} s "
            f"(accuracy {plain_accuracy:.4f}), ratio {ours / plain:.3f}"
        )
    print(f"training overhead: {statistics.median(pairs):.3f} times a plain loop (target 1.25)")


def through_evaluator(evaluator: LightningEvaluator, candidate: Candidate) -> tuple[float, float]:
    """Return seconds and validation accuracy."""
    measurements: list[Measurement] = []
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        evaluator.evaluate(candidate, Context(Path(folder), measurements.append))
        seconds = time.perf_counter() - start
    return seconds, measurements[-1].metrics["val_accuracy"]


def plain_loop(task: ImageTask, train: Split, validation: Split) -> tuple[float, float]:
    """Return seconds and validation accuracy."""
    start = time.perf_counter()
    torch.manual_seed(SEED)
    network = task.build(ARCHITECTURE)
    weights = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    groups = [
        {"params": weights, "weight_decay": ARCHITECTURE["weight_decay"]},
        {"params": others, "weight_decay": 0.0},
    ]
    rate = ARCHITECTURE["learning_rate"]
    optimizer = torch.optim.AdamW(groups, lr=rate, fused=True)
    steps = EPOCHS * -(-len(train[1]) // BATCH_SIZE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps)
    accuracy = 0.0
    for epoch in range(EPOCHS):
        torch.manual_seed(int(np.random.SeedSequence([SEED, epoch]).generate_state(1)[0]))
        network.train()
        for images, labels in batches(train, BATCH_SIZE, torch.randperm(len(train[1])).numpy()):
            optimizer.zero_grad()
            cross_entropy(network(images), labels).backward()
            optimizer.step()
            schedule.step()
        network.eval()
        accuracy = score(network, validation)
    return time.perf_counter() - start, accuracy


def score(network: torch.nn.Module, split: Split) -> float:
    """Return the accuracy over a split, after reckoning its loss too."""
    correct, loss = torch.tensor(0), torch.tensor(0.0)
    with torch.inference_mode():
        for images, labels in batches(split, 4 * BATCH_SIZE, np.arange(len(split[1]))):
            logits = network(images)
            loss += cross_entropy(logits, labels) * len(labels)
            correct += (logits.argmax(dim=1) == labels).sum()
    return float(correct) / len(split[1])


Split = tuple[Tensor, Tensor]


def batches(split: Split, size: int, order: np.ndarray) -> Iterator[Split]:
    images, labels = split
    for chosen in np.array_split(order, -(-len(order) // size)):
        yield images[chosen], labels[chosen]


def normalised(data: ImageDataModule, indices: np.ndarray) -> Split:
    """Return pictures and labels as the module would be fed them."""
    batch = (
        torch.from_numpy(data.dataset.images[indices]),
        torch.from_numpy(data.dataset.labels[indices]),
    )
    return data.on_after_batch_transfer(batch, 0)


if __name__ == "__main__":
    main()
