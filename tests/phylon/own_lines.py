"""A task of one's own that trains in no time, and whose network is a Lightning module."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from phylon import Architecture, Choice, SearchSpace, Task

SPACE = SearchSpace(width=Choice(2, 3, 4, 5))


class Lines(LightningModule):
    """Fits lines."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(4, width), nn.BatchNorm1d(width), nn.Tanh())
        self.head = nn.Linear(width, 2)

    def forward(self, inputs: Tensor) -> Tensor:
        out: Tensor = self.head(self.body(inputs))
        return out

    def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
        return (self(batch[0]) - batch[1]).square().mean()

    def validation_step(self, batch: list[Tensor], _index: int) -> None:
        self.log("val_loss", self.training_step(batch, 0))

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=0.05)


class Noisy(Lines):
    """Never the same twice."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) + torch.rand_like(inputs[:, :2])


class Choosy(Lines):
    """Does one thing or another, as its input says."""

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs if inputs.sum() > 0 else -inputs)


class LinesData(LightningDataModule):
    """Forty points."""

    def __init__(self, batch_size: int) -> None:
        super().__init__()
        inputs = torch.linspace(-1, 2, 160).reshape(40, 4)
        self.data = TensorDataset(inputs, inputs.cumsum(dim=1)[:, 2:])
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.data, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.data, self.batch_size)


class LinesTask(Task):
    """Fit lines with a module of one of these kinds."""

    metrics = ("val_loss",)
    space = SPACE

    def __init__(self, kind: type[Lines] = Lines) -> None:
        self.kind = kind

    def build(self, architecture: Architecture) -> nn.Module:
        return self.kind(architecture["width"])

    def datamodule(self, _seed: int, batch_size: int) -> LightningDataModule:
        return LinesData(batch_size)
