"""Taking steps of a Lightning module outside of Lightning's loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import torch
from pytorch_lightning import LightningDataModule, LightningModule
from pytorch_lightning.utilities.seed import isolate_rng
from pytorch_lightning.utilities.signature_utils import is_param_in_hook_signature
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map_only
from torchmetrics import Metric

from phylon.trainables.instruments import seed_epoch
from phylon.trainables.lightning import Stage, batches

T = TypeVar("T")


def take_step(step: Callable[..., Any], batch: Any, index: int) -> Any:  # noqa: ANN401
    """Call a training or validation step with or without the batch's index, as it is defined."""
    takes_index = is_param_in_hook_signature(step, "batch_idx", min_args=2)
    return step(batch, index) if takes_index else step(batch)


def loss_of(result: Any) -> Tensor | None:  # noqa: ANN401
    """Return the loss in what a training step returned; None if it skips the batch."""
    loss = result.get("loss") if isinstance(result, dict) else result
    return loss if isinstance(loss, Tensor) else None


@contextmanager
def logging_to(module: LightningModule, log: Callable[..., None]) -> Iterator[None]:
    """Hand what a module logs, by `log` or `log_dict`, to a function instead."""
    names = vars(module)
    before = names.get("log")
    names["log"] = log
    try:
        yield
    finally:
        if before is None:
            del names["log"]
        else:
            names["log"] = before


def ignore(*_: object, **__: object) -> None:
    """Do nothing with what is logged."""


def measure(module: LightningModule, batch: Any) -> dict[str, float]:  # noqa: ANN401
    """Return what a module logs of a validation split that is this one batch."""
    logged: dict[str, Any] = {}

    def keep(name: str, value: object, *_: object, **__: object) -> None:
        logged[name] = value

    with logging_to(module, keep), torch.no_grad():
        module.on_validation_epoch_start()
        take_step(module.validation_step, batch, 0)
        module.on_validation_epoch_end()
    measured = {}
    for name, value in logged.items():
        measured[name] = float(value.compute() if isinstance(value, Metric) else value)
        if isinstance(value, Metric):
            value.reset()
    return measured


def fixed_batches(
    data: LightningDataModule,
    stage: Stage,
    seed: int,
    device: torch.device,
    keep: Callable[[Iterator[Any]], T],
) -> T:
    """Return what is kept of batches that are the same for the same seed.

    Random generators stay as they are.

    Args:
        data: Where they are from.
        stage: ``fit`` for the training data, ``validate`` for the validation data.
        seed: What their order follows, and whatever else the data module draws.
        device: Where they are needed.
        keep: Takes the batches, each as a module is given it.
    """
    with isolate_rng():
        seed_epoch(seed, 0)
        return keep(batches(data, stage, device))


def samples_in(batch: Any) -> int:  # noqa: ANN401
    """Return the number of rows of the first tensor in a batch; 0 if there is none."""
    tensors = (it for it in tree_leaves(batch) if isinstance(it, Tensor) and it.ndim)
    return next(map(len, tensors), 0)


def pick(batch: Any, count: int, samples: slice | Tensor) -> Any:  # noqa: ANN401
    """Return some samples of a batch: of every tensor in it that has `count` rows."""

    def rows(tensor: Tensor) -> Tensor:
        return tensor[samples] if tensor.ndim and len(tensor) == count else tensor

    return tree_map_only(Tensor, rows, batch)
