"""Tasks that tell pictures apart: the built-in handwritten digits, and anybody's own pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterable
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

    from phylon.trainables.kinship import Kinship
    from phylon.trainables.supernet import Supernet

SPACES = {
    "macro_space": ("stages", "activation", "dropout"),
    "nasbench201_space": ("cell", "cells", "channels"),
    "darts_space": ("normal", "reduction", "cells", "channels"),
}
"""The spaces whose networks can be built, and what they decide for it."""


@final
class ImageTask(Task):
    """Classify pictures with networks of the macro space, of NAS-Bench-201's or of DARTS's.

    Which it is, is told by the names of the decisions. Learning rate and weight decay may be
    decided by the space as well, with these names, whichever networks it is made of.

    Attributes:
        dataset: The pictures.
        space: By default a `macro_space` that fits their size.
        learning_rate: The highest of the cycle, where the space decides none.
        weight_decay: Where the space decides none.
    """

    metrics = ("val_accuracy", "val_loss", "train_loss")
    smallest_batch = 2  # of one picture, batch norm has no deviation
    learning_rate = 1e-2
    weight_decay = 1e-3

    def __init__(self, dataset: ImageDataset, space: SearchSpace | None = None) -> None:
        self.dataset = dataset
        self.space: SearchSpace = space or macro_space(dataset.side)

    def build(self, architecture: Architecture) -> nn.Module:
        """Return a network from normalised pictures ``(b, c, h, w)`` to logits ``(b, k)``.

        Raises:
            ConfigurationError: The architecture is of none of these spaces.
        """
        from phylon.trainables.cellnet import build_cellnet
        from phylon.trainables.convnet import build_convnet
        from phylon.trainables.dartsnet import build_dartsnet

        builds = {
            "macro_space": build_convnet,
            "nasbench201_space": build_cellnet,
            "darts_space": build_dartsnet,
        }
        build = builds[self._space_of(architecture)]
        return build(architecture, self.dataset.channels, len(self.dataset.classes))

    def supernet(self, space: SearchSpace) -> Supernet:
        """Return all networks of a space in one, with shared weights.

        Raises:
            ConfigurationError: The space is of other networks, or decides what weights cannot share
                (learning rate and weight decay).
        """
        from phylon.trainables.cell_supernet import CellSupernet
        from phylon.trainables.darts_supernet import DartsSupernet
        from phylon.trainables.macro_supernet import MacroSupernet

        supernets: dict[str, Callable[..., Supernet]] = {
            "macro_space": MacroSupernet,
            "nasbench201_space": CellSupernet,
            "darts_space": DartsSupernet,
        }
        which = supernets[self._space_of(space.root.children)]
        return which(space, self.build, self.dataset.channels, len(self.dataset.classes))

    def kinship(self, parent: Architecture, child: Architecture) -> Kinship:
        """Return which layers of a child's network descend from which of its parent's, by role.

        Raises:
            ConfigurationError: They are not both of one of these spaces.
        """
        from phylon.trainables.kinship_cells import cells_kinship
        from phylon.trainables.kinship_darts import darts_kinship
        from phylon.trainables.kinship_macro import macro_kinship

        kinships = {
            "macro_space": macro_kinship,
            "nasbench201_space": cells_kinship,
            "darts_space": darts_kinship,
        }
        space, other = self._space_of(child), self._space_of(parent)
        if space != other:
            raise ConfigurationError(
                f"a network of {space} cannot descend from one of {other}: its parent is {parent}"
            )
        return kinships[space](parent, child, self.dataset.channels, len(self.dataset.classes))

    def _space_of(self, decided: Iterable[str]) -> str:
        """Return the name of the space in which this is decided.

        Raises:
            ConfigurationError: It is in none.
        """
        decided = {*decided}  # an architecture is read anew for each look
        space = max(SPACES, key=lambda name: sum(each in decided for each in SPACES[name]))
        if missing := [name for name in SPACES[space] if name not in decided]:
            known = "; ".join(f"{name}, which decides {', '.join(SPACES[name])}" for name in SPACES)
            raise ConfigurationError(
                f"the space does not decide {', '.join(missing)}: the task `{self.dataset.source}` "
                f"builds networks of {known}; for another space, bring a Task with a build of its "
                "own"
            )
        return space

    def lightning_module(self, network: nn.Module, architecture: Architecture) -> LightningModule:
        """Return an `ImageClassifier` with the architecture's learning rate and weight decay."""
        from phylon.trainables.classification import ImageClassifier

        rate = architecture.get("learning_rate", self.learning_rate)
        decay = architecture.get("weight_decay", self.weight_decay)
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
