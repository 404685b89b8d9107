"""Variation: new architectures from known ones, valid by construction.

All functions follow the tree of the space, so a decision is only ever changed together with all
that hangs on it; nothing needs repair.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import numpy as np

from phylon.search.architecture import Architecture, Path
from phylon.search.errors import SpaceError
from phylon.search.node import Node, Site
from phylon.search.nodes import Block, Choice, Float, Graph, Integer, Repeat
from phylon.search.space import SearchSpace

T = TypeVar("T")

STEP = 0.2
"""Standard deviation of a numeric mutation, as a fraction of the range (of its logarithm)."""

FINE_STEP = STEP / 4
"""The same for the second, smaller step that numbers take among the neighbours."""


FACTORS = (0.8, 1.2)
"""By which floats are multiplied when they are perturbed."""

REDRAWN = 0.25
"""Chance of a float to be drawn anew instead."""


def mutate(
    space: SearchSpace,
    architecture: Architecture,
    *,
    rng: np.random.Generator,
    fixed: tuple[type[Node[Any]], ...] = (),
) -> Architecture:
    """Change one live decision, each with the same chance, to another value.

    A number takes a Gaussian step; a choice takes another option and draws what hangs on it; a
    repeat gains a drawn item or loses one, anywhere.

    Args:
        space: Where the architecture is from.
        architecture: Is left as it is.
        rng: Draws the change.
        fixed: Kinds of nodes that are not chosen.

    Raises:
        SpaceError: The architecture is not in the space, or nothing in it may be changed.
    """
    tree = architecture.nested
    space.root.check(tree, ())
    sites = [s for s in space.root.sites(tree, ()) if not isinstance(s.node, fixed)]
    if not sites:
        raise SpaceError("mutate: the architecture has no decision with an alternative")
    site = sites[int(rng.integers(len(sites)))]
    _replace(tree, site.path, _another(site, rng))
    return Architecture(tree)


def neighbours(
    space: SearchSpace, architecture: Architecture, rng: np.random.Generator
) -> Iterator[Architecture]:
    """Yield, lazily and each once, the architectures that differ in one live decision.

    A choice takes every other option, and draws what hangs on it. A number takes two Gaussian
    steps, of the deviations `STEP` and `FINE_STEP`; an integer also goes one step down and one up.
    A repeat gains one drawn item, and loses each of its own in turn. So nothing is left out where
    there are only cells, and choices of constants; elsewhere it is a sample.

    Raises:
        SpaceError: The architecture is not in the space.
    """
    space.validate(architecture)
    return _neighbours(space, architecture, rng)


def perturb(
    space: SearchSpace, architecture: Architecture, *, rng: np.random.Generator
) -> Architecture:
    """Multiply each live float by 0.8 or 1.2, or draw it anew with a chance of 0.25.

    So population-based training explores hyperparameters (Jaderberg et al. 2017,
    https://arxiv.org/abs/1711.09846). What leaves the range is clipped; one of several levels goes
    to another, the nearest; zero, which no factor moves, is drawn anew. Nothing else changes.

    Raises:
        SpaceError: The architecture is not in the space.
    """
    space.validate(architecture)
    tree = architecture.nested
    for site in list(space.root.sites(tree, ())):
        if isinstance(site.node, Float):
            _replace(tree, site.path, _perturbed(site.node, site.value, rng))
    return Architecture(tree)


def crossover(
    space: SearchSpace, a: Architecture, b: Architecture, *, rng: np.random.Generator
) -> Architecture:
    """Take each decision from one of two parents, with the same chance for both.

    Where the parents took different branches, one parent's whole branch is taken. A repeat
    takes its count from one parent, and its items from both as far as both have them.

    Raises:
        SpaceError: A parent is not in the space.
    """
    space.validate(a)
    space.validate(b)
    return Architecture(_cross(space.root, a.nested, b.nested, rng))


def _another(site: Site, rng: np.random.Generator) -> object:
    """Return a value for the site other than the one it has."""
    match site.node:
        case Integer() | Float() as node:
            return _step(node, site.value, rng)
        case Choice() as node:
            others = [i for i in range(len(node.options)) if i != node.index(site.value)]
            return node.draw(others[int(rng.integers(len(others)))], rng)
        case Repeat() as node:
            return _resize(node, site.value, rng)
        case node:
            raise TypeError(f"{type(node).__name__} has no mutation; add a case here")


def _perturbed(node: Float, value: float, rng: np.random.Generator) -> float:
    if rng.random() < REDRAWN or value == 0:
        return node.sample(rng)
    target = value * FACTORS[int(rng.integers(len(FACTORS)))]
    moved = node.nearest(target)
    if moved == value and node.low <= target <= node.high:
        return node.beside(value, up=target > value)
    return moved


def _neighbours(
    space: SearchSpace, architecture: Architecture, rng: np.random.Generator
) -> Iterator[Architecture]:
    tree = architecture.nested
    seen = {architecture}
    for site in list(space.root.sites(tree, ())):
        for value in _others(site, rng):
            _replace(tree, site.path, value)
            neighbour = Architecture(tree)
            _replace(tree, site.path, site.value)
            if neighbour not in seen:
                seen.add(neighbour)
                yield neighbour


def _others(site: Site, rng: np.random.Generator) -> Iterator[object]:
    """Yield values for the site other than the one it has, perhaps one of them twice."""
    match site.node:
        case Integer() | Float() as node:
            if isinstance(node, Integer):
                yield node.beside(site.value, up=False)
                yield node.beside(site.value, up=True)
            for deviation in (STEP, FINE_STEP):
                yield _step(node, site.value, rng, deviation)
        case Choice() as node:
            for i in range(len(node.options)):
                if i != node.index(site.value):
                    yield node.draw(i, rng)
        case Repeat() as node:
            items = site.value
            if len(items) < node.high:
                place = int(rng.integers(len(items) + 1))
                yield [*items[:place], node.item.sample(rng), *items[place:]]
            if len(items) > node.low:
                yield from (items[:place] + items[place + 1 :] for place in range(len(items)))
        case node:
            raise TypeError(f"{type(node).__name__} has no neighbours; add a case here")


def _step(
    node: Integer | Float,
    value: Any,  # noqa: ANN401 - what the node allows
    rng: np.random.Generator,
    deviation: float = STEP,
) -> float:
    step = rng.normal(0.0, deviation)
    # A step may be clipped away at one end of the range, or be too small for an integer.
    for target in (node.unit(value) + step, node.unit(value) - step):
        if (other := node.at(target)) != value:
            return other
    return node.beside(value, up=step > 0)


def _resize(node: Repeat, items: list[Any], rng: np.random.Generator) -> list[Any]:
    grow = len(items) < node.high and (len(items) == node.low or rng.random() < 0.5)
    if grow:
        place = int(rng.integers(len(items) + 1))
        return [*items[:place], node.item.sample(rng), *items[place:]]
    place = int(rng.integers(len(items)))
    return items[:place] + items[place + 1 :]


def _replace(tree: Any, path: Path, value: object) -> None:  # noqa: ANN401 - dicts and lists
    *parents, last = path
    for parent in parents:
        tree = tree[parent]
    tree[last] = value


def _cross(node: Node[Any], a: Any, b: Any, rng: np.random.Generator) -> Any:  # noqa: ANN401
    match node:
        case Block():
            return {name: _cross(child, a[name], b[name], rng) for name, child in node.nodes}
        case Graph():
            return _cross(node.block, a, b, rng)
        case Repeat():
            count = len(_either(a, b, rng))
            shared = [_cross(node.item, x, y, rng) for x, y in zip(a, b, strict=False)]
            longer = a if len(a) > len(b) else b
            return [*shared, *longer[len(shared) :]][:count]
        case Choice(branching=True) if a["type"] == b["type"]:
            block = node.blocks[node.index(a) or 0]
            return {"type": a["type"], **_cross(block, a, b, rng)}
        case _:
            return _either(a, b, rng)


def _either(a: T, b: T, rng: np.random.Generator) -> T:
    return a if rng.random() < 0.5 else b
