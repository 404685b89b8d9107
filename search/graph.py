# ruff: noqa: D102 - the contract of the methods is told once, on Node
"""`Graph`: what nodes have in common whose values describe a graph of operations."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from phylon.search.architecture import Path
from phylon.search.blocks import Block
from phylon.search.errors import SpaceError
from phylon.search.node import Node, Site


@dataclass(frozen=True, kw_only=True)
class Graph(Node[dict[str, Any]]):
    """The decisions of a `Block`, several values of which may be one network.

    Attributes:
        distinct: Whether every value counts as a network of its own. For measurements that tell the
            same network apart, such as latencies where dead edges are computed all the same.
    """

    distinct: bool = False

    @property
    @abstractmethod
    def block(self) -> Block:
        """The same decisions without what they mean."""

    @abstractmethod
    def graph(self, value: dict[str, Any]) -> object:
        """Return what is equal for all values that are the same network, up to its weights."""

    @property
    def children(self) -> Mapping[str, Node[Any]]:
        return self.block.children

    @property
    def width(self) -> int:
        return self.block.width

    @property
    def size(self) -> float:
        return self.block.size

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        return self.block.sample(rng)

    def enumerate(self) -> Iterator[dict[str, Any]]:
        return self.block.enumerate()

    def check(self, value: object, path: Path) -> None:
        self.block.check(value, path)

    def encode(self, value: dict[str, Any]) -> list[float]:
        return self.block.encode(value)

    def decode(self, numbers: Sequence[float]) -> dict[str, Any]:
        return self.block.decode(numbers)

    def sites(self, value: dict[str, Any], path: Path) -> Iterator[Site]:
        return self.block.sites(value, path)

    def canonical(self, value: dict[str, Any]) -> object:
        return value if self.distinct else self.graph(value)


def check_operations(kind: str, operations: Sequence[object]) -> None:
    """Check the names of what may stand on the edges of a graph.

    Raises:
        SpaceError: There is none, two are equal, or one is no text without ``|``, ``+`` and ``~``.
    """
    if not operations or len(set(operations)) < len(operations):
        raise SpaceError(
            f"{kind}: operations are {operations}; allowed: one or more, all different"
        )
    for operation in operations:
        if not isinstance(operation, str) or not operation or set(operation) & set("|+~"):
            raise SpaceError(f"{kind}: operation {operation!r}; allowed: text without | + ~")
