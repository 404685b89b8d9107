"""Evaluators that several workers carry out together, with Lightning."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from pytorch_lightning import LightningModule, Trainer, seed_everything
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from phylon.search import Architecture, Candidate, Context, Measurement
from phylon.trainables import LightningEvaluator, Training
from phylon.trainables.lightning import quiet
from tests.trainables.heirs import HeirTask


class Lines(LightningModule):
    """Of two layers every second step trains but one, as a supernet does; reports each step."""

    def __init__(self, context: Context) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(8, 8), nn.Linear(8, 8)])
        self.context = context

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        loss: Tensor = self.layers[batch_idx % 2](batch[0]).square().mean()
        if batch_idx % 10 == 9:
            metrics = {"y": float(loss.detach())}
            self.context.report(Measurement(batch_idx // 10 + 1, metrics, 0.0))
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def fit(module: LightningModule, context: Context, seed: int) -> None:
    """Train for fifty steps, each worker on data of its own."""
    generator = torch.Generator().manual_seed(seed + context.team.rank)
    inputs = TensorDataset(torch.randn(50, 8, generator=generator))
    arguments: dict[str, Any] = {
        "accelerator": "cpu", "devices": 1, "max_epochs": 1, "logger": False,
        "enable_checkpointing": False, "enable_progress_bar": False,
        "enable_model_summary": False, "use_distributed_sampler": False,
        **context.team.trainer,
    }  # fmt: skip
    with quiet():
        Trainer(**arguments).fit(module, DataLoader(inputs))


@dataclass
class Together:
    """Trains fifty steps; each worker writes a line: candidate, rank, size, process, digest."""

    path: Path
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        seed_everything(candidate.seed, verbose=False)
        module = Lines(context)
        fit(module, context, candidate.seed)
        team, digest = context.team, digest_of(module.state_dict())
        words = [candidate.id, team.rank, team.size, os.getpid(), digest]
        with self.path.open("a") as file:
            file.write("|".join(map(str, words)) + "\n")

    def lines(self) -> list[list[str]]:
        return [line.split("|") for line in self.path.read_text().splitlines()]


class Broken(Lines):
    """Fails in the fifth step of one rank, while the others wait for it: see `Breaking`."""

    def __init__(self, context: Context, how: str, rank: int, path: Path) -> None:
        super().__init__(context)
        self.how = how if context.team.rank == rank else ""
        self.path = path

    def training_step(self, batch: list[Tensor], batch_idx: int) -> Tensor:
        if batch_idx == 5:
            with self.path.open("a") as file:
                file.write(f"{os.getpid()}\n")
            if self.how == "raises":
                raise ZeroDivisionError("divided by nothing")
            if self.how == "dies" and len(self.path.read_text().splitlines()) <= 2:
                os.kill(os.getpid(), signal.SIGKILL)
            if self.how == "hangs" and len(self.path.read_text().splitlines()) <= 2:
                time.sleep(1000)
        return super().training_step(batch, batch_idx)


@dataclass
class Breaking:
    """One rank raises, or dies or hangs in its first attempt; all write down their processes."""

    path: Path
    how: str
    rank: int
    metrics: tuple[str, ...] = ("y",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        fit(Broken(context, self.how, self.rank, self.path), context, candidate.seed)

    def processes(self) -> list[int]:
        return [int(line) for line in self.path.read_text().splitlines()]

    def wait_until_all_work(self) -> None:
        """Wait until both are at it; pytest's own timeout is the limit."""
        while not self.path.exists() or len(self.processes()) < 2:
            time.sleep(0.1)


class Remembered(HeirTask):
    """Its last network can be looked at."""

    def build(self, architecture: Architecture) -> nn.Module:
        self.network = super().build(architecture)
        return self.network


@dataclass
class Heirs:
    """Trains; each worker writes what it began and ended with, and whether it published that.

    Only the first worker finds weights for the candidate `deaf`.
    """

    path: Path
    deaf: int
    metrics: tuple[str, ...] = ("val_loss",)

    def evaluate(self, candidate: Candidate, context: Context) -> None:
        published: list[int] = []

        def publish() -> None:
            published.append(context.team.rank)
            context.publish()

        lent = replace(context, publish=publish)
        if candidate.id == self.deaf and context.team.rank > 0:
            lent = replace(lent, weights=Context(context.folder, context.report).weights)
        task = Remembered()
        LightningEvaluator(task, Training(2), inherits=True).evaluate(candidate, lent)
        (seen,) = task.seen
        momenta = {
            f"{name} {kind}": it for name, of in seen.state.items() for kind, it in of.items()
        }
        line = {
            "began": digest_of(seen.weights),
            "momenta": len(momenta) and digest_of(momenta),
            "ended": digest_of(task.network.state_dict()),
            "published": published,
        }
        with self.path.open("a") as file:
            file.write(json.dumps([candidate.id, context.team.rank, line]) + "\n")

    def lines(self) -> dict[tuple[int, int], dict[str, Any]]:
        """Return what was written, by candidate and rank."""
        lines = map(json.loads, self.path.read_text().splitlines())
        return {(number, rank): line for number, rank, line in lines}


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256()
    for _, tensor in sorted(tensors.items()):
        digest.update(tensor.numpy().tobytes())
    return digest.hexdigest()


def gone(pids: list[int]) -> None:
    """Wait until no such process is left; pytest's own timeout is the limit."""
    while any(psutil.pid_exists(pid) for pid in pids):
        time.sleep(0.1)
