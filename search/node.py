"""What every node of a search space can do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

import numpy as np

from phylon.search.architecture import Path, dotted
from phylon.search.errors import SpaceError

V = TypeVar("V")

NO_CHILDREN: Mapping[str, Node[Any]] = MappingProxyType({})


class Node(ABC, Generic[V]):
    """A pure definition of the values allowed at one place of an architecture.

    Values are plain JSON data. A node's meaning is its tree: what lies below an option of a
    choice exists only where that option is taken, so nothing that follows the tree can make an
    invalid value. ``str(node)`` says in words everything about a node but its children.
    """

    @property
    @abstractmethod
    def width(self) -> int:
        """Number of columns in the vector view, one per decision that can ever be live."""

    @property
    @abstractmethod
    def size(self) -> float:
        """Number of different values: an int, or `math.inf`."""

    @property
    def children(self) -> Mapping[str, Node[Any]]:
        """Nodes below this one, by the name they have in a readable path."""
        return NO_CHILDREN

    @abstractmethod
    def sample(self, rng: np.random.Generator) -> V:
        """Draw a value."""

    @abstractmethod
    def enumerate(self) -> Iterator[V]:
        """Yield every value once, lazily; the size must be finite."""

    @abstractmethod
    def check(self, value: object, path: Path) -> None:
        """Raise `SpaceError`, naming `path`, if `value` is not allowed."""

    @abstractmethod
    def encode(self, value: V) -> list[float]:
        """Return an allowed value as `width` numbers, NaN for decisions that are not live."""

    @abstractmethod
    def decode(self, numbers: Sequence[float]) -> V:
        """Undo `encode`; numbers of decisions that are not live are not looked at."""

    @abstractmethod
    def sites(self, value: V, path: Path) -> Iterator[Site]:
        """Yield the live decisions of an allowed value that have an alternative."""

    def canonical(self, value: V) -> object:
        """Return plain data that is equal for all values that mean the same network."""
        return value

    @abstractmethod
    def to_json(self) -> object:
        """Return the plain JSON data that `phylon.search.parsing.parse` reads."""


class Site(NamedTuple):
    """A live decision: where it is, what it may be, what it is."""

    path: Path
    node: Node[Any]
    value: Any


def refuse(path: Path, value: object, node: Node[Any], cure: str = "") -> NoReturn:
    """Say that `value` is not allowed at `path`, and what is."""
    raise SpaceError(f"`{dotted(path)}` is {value!r}; allowed: {node}{cure}")


def whole(number: float, what: str) -> int:
    """Return a number of a vector as the integer it stands for."""
    if not float(number).is_integer():
        raise SpaceError(f"the vector holds {number} for {what}; a whole number is needed")
    return int(number)
