"""A small task of one's own whose networks share weights: no batch norm, a few linear layers."""

from __future__ import annotations

from typing import Any, Literal

import torch
from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from phylon.search import Architecture, Choice, SearchSpace
from phylon.trainables import OneOf, Supernet, Task

SPACE = SearchSpace(first=Choice("a", "b", "c"), second=Choice("linear", "none"))
FIRST = {"a": nn.ReLU, "b": nn.Tanh, "c": nn.Identity}
SECOND = {"linear": lambda: nn.Linear(6, 6), "none": nn.Identity}
Fault = Literal["", "nan above", "nan always"]


class AnyLine(Supernet):
    """All networks of the space in one."""

    shares = ("first", "second")

    def select(self, architecture: Architecture) -> None:
        self.network[0].select(architecture["first"])
        self.network[1].select(architecture["second"])


class Fit(LightningModule):
    """Fits lines; its learning rate falls in steps, and its loss may break."""

    def __init__(self, network: nn.Module, rate: float, dropout: float, fault: Fault) -> None:
        super().__init__()
        self.network = nn.Sequential(network, nn.Dropout(dropout))
        self.rate = rate
        self.fault = fault
        self.rates: list[float] = []

    def training_step(self, batch: list[Tensor], _index: int) -> dict[str, Tensor]:
        rate = self.trainer.optimizers[0].param_groups[0]["lr"]
        self.rates.append(rate)
        loss = self._loss(batch)
        self.log("train_loss", loss)
        broken = self.fault == "nan always" or (self.fault == "nan above" and rate > self.rate / 2)
        return {"loss": loss * float("nan") if broken and self.current_epoch == 1 else loss}

    def validation_step(self, batch: list[Tensor]) -> None:  # without an index, which is allowed
        self.log_dict({"val_loss": self._loss(batch), "val_score": -self._loss(batch)})

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.rate, momentum=0.9)
        steps = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.9)
        return [optimizer], [{"scheduler": steps, "interval": "step"}]

    def _loss(self, batch: list[Tensor]) -> Tensor:
        inputs, targets = batch
        return (self.network(inputs) - targets).square().mean()


class FitInEpochs(Fit):
    """Its learning rate falls where a loss does not."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=self.rate, momentum=0.9)
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, factor=0.5)
        schedule = {"scheduler": plateau, "monitor": "val_loss"}
        return {"optimizer": optimizer, "lr_scheduler": schedule}


class LinesData(LightningDataModule):
    def __init__(self, batch_size: int) -> None:
        super().__init__()
        inputs = torch.linspace(-1, 1, 168).reshape(42, 4)
        self.data = TensorDataset(inputs, inputs.sum(dim=1, keepdim=True))
        self.batch_size = batch_size

    def train_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.data, self.batch_size, shuffle=True)

    def val_dataloader(self) -> DataLoader[Any]:
        return DataLoader(self.data, 2 * self.batch_size)


class Lines(Task):
    metrics = ("val_score", "val_loss")
    space = SPACE

    def __init__(
        self,
        rate: float = 0.05,
        dropout: float = 0.2,
        fault: Fault = "",
        module: type[Fit] = Fit,
    ) -> None:
        self.rate = rate
        self.dropout = dropout
        self.fault: Fault = fault
        self.module = module

    def build(self, architecture: Architecture) -> nn.Module:
        first = nn.Sequential(nn.Linear(4, 6), FIRST[architecture["first"]]())
        return nn.Sequential(first, SECOND[architecture["second"]](), nn.Linear(6, 1))

    def supernet(self, space: SearchSpace) -> Supernet:
        first = {name: nn.Sequential(nn.Linear(4, 6), make()) for name, make in FIRST.items()}
        second = {name: make() for name, make in SECOND.items()}
        network = nn.Sequential(OneOf(**first), OneOf(**second), nn.Linear(6, 1))
        return AnyLine(space, self.build, network)

    def lightning_module(self, network: nn.Module, _architecture: Architecture) -> LightningModule:
        return self.module(network, self.rate, self.dropout, self.fault)

    def datamodule(self, _seed: int, batch_size: int) -> LightningDataModule:
        return LinesData(batch_size)
