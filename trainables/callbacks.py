"""What an evaluation adds to Lightning's training: seeds, a guard, a count, and reports."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any, final

import numpy as np
import torch
from pytorch_lightning import Callback, LightningModule, Trainer, seed_everything
from pytorch_lightning.callbacks import Checkpoint
from pytorch_lightning.utilities.data import extract_batch_size
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from phylon.search.candidate import Measurement
from phylon.search.errors import EvaluationError
from phylon.trainables.folder import CHECKPOINT, WEIGHTS, CandidateFolder, measurements

GUARD_EVERY = 50  # steps whose losses are looked at together, because looking waits for the device


@final
class EpochSeeds(Callback):
    """Seeds every epoch from the candidate's seed and its number.

    So what an epoch draws does not depend on whether training was interrupted before it.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._first = True

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Seed Python, NumPy and torch; then draw the order of the first epoch again."""
        words = np.random.SeedSequence([self._seed, trainer.current_epoch]).generate_state(1)
        seed_everything(int(words[0]), verbose=False)
        if self._first and trainer.fit_loop._data_fetcher is not None:
            # Lightning opens later epochs' loaders after this hook, but the first one's before it.
            iter(trainer.fit_loop._data_fetcher)
        self._first = False


@final
class LossGuard(Callback):
    """Ends a training whose loss is no number any more.

    Raises:
        EvaluationError: The loss became NaN or infinite: at which epoch, step and learning rate.
    """

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._rates: list[float] = []

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,  # noqa: ARG002
        outputs: Any,  # noqa: ANN401 - whatever the training step returned
        batch: Any,  # noqa: ANN401, ARG002
        batch_idx: int,
    ) -> None:
        """Keep the loss, and look at all that were kept every few steps."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if not isinstance(loss, Tensor):
            return
        self._losses.append(loss.detach())
        self._rates.append(trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else 0.0)
        if len(self._losses) == GUARD_EVERY:
            self._look(trainer, batch_idx)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Look before time is spent on a broken network."""
        if self._losses:
            self._look(trainer, trainer.fit_loop.batch_idx)

    def _look(self, trainer: Trainer, last_index: int) -> None:
        broken = ~torch.isfinite(torch.stack(self._losses))  # (kept,)
        if broken.any():
            first = int(broken.int().argmax())
            step = last_index - len(self._losses) + first + 2
            raise EvaluationError(
                f"the loss became {float(self._losses[first])} in epoch {trainer.current_epoch + 1} at "
                f"step {step}, with learning rate {self._rates[first]:.3g}; lower the highest learning "
                "rate of the space if this is common"
            )
        self._losses.clear()
        self._rates.clear()


@final
class MacCounter(Callback):
    """Counts multiply-accumulates of one sample in the first batch of validation.

    Half of the floating point operations that torch counts: matrix products, convolutions and
    attention, but not what works element by element.
    """

    def __init__(self) -> None:
        self.macs: int | None = None
        self._counter: FlopCounterMode | None = None

    def on_validation_batch_start(self, *_: Any) -> None:  # noqa: ANN401
        """Begin to count, once."""
        if self.macs is None:
            self._counter = FlopCounterMode(display=False)
            self._counter.__enter__()

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
        if self._counter is not None:
            operations = self._counter.get_total_flops()
            self._stop()
            self.macs = operations // (2 * extract_batch_size(batch))

    def on_exception(self, *_: Any) -> None:  # noqa: ANN401
        """Leave no counter running into the next candidate."""
        self._stop()

    def state_dict(self) -> dict[str, Any]:
        """Keep the count, so that a resumed training need not count in a later epoch."""
        return {"macs": self.macs}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Undo `state_dict`."""
        self.macs = state_dict["macs"]

    def _stop(self) -> None:
        if self._counter is not None:
            self._counter.__exit__(None, None, None)
        self._counter = None


@final
class EpochReporter(Checkpoint):
    """Reports every epoch, after writing what a later attempt would go on from.

    Lightning calls it after all other callbacks of an epoch, where it is safe to write a
    checkpoint.

    Args:
        folder: Where checkpoints and weights go.
        report: Takes each measurement.
        promised: Metrics that the module must have logged.
        macs: Where the count is found.
        network: Whose parameters are counted.
        checkpoint_every: Epochs between checkpoints.
    """

    def __init__(
        self,
        folder: CandidateFolder,
        report: Callable[[Measurement], None],
        promised: tuple[str, ...],
        macs: MacCounter,
        network: nn.Module,
        checkpoint_every: int,
    ) -> None:
        super().__init__()
        self._folder = folder
        self._report = report
        self._promised = promised
        self._macs = macs
        self._network = network
        self._every = checkpoint_every
        self._history: list[Measurement] = []
        self._since = time.perf_counter()

    def state_dict(self) -> dict[str, Any]:
        """Keep what was measured."""
        return self._folder.state(self._history)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Undo `state_dict`."""
        self._history = measurements(state_dict)

    def on_save_checkpoint(
        self,
        trainer: Trainer,  # noqa: ARG002
        pl_module: LightningModule,  # noqa: ARG002
        checkpoint: dict[str, Any],
    ) -> None:
        """Leave out hyperparameters, which may be any objects: the architecture tells them."""
        for key in ("hyper_parameters", "datamodule_hyper_parameters"):
            checkpoint.pop(key, None)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        """Report again what an earlier attempt may not have got through."""
        for measurement in self._history:
            self._report(measurement)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write a checkpoint if it is due, or the weights after the last epoch, and report."""
        step = trainer.current_epoch + 1
        last = trainer.should_stop or step == trainer.max_epochs
        kept = WEIGHTS if last else CHECKPOINT if step % self._every == 0 else None
        now = time.perf_counter()
        measurement = Measurement(step, self._metrics(trainer), now - self._since, kept)
        self._since = now
        self._history.append(measurement)
        if last:
            self._folder.save_weights(pl_module, self._history)
        elif kept:
            self._folder.save_checkpoint(trainer)
        self._report(measurement)

    def _metrics(self, trainer: Trainer) -> dict[str, float]:
        """Return every finite metric that was logged, parameters and multiply-accumulates."""
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
        if self._macs.macs is None:
            raise EvaluationError(
                "no batch was validated, so there is nothing to choose by: give the data module a "
                "val_dataloader that is not empty, and the module a validation_step"
            )
        parameters = sum(parameter.numel() for parameter in self._network.parameters())
        finite = {name: value for name, value in logged.items() if math.isfinite(value)}
        return {**finite, "params": float(parameters), "macs": float(self._macs.macs)}
