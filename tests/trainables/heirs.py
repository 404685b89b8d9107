"""A task whose modules tell what they begin with, and a study's folder for parents and children."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor, nn

from phylon.cluster.location import Location
from phylon.cluster.weights import read_weights
from phylon.search import Architecture, Candidate, Context, Measurement
from phylon.trainables import LightningEvaluator, Task
from tests.trainables.conftest import OwnData

OPTIMIZERS: dict[str, Callable[..., torch.optim.Optimizer]] = {
    "adamw": torch.optim.AdamW,
    "sgd": lambda *args, **kwargs: torch.optim.SGD(*args, momentum=0.9, **kwargs),
    "rmsprop": torch.optim.RMSprop,
    "rmsprop with momentum": lambda *args, **kwargs: torch.optim.RMSprop(
        *args, momentum=0.9, **kwargs
    ),
    "nadam": torch.optim.NAdam,
    "lbfgs": lambda params, lr, weight_decay: torch.optim.LBFGS(params, lr),  # noqa: ARG005
}


@dataclass
class Seen:
    """What a module saw.

    Attributes:
        weights: When its training began.
        state: Of its optimizer then, by the parameter's name.
        settings: Learning rate and weight decay in each step.
    """

    weights: dict[str, Tensor]
    state: dict[str, dict[str, Tensor]]
    settings: list[tuple[float, float]] = field(default_factory=list)


class Heir(LightningModule):
    """Two layers, and the optimizer that the architecture names, on a cycle of its own."""

    def __init__(self, architecture: Architecture, seen: list[Seen]) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, architecture["width"]), nn.ReLU())
        self.head = nn.Linear(architecture["width"], 1)
        self.architecture = architecture
        self.seen = seen

    def training_step(self, batch: list[Tensor], _index: int) -> Tensor:
        (group,) = self.trainer.optimizers[0].param_groups
        self.seen[-1].settings.append((group["lr"], group.get("weight_decay", 0.0)))
        inputs, targets = batch
        return (self.head(self.layers(inputs)) - targets).square().mean()

    def validation_step(self, batch: list[Tensor], _index: int) -> None:
        inputs, targets = batch
        self.log("val_loss", (self.head(self.layers(inputs)) - targets).square().mean())

    def on_train_start(self) -> None:
        state = self.trainer.optimizers[0].state
        kept = {name: {**state[each]} for name, each in self.named_parameters() if each in state}
        copied = {name: each.clone() for name, each in self.state_dict().items()}
        self.seen.append(Seen(copied, {name: _cloned(each) for name, each in kept.items()}))

    def configure_optimizers(self) -> Any:
        rate, decay = self.architecture["learning_rate"], self.architecture["weight_decay"]
        made = OPTIMIZERS[self.architecture["optimizer"]]
        optimizer = made(self.parameters(), lr=rate, weight_decay=decay)
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, rate, total_steps=steps, cycle_momentum=False
        )
        return [optimizer], [{"scheduler": cycle, "interval": "step"}]


def _cloned(state: dict[str, Any]) -> dict[str, Tensor]:
    return {kind: each.clone() for kind, each in state.items() if isinstance(each, Tensor)}


class HeirTask(Task):
    """Its modules add what they see."""

    metrics = ("val_loss",)

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    def build(self, architecture: Architecture) -> nn.Module:
        return Heir(architecture, self.seen)

    def datamodule(self, _seed: int, batch_size: int) -> LightningDataModule:
        return OwnData(batch_size)


def heir(number: int = 0, parent: int | None = None, *, seed: int = 3, **changed: Any) -> Candidate:
    usual = {"width": 8, "optimizer": "adamw", "learning_rate": 0.02, "weight_decay": 0.1}
    return Candidate(number, Architecture({**usual, **changed}), seed=seed, inherit_from=parent)


def train(
    evaluator: LightningEvaluator,
    candidate: Candidate,
    study: Path,
    report: Callable[[Measurement], None] | None = None,
) -> list[Measurement]:
    """Evaluate a candidate in its folder of a study."""
    found: list[Measurement] = []
    folder = study / "candidates" / str(candidate.id)
    context = Context(
        folder,
        report or found.append,
        weights=lambda number: read_weights(Location(study), number),
    )
    evaluator.evaluate(candidate, context)
    return found
