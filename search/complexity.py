"""How complex an architecture is: a count of the parts that could be left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias, TypeVar

import numpy as np

from phylon.search.architecture import Architecture
from phylon.search.node import Node
from phylon.search.nodes import Block, Cell, Choice, Repeat
from phylon.search.space import SearchSpace

T = TypeVar("T")
_Place: TypeAlias = tuple[Cell | Repeat, Any, Any]
"""A node, its value, and the name or index of one of its parts."""


def complexity(space: SearchSpace, architecture: Architecture) -> int:
    """Count the edges of cells that bring something, and the items of repeats beyond the fewest.

    No other decision makes an architecture more or less complex. Cells without a `zero` among
    their operations have all their edges anyway.
    """
    return _count(space.root, architecture.nested)


def most_complex(space: SearchSpace) -> int:
    """Return the complexity that no architecture of the space exceeds; 0 if all are alike."""
    return _most(space.root)


def resize(
    space: SearchSpace, architecture: Architecture, target: int, rng: np.random.Generator
) -> Architecture:
    """Add or take away parts, one by one and anywhere, until the complexity is `target`.

    What is added is drawn. A branch that cannot become so complex is as complex as it can be.
    """
    tree = architecture.nested
    present = _count(space.root, tree)
    for _ in range(target - present):
        if places := list(_additions(space.root, tree)):
            _add(*_pick(places, rng), rng)
    _take_away(space.root, tree, present - target, rng)
    return Architecture(tree)


def _count(node: Node[Any], value: Any) -> int:  # noqa: ANN401 - decisions
    match node:
        case Cell() if node.zero in node.operations:
            return sum(operation != node.zero for operation in value.values())
        case Repeat():
            return len(value) - node.low + sum(_count(node.item, item) for item in value)
    return sum(_count(child, inner) for child, inner in _below(node, value))


def _most(node: Node[Any]) -> int:
    match node:
        case Cell():
            varies = node.zero in node.operations and len(node.operations) > 1
            return len(node.edges) if varies else 0
        case Repeat():
            return node.high - node.low + node.high * _most(node.item)
        case Block():
            return sum(_most(child) for _, child in node.nodes)
        case Choice():
            return max(_most(block) for block in node.blocks)
    return 0


def _below(node: Node[Any], value: Any) -> Iterator[tuple[Node[Any], Any]]:  # noqa: ANN401
    """Yield what is decided below a block, branch or repeat, and how."""
    match node:
        case Block():
            yield from ((child, value[name]) for name, child in node.nodes)
        case Choice(branching=True):
            yield node.blocks[node.index(value) or 0], value
        case Repeat():
            yield from ((node.item, item) for item in value)


def _additions(node: Node[Any], value: Any) -> Iterator[_Place]:  # noqa: ANN401
    """Yield where one part can be added: an edge of a cell, or the end of a repeat."""
    match node:
        case Cell() if _most(node):
            yield from ((node, value, edge) for edge in value if value[edge] == node.zero)
        case Repeat() if len(value) < node.high:
            yield node, value, len(value)
    for child, inner in _below(node, value):
        yield from _additions(child, inner)


def _removals(node: Node[Any], value: Any) -> Iterator[_Place]:  # noqa: ANN401
    """Yield where exactly one part can be taken away; there is a place while `_count` is not 0."""
    match node:
        case Cell() if _most(node):
            yield from ((node, value, edge) for edge in value if value[edge] != node.zero)
        case Repeat() if len(value) > node.low:
            for index, item in enumerate(value):
                if not _count(node.item, item):
                    yield node, value, index
    for child, inner in _below(node, value):
        yield from _removals(child, inner)


def _add(
    node: Cell | Repeat,
    value: Any,  # noqa: ANN401
    place: Any,  # noqa: ANN401
    rng: np.random.Generator,
) -> None:
    if isinstance(node, Cell):
        others = [operation for operation in node.operations if operation != node.zero]
        value[place] = _pick(others, rng)
    else:
        item = node.item.sample(rng)
        _take_away(node.item, item, _count(node.item, item), rng)
        value.insert(int(rng.integers(place + 1)), item)


def _take_away(node: Node[Any], value: Any, parts: int, rng: np.random.Generator) -> None:  # noqa: ANN401
    for _ in range(parts):
        holder, held, place = _pick(list(_removals(node, value)), rng)
        if isinstance(holder, Cell):
            held[place] = holder.zero
        else:
            del held[place]


def _pick(options: Sequence[T], rng: np.random.Generator) -> T:
    return options[int(rng.integers(len(options)))]
