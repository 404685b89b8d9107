"""A task of one's own whose networks inherit, and train in no time."""

from __future__ import annotations

from typing import Any

import torch
from pytorch_lightning import LightningDataModule
from torch import Tensor, nn

from phylon import Architecture, Float, Integer, SearchSpace, Task
from tests.phylon.own_lines import Lines, LinesData

SPACE = SearchSpace(width=Integer(2, 9), rate=Float(0.01, 0.1, log=True))


class Rated(Lines):
    """Has dropout, momentum, and a learning rate of its own."""

    slope = 1.0

    def __init__(self, width: int, rate: float) -> None:
        super().__init__(width)
        self.body.append(nn.Dropout(0.1))
        self.rate = rate

    def forward(self, inputs: Tensor) -> Tensor:
        return super().forward(inputs) * self.slope

    def configure_optimizers(self) -> Any:
        return torch.optim.SGD(self.parameters(), lr=self.rate, momentum=0.9)


class HeirsTask(Task):
    """Fit lines."""

    metrics = ("val_loss",)
    space = SPACE

    def build(self, architecture: Architecture) -> nn.Module:
        return Rated(architecture["width"], architecture["rate"])

    def datamodule(self, _seed: int, batch_size: int) -> LightningDataModule:
        return LinesData(batch_size)
