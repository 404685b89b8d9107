# ruff: noqa: D102 - the contract of the methods is told once, on Node
"""Nodes that hold other nodes: `Block` and `Repeat`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import numpy as np

from phylon.search.architecture import Path, dotted
from phylon.search.errors import SpaceError, did_you_mean
from phylon.search.node import Node, Site, refuse, whole


@final
@dataclass(frozen=True, init=False)
class Block(Node[dict[str, Any]]):
    """Named decisions side by side; the value is a dict.

    The order in which they are written does not matter.

    Raises:
        SpaceError: A name is reserved (``type``, ``count``) or no identifier, or no node is given.
    """

    nodes: tuple[tuple[str, Node[Any]], ...]

    def __init__(self, **nodes: Node[Any]) -> None:
        for name, node in nodes.items():
            if not name.isidentifier() or name in ("type", "count"):
                raise SpaceError(
                    f"Block: {name!r} cannot name a decision; allowed are identifiers other than "
                    "the reserved `type` and `count`"
                )
            _check_item(node, f"Block: `{name}`", f"a constant is written Choice({node!r})")
        object.__setattr__(self, "nodes", tuple(sorted(nodes.items())))

    @property
    def children(self) -> Mapping[str, Node[Any]]:
        return dict(self.nodes)

    @property
    def width(self) -> int:
        return sum(node.width for _, node in self.nodes)

    @property
    def size(self) -> float:
        sizes = [node.size for _, node in self.nodes]
        return math.inf if math.inf in sizes else math.prod(sizes)

    def sample(self, rng: np.random.Generator) -> dict[str, Any]:
        return {name: node.sample(rng) for name, node in self.nodes}

    def enumerate(self) -> Iterator[dict[str, Any]]:
        names = [name for name, _ in self.nodes]
        for values in _product([node for _, node in self.nodes]):
            yield dict(zip(names, values, strict=True))

    def check(self, value: object, path: Path) -> None:
        if not isinstance(value, dict):
            refuse(path, value, self)
        for name, node in self.nodes:
            if name not in value:
                raise SpaceError(f"`{dotted((*path, name))}` is missing; allowed: {node}")
            node.check(value[name], (*path, name))
        if len(value) > len(self.nodes):
            names = dict(self.nodes)
            unknown = next(name for name in value if name not in names)
            place = dotted((*path, unknown))
            raise SpaceError(f"`{place}` is not in the space; {did_you_mean(unknown, names)}")

    def encode(self, value: dict[str, Any]) -> list[float]:
        return [number for name, node in self.nodes for number in node.encode(value[name])]

    def decode(self, numbers: Sequence[float]) -> dict[str, Any]:
        value, start = {}, 0
        for name, node in self.nodes:
            value[name] = node.decode(numbers[start : start + node.width])
            start += node.width
        return value

    def sites(self, value: dict[str, Any], path: Path) -> Iterator[Site]:
        for name, node in self.nodes:
            yield from node.sites(value[name], (*path, name))

    def canonical(self, value: dict[str, Any]) -> object:
        return {name: node.canonical(value[name]) for name, node in self.nodes}

    def to_json(self) -> object:
        return {"block": self.decisions_json()}

    def decisions_json(self) -> dict[str, object]:
        """Return the JSON data of the nodes by name, where that a block is meant is clear."""
        return {name: node.to_json() for name, node in self.nodes}

    def __repr__(self) -> str:
        return f"Block({', '.join(f'{name}={node!r}' for name, node in self.nodes)})"

    def __str__(self) -> str:
        return "a block"


@final
@dataclass(frozen=True)
class Repeat(Node[list[Any]]):
    """From `low` to `high` values of one node, each decided on its own; the value is a list.

    Raises:
        SpaceError: The range is empty or negative, or `item` is no node.
    """

    item: Node[Any]
    low: int
    high: int

    def __post_init__(self) -> None:
        _check_item(self.item, "Repeat: the item", f"write Choice({self.item!r}) for a constant")
        for name in ("low", "high"):
            if type(getattr(self, name)) is not int:
                raise SpaceError(f"Repeat: {name} is {getattr(self, name)!r}, not an integer")
        if not 0 <= self.low <= self.high or self.high < 1:
            raise SpaceError(
                f"Repeat: low {self.low}, high {self.high}; allowed: 0 <= low <= high, high >= 1"
            )

    @property
    def children(self) -> Mapping[str, Node[Any]]:
        return {"*": self.item}

    @property
    def width(self) -> int:
        return 1 + self.high * self.item.width

    @property
    def size(self) -> float:
        each = self.item.size
        if each == math.inf:
            return math.inf
        return sum(each**count for count in range(self.low, self.high + 1))

    def sample(self, rng: np.random.Generator) -> list[Any]:
        count = int(rng.integers(self.low, self.high + 1))
        return [self.item.sample(rng) for _ in range(count)]

    def enumerate(self) -> Iterator[list[Any]]:
        for count in range(self.low, self.high + 1):
            yield from map(list, _product([self.item] * count))

    def check(self, value: object, path: Path) -> None:
        if not isinstance(value, list):
            refuse(path, value, self)
        if not self.low <= len(value) <= self.high:
            refuse((*path, "count"), len(value), self)
        for index, child in enumerate(value):
            self.item.check(child, (*path, index))

    def encode(self, value: list[Any]) -> list[float]:
        numbers = [float(len(value))]
        for child in value:
            numbers += self.item.encode(child)
        return numbers + [math.nan] * (self.width - len(numbers))

    def decode(self, numbers: Sequence[float]) -> list[Any]:
        count = whole(numbers[0], f"the length of {self}")
        if not self.low <= count <= self.high:
            raise SpaceError(f"the vector holds length {count} for {self}")
        starts = range(1, 1 + count * self.item.width, self.item.width)
        return [self.item.decode(numbers[start : start + self.item.width]) for start in starts]

    def sites(self, value: list[Any], path: Path) -> Iterator[Site]:
        if self.low < self.high:
            yield Site(path, self, value)
        for index, child in enumerate(value):
            yield from self.item.sites(child, (*path, index))

    def canonical(self, value: list[Any]) -> object:
        return [self.item.canonical(child) for child in value]

    def to_json(self) -> object:
        return {"repeat": {"item": self.item.to_json(), "low": self.low, "high": self.high}}

    def __str__(self) -> str:
        return f"a list of {self.low} to {self.high} items"


def _check_item(node: object, place: str, cure: str) -> None:
    if not isinstance(node, Node):
        raise SpaceError(f"{place} is {node!r}, which is no node; {cure}")
    if node == Block():
        raise SpaceError(f"{place} is an empty Block; only a branch of a Choice may be empty")


def _product(nodes: Sequence[Node[Any]]) -> Iterator[tuple[Any, ...]]:
    """Yield all combinations lazily; `itertools.product` would first list every node's values."""
    if not nodes:
        yield ()
        return
    for value in nodes[0].enumerate():
        for rest in _product(nodes[1:]):
            yield (value, *rest)
