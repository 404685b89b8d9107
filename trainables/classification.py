"""Training of image classifiers: `b` pictures, `c` channels, `h` x `w` pixels, `k` classes."""

from __future__ import annotations

from typing import TypeAlias, final

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

Batch: TypeAlias = tuple[Tensor, Tensor]


@final
class ImageClassifier(LightningModule):
    """Trains a network ``(b, c, h, w) -> (b, k)`` with AdamW under a one-cycle learning rate.

    The learning rate rises over the first third of the steps and then falls to nothing (Smith and
    Topin, https://arxiv.org/abs/1708.07120); weight decay (Loshchilov and Hutter,
    https://arxiv.org/abs/1711.05101) spares biases and norms. Logs `train_loss`, `val_loss`,
    `val_accuracy` and `test_accuracy`, each over a whole split rather than as a mean of batches.

    Attributes:
        learning_rate: The highest of the cycle.
    """

    def __init__(self, network: nn.Module, learning_rate: float, weight_decay: float) -> None:
        super().__init__()
        self.network = network
        self.learning_rate = learning_rate
        self.weight_decay = weight_decay
        self._training = Tally()
        self._held_out = Tally()

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of shape ``(b, k)``."""
        logits: Tensor = self.network(images)
        return logits

    def on_train_epoch_start(self) -> None:
        """Begin to count anew."""
        self._training = Tally()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:  # noqa: ARG002
        """Return the mean cross entropy of a batch."""
        images, labels = batch
        loss = cross_entropy(self.network(images), labels)
        self._training.count(loss, len(labels))
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the loss over the epoch's batches, each as it was met."""
        self.log("train_loss", self._training.loss)

    def on_validation_epoch_start(self) -> None:
        """Begin to count anew."""
        self._held_out = Tally()

    def validation_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Count a batch."""
        self._score(batch)

    def on_validation_epoch_end(self) -> None:
        """Log loss and accuracy over the validation split."""
        self.log_dict({"val_loss": self._held_out.loss, "val_accuracy": self._held_out.accuracy})

    def on_test_epoch_start(self) -> None:
        """Begin to count anew."""
        self._held_out = Tally()

    def test_step(self, batch: Batch, batch_idx: int) -> None:  # noqa: ARG002
        """Count a batch."""
        self._score(batch)

    def on_test_epoch_end(self) -> None:
        """Log accuracy over the test split."""
        self.log("test_accuracy", self._held_out.accuracy)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return AdamW and its one-cycle schedule, stepped after every batch."""
        weights = [p for p in self.parameters() if p.ndim > 1]
        others = [p for p in self.parameters() if p.ndim <= 1]
        groups = [
            {"params": weights, "weight_decay": self.weight_decay},
            {"params": others, "weight_decay": 0.0},
        ]
        optimizer = torch.optim.AdamW(groups, lr=self.learning_rate, fused=True)
        steps = int(self.trainer.estimated_stepping_batches)
        cycle = torch.optim.lr_scheduler.OneCycleLR(
            optimizer, self.learning_rate, total_steps=steps
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}

    def _score(self, batch: Batch) -> None:
        images, labels = batch
        logits = self.network(images)
        correct = (logits.argmax(dim=1) == labels).sum()
        self._held_out.count(cross_entropy(logits, labels), len(labels), correct)


@final
class Tally:
    """Sums over the samples seen so far, kept on their device so that counting never waits."""

    def __init__(self) -> None:
        self._loss: Tensor | float = 0.0
        self._correct: Tensor | int = 0
        self._samples = 0

    def count(self, mean_loss: Tensor, samples: int, correct: Tensor | int = 0) -> None:
        """Add a batch by its mean loss of shape ``()``, its size, and how many were told right."""
        self._loss = self._loss + mean_loss.detach() * samples
        self._correct = self._correct + correct
        self._samples += samples

    @property
    def loss(self) -> float:
        """Mean loss of a sample."""
        return float(self._loss) / self._samples

    @property
    def accuracy(self) -> float:
        """Fraction of samples told right, in [0, 1]."""
        return float(self._correct) / self._samples
