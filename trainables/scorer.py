"""Measuring paths through a supernet with the shared weights as they are."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import (
    Callback,
    LightningDataModule,
    LightningModule,
    Trainer,
    seed_everything,
)
from torch import Tensor, nn

from phylon.search.architecture import Architecture
from phylon.search.errors import EvaluationError
from phylon.search.evaluation import Context, Weights
from phylon.trainables.batch_norm import calibrate
from phylon.trainables.instruments import MacCounter
from phylon.trainables.lightning import new_trainer
from phylon.trainables.steps import fixed_batches, measure, pick, samples_in

if TYPE_CHECKING:
    from phylon.trainables.supernet import Supernet
    from phylon.trainables.task import Task


@final
class Scorer:
    """Scores architectures on one version of shared weights, each as if it were the first.

    Batch-norm statistics are calibrated for each architecture, on training batches that are the
    same for all (Guo et al. 2020, https://arxiv.org/abs/1904.00420, section 3.4). Parameters are
    the shared arrays themselves, which nothing may write to. To be used where Lightning is
    `supervised`.

    Args:
        task: What the networks learn.
        supernet: Filled with the weights; see `share`.
        data: What it was trained on, and is validated on.
        calibration: Number of training batches; 0: statistics are those of the training.
        seed: The study's; it draws the training batches.
        context: What the worker lends.
    """

    def __init__(
        self,
        task: Task,
        supernet: Supernet,
        data: LightningDataModule,
        calibration: int,
        seed: int,
        context: Context,
    ) -> None:
        self._task = task
        self._supernet = supernet
        self._data = data
        self._seed = seed
        self._preparation = _Preparation(data, calibration, seed)
        self._trainer = new_trainer(context, callback=self._preparation)

    def score(self, architecture: Architecture) -> dict[str, float]:
        """Return what the task's module logs in validation, `params`, and `macs`.

        Both counts are those of the stand-alone network.

        Raises:
            SpaceError: The architecture is not of the supernet's space.
        """
        self._supernet.space.validate(architecture)
        seed_everything(self._seed, verbose=False)
        params = sum(each.numel() for each in self._task.build(architecture).parameters())
        self._supernet.select(architecture)
        module = self._task.lightning_module(self._supernet, architecture)
        self._trainer.validate(module, datamodule=self._data, verbose=False)
        logged = {name: float(it) for name, it in self._trainer.callback_metrics.items()}
        return {**logged, "params": float(params), "macs": float(self._preparation.macs)}


@final
class _Preparation(Callback):
    """Calibrates before a validation, and counts the arithmetic of one sample."""

    def __init__(self, data: LightningDataModule, calibration: int, seed: int) -> None:
        self.macs = 0
        self._data = data
        self._calibration = calibration
        self._seed = seed
        self._batches: list[Any] | None = None
        self._sample: Any = None

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:  # noqa: ARG002
        if self._batches is None:
            self._fetch(pl_module.device)
        if self._batches:
            calibrate(pl_module, self._batches)
        counter = MacCounter()
        counter.start()
        try:
            measure(pl_module, self._sample)
            counter.finish(self._sample)
        finally:
            counter.abandon()
        self.macs = counter.macs or 0

    def _fetch(self, device: torch.device) -> None:
        def first(batches: Iterator[Any]) -> list[Any]:
            return list(islice(batches, self._calibration))

        self._batches = fixed_batches(self._data, "fit", self._seed, device, first)
        batch = fixed_batches(self._data, "validate", self._seed, device, next)
        self._sample = pick(batch, samples_in(batch), slice(1))


def share(supernet: nn.Module, weights: Weights) -> None:
    """Let a supernet use weights: parameters become the arrays themselves, not copies.

    They need no gradients afterwards, and nothing may write to them. Buffers are copied.

    Raises:
        EvaluationError: The weights are of another space or version.
    """
    own: dict[str, Tensor] = supernet.state_dict(keep_vars=True)
    given = {id(own[name]): array for name, array in weights.items() if name in own}
    for name in (*own, *weights):
        tensor = own.get(name)
        array = weights.get(name) if tensor is None else given.get(id(tensor))  # may be tied
        if tensor is None or array is None or tuple(tensor.shape) != array.shape:
            raise EvaluationError(
                f"the shared weights do not fit the supernet of this space: `{name}` has shape "
                f"{None if array is None else array.shape} in the weights and "
                f"{None if tensor is None else tuple(tensor.shape)} in the supernet; they are of "
                "another space or version: train the shared weights of this one"
            )
        if isinstance(tensor, nn.Parameter):
            tensor.requires_grad = False
            tensor.data = _borrowed(array)
        else:
            tensor.copy_(_borrowed(array))


def _borrowed(array: NDArray[np.generic]) -> Tensor:
    """Return a tensor on the memory of an array that may be read-only; it must not be written."""
    return torch.from_numpy(np.asarray(_Borrowed(array)))


@final
class _Borrowed:
    """Offers the memory of an array as if it might be written, since torch knows no other."""

    def __init__(self, array: NDArray[np.generic]) -> None:
        self._array = array  # keeps the memory
        pointer, _ = array.__array_interface__["data"]
        self.__array_interface__ = {**array.__array_interface__, "data": (pointer, False)}
