"""What a user brings to search over: networks, how they train, and the data they learn."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from phylon.search.architecture import Architecture
from phylon.search.errors import ConfigurationError
from phylon.search.space import SearchSpace

if TYPE_CHECKING:
    from pytorch_lightning import LightningDataModule, LightningModule
    from torch import nn

    from phylon.trainables.kinship import Kinship
    from phylon.trainables.supernet import Supernet


class Task(ABC):
    """Turns architectures into networks that Lightning can train; subclass it to bring your own.

    A task whose `build` returns a `LightningModule` needs nothing else but `datamodule`::

        class Flowers(Task):
            metrics = ("val_accuracy",)

            def build(self, architecture):
                return FlowerNet(**architecture)  # your LightningModule; it logs val_accuracy

            def datamodule(self, seed, batch_size):
                return FlowerData(batch_size)  # your LightningDataModule

    A task is pickled once to every worker. Data that it holds as NumPy arrays is shared between
    the workers of a node without copies, and is read-only there.

    Attributes:
        metrics: Names that the module logs in validation; objectives choose among them.
        space: The space to search when the study names none.
        smallest_batch: The least batch size that its networks can be trained with.
    """

    metrics: tuple[str, ...] = ()
    space: SearchSpace | None = None
    smallest_batch: int = 1

    @abstractmethod
    def build(self, architecture: Architecture) -> nn.Module:
        """Return the network that an architecture describes, with fresh random weights."""

    @abstractmethod
    def datamodule(self, seed: int, batch_size: int) -> LightningDataModule:
        """Return the data, built once per worker and used there for many candidates.

        Lightning calls its `setup` for every candidate: what is loaded there should be kept.

        Args:
            seed: The study's seed. The same seed must give the same splits.
            batch_size: Samples per training batch.
        """

    def supernet(self, space: SearchSpace) -> Supernet:
        """Return all networks of a space in one, with shared weights; by default, there is none.

        Args:
            space: What is searched.

        Raises:
            ConfigurationError: The networks of the space cannot share weights.
        """
        own = type(self).__name__
        raise ConfigurationError(
            f"{own} brings no supernet, so its networks, which differ in "
            f"{', '.join(space.root.children)}, cannot share weights: define "
            f"{own}.supernet(space), which returns a phylon.trainables.Supernet, or let the study "
            "train each network on its own (evaluator: training)"
        )

    def kinship(
        self,
        parent: Architecture,  # noqa: ARG002 - for tasks that know more
        child: Architecture,  # noqa: ARG002
    ) -> Kinship | None:
        """Return which layers of a child's network descend from which of its parent's.

        With them begins a child that inherits. By default it is None: what has the same name in
        both descends from it, as far as the shapes have in common.

        Args:
            parent: The architecture whose weights there are.
            child: The one to begin with them.
        """
        return None

    def fingerprint(self) -> dict[str, Any]:
        """Return what tells this data from other data, as plain JSON; by default the class."""
        return {"name": f"{type(self).__module__}:{type(self).__qualname__}"}

    def lightning_module(self, network: nn.Module, architecture: Architecture) -> LightningModule:
        """Return what trains, validates and, if the task has test data, tests a network.

        By default that is the network itself.

        Args:
            network: What `build` returned.
            architecture: Where hyperparameters such as the learning rate are read from.

        Raises:
            ConfigurationError: The network is no `LightningModule`.
        """
        from pytorch_lightning import LightningModule

        if isinstance(network, LightningModule):
            return network
        own = type(self).__name__
        raise ConfigurationError(
            f"{own}.build({architecture}) returned a {type(network).__name__}, which is no "
            f"LightningModule: return one, or define {own}.lightning_module(network, architecture)"
        )
