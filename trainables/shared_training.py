"""Training shared weights: each step takes one or several paths through a supernet."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property, partial
from typing import Any, cast, final

import numpy as np
import torch
from pytorch_lightning import LightningModule
from torch import Tensor
from torch.optim.lr_scheduler import ReduceLROnPlateau

from phylon.search.architecture import Architecture
from phylon.search.errors import ConfigurationError
from phylon.search.evaluation import Team
from phylon.search.space import SearchSpace
from phylon.trainables.fair_round import fair_round
from phylon.trainables.held_out import HeldOut
from phylon.trainables.learning_rate import scale_rates
from phylon.trainables.path_draws import PathDraws
from phylon.trainables.steps import ignore, loss_of, take_step
from phylon.trainables.supernet import Supernet
from phylon.trainables.teamwork import part_of

PATH = "path_"
TRAINING, TRIAL = 0, 1

# What a task's module may define and is called as if it were trained by itself.
PASSED_ON = (
    *("setup", "teardown", "configure_model", "configure_optimizers", "lr_scheduler_step"),
    *("on_fit_start", "on_fit_end", "on_train_end", "on_train_batch_start", "on_train_batch_end"),
    *("on_before_batch_transfer", "transfer_batch_to_device", "on_after_batch_transfer"),
    *("on_before_zero_grad", "on_before_backward", "on_after_backward", "on_before_optimizer_step"),
    "validation_step",  # which Lightning does not call, but would miss
)


class SharedTraining(LightningModule, ABC):
    """Trains the weights of a supernet as a task's module would train those of one network.

    Loss, optimizer and learning rates are the module's own, but a schedule that waits for a plateau
    waits for one of the mean training loss, since paths differ in whatever else it may monitor.

    Paths are drawn from the seed, the epoch and the step alone: a resumed training takes the same
    ones, and so does every worker of a team. After each epoch one newly drawn path is tried on
    samples of the validation data: what the module logs of them is logged as `path_...`, and the
    mean loss of the epoch as `loss`.

    In a team, batch norms are not synchronised: each worker normalises its part of a batch, and
    running statistics are the first worker's. They would fit no single path anyway, and are
    calibrated anew wherever one is scored.

    Args:
        inner: The task's module, around the supernet.
        supernet: Whose paths are selected.
        space: Where paths are from.
        seed: 0 or more.
        team: Who trains together.

    Attributes:
        factor: What the module's learning rates are multiplied by. A checkpoint keeps it, and the
            smaller one counts.

    Raises:
        ConfigurationError: The module optimizes by hand, in a way of its own.
    """

    def __init__(
        self,
        inner: LightningModule,
        supernet: Supernet,
        space: SearchSpace,
        seed: int,
        team: Team,
    ) -> None:
        super().__init__()
        if not inner.automatic_optimization:
            raise ConfigurationError(
                f"{type(inner).__name__} optimizes by hand (automatic_optimization = False), so "
                "phylon cannot train shared weights with it: let its training_step return the loss "
                "and Lightning optimize, or train each network on its own (evaluator: training)"
            )
        self.automatic_optimization = False
        self.inner = inner
        self.factor = 1.0
        self._applied = 1.0
        self._select = supernet.select
        self._new_draws = partial(PathDraws, space, supernet)
        self._space = space
        self._seed = seed
        self._team = team
        self._losses: list[Tensor] = []
        for name in PASSED_ON:
            setattr(self, name, getattr(inner, name))
        vars(inner)["log"] = ignore  # Lightning lets only the outermost module log

    @abstractmethod
    def paths(self, rng: np.random.Generator) -> Sequence[Architecture]:
        """Draw the paths of a step, whose gradients are added up."""

    def update(self, optimizer: Any) -> None:  # noqa: ANN401 - Lightning wraps it
        """Let an optimizer follow the gradients of the paths."""
        optimizer.step()

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401
        """Learn from a batch on every path; return the mean loss."""
        part, weight = part_of(batch, self._team)
        optimizer: Any = self.optimizers()
        optimizer.zero_grad()
        losses = []
        for path in self.paths(self._rng(batch_idx, TRAINING)):
            self._select(path)
            loss = loss_of(take_step(self.inner.training_step, part, batch_idx))
            if loss is not None:
                self.manual_backward(loss * weight)
                losses.append(loss.detach() * weight)
        self.update(optimizer)
        self._step_schedules("step", batch_idx)
        mean = torch.stack(losses).mean() if losses else torch.zeros((), device=self.device)
        mean = self.trainer.strategy.reduce(mean, reduce_op="mean")  # so that all see it break
        self._losses.append(mean)
        return mean

    def on_train_start(self) -> None:
        """Lower the learning rates, unless the checkpoint had them so."""
        if self.factor != self._applied:
            schedules = [config.scheduler for config in self.trainer.lr_scheduler_configs]
            scale_rates(self.trainer.optimizers, schedules, self.factor / self._applied)
            self._applied = self.factor
        self.inner.on_train_start()

    def on_train_epoch_start(self) -> None:
        """Begin to count anew."""
        self._losses = []
        self.inner.on_train_epoch_start()

    def on_train_epoch_end(self) -> None:
        """Log the mean loss and how a path does, and set the learning rate of the next epoch."""
        self.inner.on_train_epoch_end()
        rng = self._rng(0, TRIAL)
        self._select(self.paths(rng)[0])
        tried = self.held_out.try_path(self.inner, rng)
        self.log_dict({f"{PATH}{name}": value for name, value in tried.items()})
        self.log("loss", torch.stack(self._losses).mean())
        self._step_schedules("epoch", self.current_epoch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep by how much learning rates were lowered."""
        checkpoint["rate_factor"] = self.factor
        self.inner.on_save_checkpoint(checkpoint)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Undo `on_save_checkpoint`."""
        self._applied = checkpoint["rate_factor"]
        self.factor = min(self.factor, self._applied)
        self.inner.on_load_checkpoint(checkpoint)

    @cached_property
    def draws(self) -> PathDraws:
        """What paths are drawn by at random."""
        return self._new_draws()

    @cached_property
    def held_out(self) -> HeldOut:
        """What paths are tried on."""
        return HeldOut(cast("Any", self.trainer).datamodule, self._seed, self.device)

    def _rng(self, step: int, purpose: int) -> np.random.Generator:
        return np.random.default_rng([self._seed, self.current_epoch, step, purpose])

    def _step_schedules(self, interval: str, index: int) -> None:
        """Step the schedules that are due after the step or epoch of this index, from 0."""
        for config in self.trainer.lr_scheduler_configs:
            if config.interval != interval or (index + 1) % config.frequency:
                continue
            value = None
            if isinstance(config.scheduler, ReduceLROnPlateau):
                loss = float(torch.stack(self._losses).mean())
                value = loss if config.scheduler.mode == "min" else -loss
            self.lr_scheduler_step(config.scheduler, value)


@final
class UniformTraining(SharedTraining):
    """Trains one path per step, drawn at random.

    SPOS (Guo et al. 2020, https://arxiv.org/abs/1904.00420), with the chances of `PathDraws`.
    """

    def paths(self, rng: np.random.Generator) -> Sequence[Architecture]:
        """Draw one."""
        return [self.draws.draw(rng)]

    def update(self, optimizer: Any) -> None:  # noqa: ANN401 - Lightning wraps it
        """Follow the gradients as far as `PathDraws` says."""
        self.draws.step(optimizer)


@final
class FairTraining(SharedTraining):
    """Trains every option equally often before each update.

    Strict fairness, from FairNAS (Chu et al. 2021, https://arxiv.org/abs/1907.01845): a step takes
    as many paths as the largest choice has options, on the same batch, and so costs as many times
    the time of a step of `UniformTraining`. Gradients are added up.
    """

    def paths(self, rng: np.random.Generator) -> Sequence[Architecture]:
        """Draw a round."""
        return fair_round(self._space, rng)
