"""What is watched while a candidate trains: the seeds it uses, its loss, and its arithmetic."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any, final

import numpy as np
import torch
from pytorch_lightning import Trainer, seed_everything
from pytorch_lightning.utilities.data import extract_batch_size
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from phylon.search.errors import NonFinite

LOOK_EVERY = 50  # steps whose losses are looked at together, because looking waits for the device


def seed_epoch(seed: int, epoch: int) -> None:
    """Seed Python, NumPy and torch as a function of a candidate's seed and an epoch from 0."""
    words = np.random.SeedSequence([seed, epoch]).generate_state(1)
    seed_everything(int(words[0]), verbose=False)


@final
class LossGuard:
    """Ends a training whose loss is no number any more."""

    def __init__(self) -> None:
        self._losses: list[Tensor] = []
        self._rates: list[float] = []

    def keep(self, outputs: Any, trainer: Trainer, index: int) -> None:  # noqa: ANN401
        """Keep the loss of a batch, and look at those kept every few steps.

        Args:
            outputs: What Lightning made of the training step's result.
            trainer: Whose learning rate is told.
            index: The batch's in its epoch, from 0.

        Raises:
            NonFinite: A loss is NaN or infinite: at which epoch, step and learning rate.
        """
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        if not isinstance(loss, Tensor):
            return
        self._losses.append(loss.detach())
        self._rates.append(
            trainer.optimizers[0].param_groups[0]["lr"] if trainer.optimizers else 0.0
        )
        if len(self._losses) == LOOK_EVERY:
            self.look(trainer, index)

    def look(self, trainer: Trainer, index: int) -> None:
        """Look at the losses kept up to and with the batch at `index`; raises as `keep`."""
        if not self._losses:
            return
        broken = ~torch.isfinite(torch.stack(self._losses))  # (kept,)
        if broken.any():
            first = int(broken.int().argmax())
            step = index + 1 - len(self._losses) + first + 1
            raise NonFinite(
                f"the loss became {float(self._losses[first])} in epoch "
                f"{trainer.current_epoch + 1} at step {step}, with learning rate "
                f"{self._rates[first]:.3g}; lower the learning rate of the task, or the highest "
                "of the space, if this is common"
            )
        self._losses.clear()
        self._rates.clear()


@final
class MacCounter:
    """Counts the multiply-accumulates of one sample while one batch is validated.

    They are half of the floating point operations that torch counts: matrix products,
    convolutions and attention, but not what works element by element.

    Attributes:
        macs: The count; None before the first batch.
    """

    def __init__(self) -> None:
        self.macs: int | None = None
        self._counter: FlopCounterMode | None = None
        self._counting = ExitStack()

    def start(self) -> None:
        """Begin to count, unless it was done."""
        if self.macs is None:
            self._counter = self._counting.enter_context(FlopCounterMode(display=False))

    def finish(self, batch: Any) -> None:  # noqa: ANN401 - whatever the data module yields
        """End the count of a batch."""
        if self._counter is not None:
            operations = self._counter.get_total_flops()
            self.abandon()
            self.macs = operations // (2 * extract_batch_size(batch))

    def abandon(self) -> None:
        """Stop counting, so that nothing is left running into the next candidate."""
        self._counting.close()
        self._counter = None
