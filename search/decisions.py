"""An architecture as a sequence of decisions, one after the other down the tree of its space."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, TypeAlias

import numpy as np

from phylon.search.architecture import Architecture, Path, dotted
from phylon.search.node import Node
from phylon.search.nodes import Block, Choice, Float, Graph, Integer, Repeat
from phylon.search.space import SearchSpace

BINS = 8
"""Into how many ranges a number with more values is cut."""


class Decision(NamedTuple):
    """A question and its answer: which of so many options was taken, at this place of the space.

    The items of a repeat share their places.
    """

    place: str
    options: int
    taken: int


Decide: TypeAlias = Callable[[str, int], int]
"""Answers a question: takes the place and the number of options, returns the index of one."""


def questions(space: SearchSpace) -> dict[str, int]:
    """Return the number of options, 2 or more, of all that the space can ask, by the place."""
    return {place: _options(node) for place, node in _asked(space.root, ())}


def choices(space: SearchSpace) -> dict[str, Choice]:
    """Return those of the `questions` that are about a `Choice`."""
    return {place: node for place, node in _asked(space.root, ()) if isinstance(node, Choice)}


def decide(space: SearchSpace, take: Decide, rng: np.random.Generator) -> Architecture:
    """Make an architecture by asking for one decision after the other.

    Args:
        space: Where it is from.
        take: Decides. Of a number that is cut into bins it decides the bin.
        rng: Draws numbers within their bins.
    """
    return Architecture(_make(space.root, (), take, rng))


def decisions(space: SearchSpace, architecture: Architecture) -> list[Decision]:
    """Return the decisions from which `decide` makes an architecture, in the order it asks."""
    found: list[Decision] = []
    _read(space.root, architecture.nested, (), found)
    return found


def _options(node: Node[Any]) -> int:
    match node:
        case Choice():
            return len(node.options)
        case Repeat():
            return node.high - node.low + 1
        case Integer():
            return min(node.size, BINS)
        case Float():
            return BINS
    raise TypeError(f"{type(node).__name__} asks no question; add a case here")


def _asked(node: Node[Any], path: Path) -> Iterator[tuple[str, Node[Any]]]:
    match node:
        case Block():
            for name, child in node.nodes:
                yield from _asked(child, (*path, name))
            return
        case Graph():
            yield from _asked(node.block, path)
            return
    if _options(node) > 1:
        yield dotted(path), node
    match node:
        case Choice():
            for option, block in zip(node.options, node.blocks, strict=True):
                yield from _asked(block, (*path, str(option)))
        case Repeat():
            yield from _asked(node.item, (*path, "*"))


def _make(node: Node[Any], path: Path, take: Decide, rng: np.random.Generator) -> Any:  # noqa: ANN401
    match node:
        case Block():
            return {name: _make(child, (*path, name), take, rng) for name, child in node.nodes}
        case Graph():
            return _make(node.block, path, take, rng)
    options = _options(node)
    taken = take(dotted(path), options) if options > 1 else 0
    match node:
        case Choice():
            option = node.options[taken]
            inner = _make(node.blocks[taken], (*path, str(option)), take, rng)
            return {"type": option, **inner} if node.branching else option
        case Repeat():
            return [_make(node.item, (*path, "*"), take, rng) for _ in range(node.low + taken)]
        case Integer() if node.size == options:
            return node.low + node.step * taken
        case Integer() | Float():
            return node.at((taken + rng.random()) / options)


def _read(node: Node[Any], value: Any, path: Path, found: list[Decision]) -> None:  # noqa: ANN401
    match node:
        case Block():
            for name, child in node.nodes:
                _read(child, value[name], (*path, name), found)
            return
        case Graph():
            _read(node.block, value, path, found)
            return
    options = _options(node)
    taken = _taken(node, value, options)
    if options > 1:
        found.append(Decision(dotted(path), options, taken))
    match node:
        case Choice():
            _read(node.blocks[taken], value, (*path, str(node.options[taken])), found)
        case Repeat():
            for item in value:
                _read(node.item, item, (*path, "*"), found)


def _taken(node: Node[Any], value: Any, options: int) -> int:  # noqa: ANN401
    match node:
        case Choice():
            return node.index(value) or 0
        case Repeat():
            return len(value) - node.low
        case Integer() if node.size == options:
            return (int(value) - node.low) // node.step
        case Integer() | Float():
            return min(int(node.unit(value) * options), options - 1)
    raise TypeError(f"{type(node).__name__} asks no question; add a case here")
