"""Samples of the validation data on which paths are tried while their weights are trained."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, final

import numpy as np
import torch
from pytorch_lightning import LightningDataModule, LightningModule
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from phylon.trainables.batch_norm import batch_statistics
from phylon.trainables.steps import fixed_batches, measure, pick, samples_in

SAMPLES = 128  # at most, in a trial
ROOM = 2**28  # bytes that are kept on the device


@final
class HeldOut:
    """Validation data, or evenly spaced batches of it if it is large, on the device.

    Trials are of samples from all over it, since validation data often comes sorted by class. If
    its batches are too unlike to be joined, each is of samples from one batch.

    Args:
        data: Where the samples are from.
        seed: What their order follows, if the data module draws one.
        device: Where they are needed.
    """

    def __init__(self, data: LightningDataModule, seed: int, device: torch.device) -> None:
        kept = fixed_batches(data, "validate", seed, device, _thinned)
        try:
            self._batches = [tree_map(_join, *kept)]
        except (RuntimeError, ValueError):
            self._batches = kept

    def try_path(self, module: LightningModule, rng: np.random.Generator) -> dict[str, float]:
        """Return what a module logs of some samples, with batch norms that normalise by them.

        The module is in training mode before and after.
        """
        batch = self._batches[int(rng.integers(len(self._batches)))]
        count = samples_in(batch)
        chosen = rng.choice(count, min(count, SAMPLES), replace=False)
        module.eval()
        with batch_statistics(module):
            measured = measure(module, pick(batch, count, torch.from_numpy(chosen)))
        module.train()
        return measured


def _thinned(batches: Iterable[Any]) -> list[Any]:
    """Return evenly spaced batches, as many as there is room for."""
    kept: list[Any] = []
    every, size = 1, 0
    for index, batch in enumerate(batches):
        if index % every == 0:
            kept.append(batch)
            size += _bytes(batch)
        if size > ROOM and len(kept) > 1:
            kept, every = kept[::2], 2 * every
            size = sum(map(_bytes, kept))
    return kept


def _join(*leaves: Any) -> Any:  # noqa: ANN401
    tensors = isinstance(leaves[0], Tensor) and leaves[0].ndim
    return torch.cat(leaves) if tensors else leaves[0]


def _bytes(batch: Any) -> int:  # noqa: ANN401
    return sum(each.nbytes for each in tree_leaves(batch) if isinstance(each, Tensor))
