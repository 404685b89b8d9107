"""Reporting the epochs of a candidate, and keeping what a later attempt would go on from."""

from __future__ import annotations

import logging
import math
import time
from dataclasses import replace
from typing import Any, final

from pytorch_lightning import LightningModule, Trainer
from pytorch_lightning.callbacks import Checkpoint
from torch import nn
from torch.optim.lr_scheduler import ReduceLROnPlateau

from phylon.search.candidate import Measurement
from phylon.search.errors import EvaluationError, GivenBack
from phylon.search.evaluation import INHERITED_SHARE, WEIGHTS_FILE, Context
from phylon.trainables.folder import CHECKPOINT, UNWRITABLE, CandidateFolder
from phylon.trainables.heritage import Heritage, keep
from phylon.trainables.instruments import LossGuard, MacCounter, seed_epoch
from phylon.trainables.teamwork import agreed

log = logging.getLogger(__name__)
AT_RISK = 10.0  # seconds of training that an interruption may cost, if nothing else was asked for


@final
class EpochReporter(Checkpoint):
    """Seeds, watches and reports every epoch of a candidate.

    One callback does it all, since Lightning spends time on each one in every step. As a
    `Checkpoint` it is called last at the end of an epoch, where it is safe to write one.

    Args:
        folder: Where checkpoints and weights go.
        context: Takes each measurement, and may tell to stop after the running epoch, with a
            checkpoint. A team does not stop, since its workers would not agree on the epoch.
        promised: Metrics that the module must have logged.
        network: Whose parameters are counted.
        published: Whose weights are written after the last epoch.
        seed: The candidate's.
        checkpoint_every: Epochs between checkpoints; None to go by time.
        heritage: What the candidate begins with that inherits, unless it goes on from a checkpoint.
    """

    def __init__(
        self,
        folder: CandidateFolder,
        context: Context,
        promised: tuple[str, ...],
        network: nn.Module,
        published: nn.Module,
        seed: int,
        checkpoint_every: int | None,
        heritage: Heritage | None = None,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._context = context
        self._team = context.team
        self._promised = promised
        self._network = network
        self._published = published
        self._seed = seed
        self._every = checkpoint_every
        self._heritage = heritage
        self._has_warned = False
        self._guard = LossGuard()
        self._counter = MacCounter()
        self._history: list[Measurement] = []
        self._first = True
        self._since = self._kept_at = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """Keep what was measured, counted, and is to be said of what was inherited."""
        note = self._heritage.note if self._heritage else ""
        state = self._folder.state(self._history)
        return {**state, "macs": self._counter.macs, "note": note}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Undo `state_dict`."""
        note = state_dict.get("note", "")
        self._history = [replace(it, note=note) for it in self._folder.recall(state_dict)]
        self._counter.macs = state_dict["macs"]
        share = self._history[-1].metrics.get(INHERITED_SHARE) if self._history else None
        self._heritage = None if share is None else Heritage(share, note)

    def on_save_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Leave out hyperparameters, which may be any objects: the architecture tells them."""
        for key in ("hyper_parameters", "datamodule_hyper_parameters"):
            checkpoint.pop(key, None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Report again what was measured before, by whomever, and catch up with it.

        One that begins with its parent's weights goes on with what the parent's optimizers kept. In
        a team that is what the first worker has, as with the weights, which Lightning hands round.
        Lightning tells schedulers that wait for a plateau of an epoch only after its checkpoint.
        """
        for measurement in self._history:
            self._context.report(measurement)
        if self._heritage:
            heritage = agreed(self._heritage, self._team)
            heritage.hand_over(pl_module, trainer.optimizers)
            self._heritage = replace(heritage, kept={})
        if not self._history or not pl_module.automatic_optimization:
            return
        last = self._history[-1]
        for config in trainer.lr_scheduler_configs:
            due = config.interval == "epoch" and last.step % config.frequency == 0
            value = last.metrics.get(str(config.monitor))
            if due and isinstance(config.scheduler, ReduceLROnPlateau) and value is not None:
                config.scheduler.step(value)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Seed the epoch: what it draws does not depend on an interruption before it."""
        seed_epoch(self._seed, trainer.current_epoch)
        if self._first and trainer.fit_loop._data_fetcher is not None:
            # Lightning opens the loader of later epochs after this hook, but that of the first
            # before it. Opened again, it too draws its order from the seed.
            iter(trainer.fit_loop._data_fetcher)
        self._first = False

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ANN401
        batch: Any,  # noqa: ANN401, ARG002
        batch_idx: int,
    ) -> None:
        """Watch the loss, and look at it before time is spent on validating a broken network."""
        self._guard.keep(outputs, trainer, batch_idx)
        if trainer.is_last_batch:
            self._guard.look(trainer, batch_idx)

    def on_validation_batch_start(self, *_: Any) -> None:  # noqa: ANN401
        """Count the arithmetic of the first batch."""
        self._counter.start()

    def on_validation_batch_end(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ANN401, ARG002
        batch: Any,  # noqa: ANN401
        batch_idx: int,  # noqa: ARG002
        dataloader_idx: int = 0,  # noqa: ARG002
    ) -> None:
        """End the count."""
        self._counter.finish(batch)

    def on_exception(self, *_: Any) -> None:  # noqa: ANN401
        """Leave no count running."""
        self._counter.abandon()

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Write a checkpoint if it is due, or the weights after the last epoch, and report.

        Raises:
            GivenBack: The worker has to leave; there is a checkpoint of this epoch.
        """
        now = time.perf_counter()
        step = trainer.current_epoch + 1
        over = trainer.should_stop or step == trainer.max_epochs
        last = over or step == self._folder.until
        leaves = not last and self._team.size == 1 and self._context.leaving()
        kept = WEIGHTS_FILE if last else CHECKPOINT if leaves or self._due(step, now) else None
        note = self._heritage.note if self._heritage else ""
        metrics = self._metrics(trainer)
        self._history.append(Measurement(step, metrics, now - self._since, kept, note))
        self._since = now
        if last and self._team.rank == 0:
            self._publish(trainer)
        if kept and not over:
            self._keep(trainer, now)
        elif over and self._team.rank == 0:
            self._folder.drop_checkpoint()
        trainer.should_stop = trainer.should_stop or last
        self._context.report(self._history[-1])
        if leaves:
            raise GivenBack(f"stopped after epoch {step}")

    def _publish(self, trainer: Trainer) -> None:
        """Write the weights; if they cannot be written, say so: nobody can begin with them."""
        try:
            if self._folder.bequeaths:
                self._folder.save_optimizer(keep(self._published, trainer.optimizers))
            self._folder.save_weights(self._published, self._history)
        except UNWRITABLE as error:
            self._folder.drop_weights()
            self._history[-1] = self._history[-1].unwritten(error)
        else:
            if self._folder.bequeaths:
                self._context.publish()

    def _keep(self, trainer: Trainer, now: float) -> None:
        """Write a checkpoint; without it, an interruption would only cost more."""
        try:
            self._folder.save_checkpoint(trainer)
        except OSError as error:
            if self._history[-1].checkpoint == CHECKPOINT:
                self._history[-1] = replace(self._history[-1], checkpoint=None)
            if not self._has_warned:
                log.warning("training goes on without `%s`: %s", self._folder.checkpoint, error)
            self._has_warned = True
        else:
            self._kept_at = now

    def _due(self, step: int, now: float) -> bool:
        """Whether a checkpoint is to be written after a step."""
        if self._every is None:
            return now - self._kept_at >= AT_RISK
        return step % self._every == 0

    def _metrics(self, trainer: Trainer) -> dict[str, float]:
        """Return every finite metric that was logged, parameters and multiply-accumulates.

        The latter only if there is validation, in which they are counted.
        """
        logged = {name: float(value) for name, value in trainer.callback_metrics.items()}
        for name in self._promised:
            if name not in logged:
                raise EvaluationError(
                    f"the task promises the metric `{name}`, but its module logged: "
                    f"{', '.join(sorted(logged)) or 'nothing'}; log it in validation_step with "
                    f'self.log("{name}", ...)'
                )
            if not math.isfinite(logged[name]):
                raise EvaluationError(
                    f"`{name}` is {logged[name]} after epoch {trainer.current_epoch + 1}"
                )
        parameters = sum(parameter.numel() for parameter in self._network.parameters())
        counts = {"params": float(parameters)}
        if self._counter.macs is not None:
            counts["macs"] = float(self._counter.macs)
        elif trainer.limit_val_batches:
            raise EvaluationError(
                "no batch was validated, so there is nothing to choose by: give the data module a "
                "val_dataloader that is not empty, and the module a validation_step"
            )
        if self._heritage:
            counts[INHERITED_SHARE] = self._heritage.share
        finite = {name: value for name, value in logged.items() if math.isfinite(value)}
        return {**finite, **counts}
