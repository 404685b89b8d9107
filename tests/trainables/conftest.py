from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from phylon.search import Architecture, Candidate, Context, Evaluator, Measurement
from phylon.trainables import ImageTask, Labelled, Task, dataset_from_arrays, macro_space

Evaluate = Callable[..., list[Measurement]]


class OwnModule(LightningModule):
    """What a user brings: random in every corner, hyperparameters that are no plain data."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Linear(4, architecture["width"]),
            nn.Dropout(0.5),
            nn.Linear(architecture["width"], 1),
        )

    def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
        inputs, targets = batch
        noise = torch.randn_like(inputs) + np.random.rand()  # noqa: NPY002
        return (self.layers(inputs + 0.1 * noise) - targets).square().mean()

    def validation_step(self, batch: list[Tensor], _index: int) -> None:
        inputs, targets = batch
        self.log("val_loss", (self.layers(inputs) - targets).square().mean())

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.05, momentum=0.9)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": plateau, "monitor": "val_loss"},
        }


class OwnData(LightningDataModule):
    def __init__(self, batch_size: int) -> None:
        super().__init__()
        inputs = torch.linspace(-1, 1, 160).reshape(40, 4)
        self.data = TensorDataset(inputs, inputs.sum(dim=1, keepdim=True))
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.data, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.data, self.batch_size)


class OwnTask(Task):
    metrics = ("val_loss",)

    def build(self, architecture: Architecture) -> nn.Module:
        return OwnModule(architecture)

    def datamodule(self, _seed: int, batch_size: int) -> LightningDataModule:
        return OwnData(batch_size)


class Failing(OwnModule):
    """Goes wrong in the way that its architecture names."""

    def training_step(self, batch: list[Tensor], index: int) -> Tensor:
        loss = super().training_step(batch, index)
        fault = self.hparams["architecture"]["fault"]
        if self.current_epoch == 1 and index == 1:
            if fault == "nan":
                return loss * float("nan")
            if fault == "memory":
                torch.empty(10**15)
            if fault == "cuda memory":
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB")
            if fault == "bug":
                raise ZeroDivisionError("mine")
            if fault == "ctrl-c":
                signal.raise_signal(signal.SIGINT)
        return loss

    def on_train_epoch_end(self) -> None:
        stops = self.hparams["architecture"]["fault"] == "stop"
        self.trainer.should_stop = stops and self.current_epoch == 1


class FailingTask(OwnTask):
    def build(self, architecture: Architecture) -> nn.Module:
        return Failing(architecture)


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def bars() -> ImageTask:
    """Tell upright bars from lying ones, in noise: 120 pictures of 6x6 pixels."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 60, size=(120, 6, 6), dtype=np.uint8)
    labels = np.arange(120) % 2
    for image, label in zip(images, labels, strict=True):
        place = rng.integers(6)
        bar = (slice(None), place) if label else (place, slice(None))
        image[bar] += 180
    dataset = dataset_from_arrays(Labelled(images, labels), source="bars")
    return ImageTask(dataset, macro_space(6, depth=(1, 1), width=(8, 16)))


@pytest.fixture(scope="session")
def small() -> Architecture:
    """An architecture of the space of `bars`, with dropout and batch norm."""
    stage = {
        "block": {"type": "plain", "kernel": 3},
        "depth": 1,
        "width": 8,
        "pooling": "max",
    }
    return Architecture(
        {
            "stages": [stage],
            "activation": "relu",
            "dropout": 0.2,
            "learning_rate": 0.02,
            "weight_decay": 0.001,
        }
    )


@pytest.fixture
def evaluate(tmp_path: Path, small: Architecture) -> Evaluate:
    """Evaluate a candidate in a folder and return its measurements."""

    def run(
        evaluator: Evaluator, folder: str = "candidate", candidate: Candidate | None = None
    ) -> list[Measurement]:
        measurements: list[Measurement] = []
        candidate = candidate or Candidate(0, small, seed=5)
        evaluator.evaluate(candidate, Context(tmp_path / folder, measurements.append))
        return measurements

    return run


@pytest.fixture
def own() -> Task:
    """A task with a module and data of the user's own."""
    return OwnTask()


@pytest.fixture
def failing() -> Task:
    """Its candidates fail in their second epoch, as their architecture says."""
    return FailingTask()
