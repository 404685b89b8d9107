"""One network that holds all networks of a space, with shared weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar

from torch import nn

from phylon.search.architecture import Architecture


class Supernet(nn.Module, ABC):
    """All networks of a space in one, of which one path at a time is active.

    Made of elastic layers (`phylon.trainables.elastic`), under the names that the same layers have
    in the stand-alone networks, so that weights find their way from one to the other.

    Args:
        build: Makes a stand-alone network of the space.

    Attributes:
        shares: The decisions of the space, by their outermost names, that `select` obeys.
    """

    shares: ClassVar[tuple[str, ...]] = ()

    def __init__(self, build: Callable[[Architecture], nn.Module]) -> None:
        super().__init__()
        self._build = build

    @abstractmethod
    def select(self, architecture: Architecture) -> None:
        """Activate the path of an architecture; nothing is copied."""

    def extract(self, architecture: Architecture) -> nn.Module:
        """Return the stand-alone network of an architecture, with copies of its path's weights."""
        raise NotImplementedError
