"""Tasks that tell pictures apart: the built-in handwritten digits, and anybody's own pictures."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, final

import numpy as np

from phylon.search.architecture import Architecture
from phylon.search.errors import ConfigurationError
from phylon.search.space import SearchSpace
from phylon.trainables.dataset import ImageDataset
from phylon.trainables.macro import macro_space
from phylon.trainables.pictures import read_pictures
from phylon.trainables.task import Task

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule, LightningModule
    from torch import nn

DECISIONS = ("stages", "activation", "dropout", "learning_rate", "weight_decay")


@final
class ImageTask(Task):
    """Classify pictures with networks of the macro space.

    Attributes:
        dataset: The pictures.
        space: By default a `macro_space` that fits their size.
    """

    metrics = ("val_accuracy", "val_loss", "train_loss")
    smallest_batch = 2  # of one picture, batch norm has no deviation

    def __init__(self, dataset: ImageDataset, space: SearchSpace | None = None) -> None:
        self.dataset = dataset
        self.space: SearchSpace = space or macro_space(dataset.side)

    def build(self, architecture: Architecture) -> nn.Module:
        """Return a network from normalised pictures ``(b, c, h, w)`` to logits ``(b, k)``.

        Raises:
            ConfigurationError: The architecture is of no `macro_space`.
        """
        from phylon.trainables.convnet import build_convnet

        if missing := [name for name in DECISIONS if name not in architecture]:
            raise ConfigurationError(
                f"the space does not decide {', '.join(missing)}: the task `{self.dataset.source}` "
                "builds networks of phylon.trainables.macro_space; for another space, bring a Task "
                "with a build of its own"
            )
        return build_convnet(architecture, self.dataset.channels, len(self.dataset.classes))

    def lightning_module(self, network: nn.Module, architecture: Architecture) -> LightningModule:
        """Return an `ImageClassifier` with the architecture's learning rate and weight decay."""
        from phylon.trainables.classification import ImageClassifier

        rate, decay = architecture["learning_rate"], architecture["weight_decay"]
        return ImageClassifier(network, rate, decay)

    def datamodule(self, seed: int, batch_size: int) -> LightningDataModule:
        """Return the pictures, split by the seed."""
        from phylon.trainables.datamodule import ImageDataModule

        return ImageDataModule(self.dataset, seed, batch_size)

    def fingerprint(self) -> dict[str, Any]:
        """Return where the pictures come from, their digest, number, shape and classes."""
        channels, height, width = self.dataset.images.shape[1:]
        return {
            "name": self.dataset.source,
            "digest": self.dataset.digest,
            "pictures": len(self.dataset.images),
            "official_test": self.dataset.official_test,
            "shape": [channels, height, width],
            "classes": len(self.dataset.classes),
        }


def digits() -> ImageTask:
    """Return the task of telling 1,797 handwritten digits of 8x8 pixels apart.

    The pictures come with scikit-learn, so nothing is downloaded.
    """
    from sklearn.datasets import load_digits

    data = load_digits()
    dataset = ImageDataset(
        images=data.images.astype(np.uint8)[:, None],
        labels=data.target.astype(np.int64),
        classes=tuple(map(str, data.target_names)),
        official_test=0,
        source="digits",
    )
    return ImageTask(dataset, macro_space(dataset.side, depth=(1, 2), width=(8, 32)))


def images(path: str | Path, size: int | None = None) -> ImageTask:
    """Return the task of telling the classes of your own pictures apart.

    Args:
        path: An ``.npz`` file, a folder of MNIST-style IDX files, or a folder with a folder of
            pictures per class; see `read_pictures`.
        size: Resize the pictures of a folder to squares of so many pixels.

    Raises:
        ConfigurationError: There is nothing of the kind, or pictures or labels are unusable.
    """
    if not isinstance(path, str | Path) or not isinstance(size, int | None):
        raise ConfigurationError(
            "task: `images` takes a path in quotes and a whole number as size, not "
            f"{path!r}, {size!r}"
        )
    return ImageTask(read_pictures(path, size))
