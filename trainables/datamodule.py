"""Feeding pictures in memory to Lightning. Shapes: `b` pictures, `c` channels, `h` x `w` pixels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from pytorch_lightning import LightningDataModule
from torch import Tensor

from phylon.search.errors import ConfigurationError
from phylon.trainables.classification import Batch
from phylon.trainables.dataset import ImageDataset, Indices
from phylon.trainables.samples import Normalisation

EVALUATION_FACTOR = 4  # without gradients there is room for larger batches
CHUNK = 4096  # pictures turned into floats at a time


@final
class ImageDataModule(LightningDataModule):
    """Splits a dataset and feeds it normalised with the statistics of the training split.

    Raises:
        ConfigurationError: The batch size is below 2: batch norm needs at least two samples.
    """

    def __init__(self, dataset: ImageDataset, seed: int, batch_size: int) -> None:
        super().__init__()
        if batch_size < 2:
            raise ConfigurationError(
                f"batch size {batch_size} is too small: batch norm needs at least 2 pictures"
            )
        self.dataset = dataset
        self.split = dataset.split(seed)
        self.batch_size = batch_size
        self._mean, self._scale = _statistics(dataset.images, self.split.train)

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, in the order of a network's outputs."""
        return self.dataset.classes

    @property
    def normalisation(self) -> Normalisation:
        """What `on_after_batch_transfer` does to pictures."""
        mean, scale = (tuple(each.flatten().tolist()) for each in (self._mean, self._scale))
        return Normalisation(mean, scale)

    def train_dataloader(self) -> Batches:
        """Return shuffled batches of the training split."""
        return Batches(self.dataset, self.split.train, self.batch_size, shuffle=True)

    def val_dataloader(self) -> Batches:
        """Return the validation split in order."""
        return Batches(self.dataset, self.split.validation, self.batch_size * EVALUATION_FACTOR)

    def test_dataloader(self) -> Batches:
        """Return the test split in order."""
        return Batches(self.dataset, self.split.test, self.batch_size * EVALUATION_FACTOR)

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:  # noqa: ARG002
        """Normalise on the device: raw pixels ``(b, c, h, w)`` to mean 0 and deviation 1."""
        images, labels = batch
        if self._mean.device != images.device:
            self._mean, self._scale = self._mean.to(images.device), self._scale.to(images.device)
        # Channels last in memory: convolutions on a CPU take a quarter less time.
        floats = torch.empty(
            images.shape,
            dtype=torch.float32,
            device=images.device,
            memory_format=torch.channels_last,
        )
        return floats.copy_(images).sub_(self._mean).mul_(self._scale), labels


@final
class Batches:
    """An iterable over batches of near-equal size; shuffled ones follow torch's global seed.

    The order is drawn when the first batch is taken.
    """

    def __init__(
        self, dataset: ImageDataset, indices: Indices, batch_size: int, *, shuffle: bool = False
    ) -> None:
        self._images, self._labels = dataset.images, dataset.labels
        self._indices = indices
        # Never a batch of one, which batch norm cannot train on: rather one more in another.
        self._count = max(1, min(-(-len(indices) // batch_size), len(indices) // 2))
        self._shuffle = shuffle

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Batch]:
        order = self._indices
        if self._shuffle:
            order = order[torch.randperm(len(order)).numpy()]
        for chosen in np.array_split(order, self._count):
            # `take` copies, so the tensors are writable though shared arrays are not, and always to
            # the same layout in memory, on which the last bits of a convolution depend.
            images, labels = self._images.take(chosen, axis=0), self._labels.take(chosen)
            yield torch.from_numpy(images), torch.from_numpy(labels)


def _statistics(images: NDArray[np.generic], indices: Indices) -> tuple[Tensor, Tensor]:
    """Return mean and reciprocal deviation of each channel, both of shape ``(c, 1, 1)``."""
    sums = np.zeros((2, images.shape[1]))
    for start in range(0, len(indices), CHUNK):
        chunk = images[indices[start : start + CHUNK]].astype(np.float64)
        sums += chunk.sum(axis=(0, 2, 3)), np.square(chunk).sum(axis=(0, 2, 3))
    mean, square = sums / (len(indices) * images.shape[2] * images.shape[3])
    deviation = np.sqrt(np.maximum(square - mean**2, 0.0))
    scale = 1.0 / np.where(deviation > 0, deviation, 1.0)
    return torch.from_numpy(mean).float()[:, None, None], torch.from_numpy(scale).float()[
        :, None, None
    ]
