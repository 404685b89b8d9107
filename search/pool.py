"""Candidate pools: what a model of the results chooses the next proposal from."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import TypeAlias

import numpy as np

from phylon.search.errors import SpaceError
from phylon.search.evolution import Member, Population
from phylon.search.proposal import Proposal
from phylon.search.space import SearchSpace
from phylon.search.variation import mutate, neighbours

Pool: TypeAlias = dict[str, Proposal]
"""Proposals of different networks, by their keys in the space, in the order they were found."""


def candidate_pool(
    space: SearchSpace,
    parents: Population,
    seen: Container[str],
    rng: np.random.Generator,
    *,
    near: int = 60,
    far: int = 10,
    drawn: int = 60,
) -> Pool:
    """Return new networks near the parents, and some from anywhere.

    A model pays most where it chooses among small changes of the best (White et al. 2021,
    https://arxiv.org/abs/1910.11858).

    Args:
        space: Where to search.
        parents: Whose neighbours to take; the first parent that reaches a network is its parent.
        seen: Keys of the networks to leave out.
        rng: Draws the networks.
        near: How many networks, at most, with one decision changed are taken of each parent, drawn
            from all its `neighbours`.
        far: How many are tried with two decisions changed, of each parent.
        drawn: How many are tried that are drawn from the whole space.

    Returns:
        A pool; empty if nothing new was found.
    """
    pool: Pool = {}
    for proposal in _proposals(space, parents, rng, near, far, drawn):
        key = space.key(proposal.architecture)
        if key not in seen:
            pool.setdefault(key, proposal)
    return pool


def _proposals(
    space: SearchSpace,
    parents: Population,
    rng: np.random.Generator,
    near: int,
    far: int,
    drawn: int,
) -> Iterator[Proposal]:
    for parent in parents:
        yield from _near(space, parent, rng, near)
    for parent in parents:
        yield from _far(space, parent, rng, far)
    for _ in range(drawn):
        yield Proposal(space.sample(rng))


def _near(
    space: SearchSpace, parent: Member, rng: np.random.Generator, n: int
) -> Iterator[Proposal]:
    found = list(neighbours(space, parent.architecture, rng))
    if len(found) > n:
        found = [found[int(i)] for i in rng.choice(len(found), n, replace=False)]
    for each in found:
        yield Proposal(each, (parent.id,), "mutate", parent.generation + 1)


def _far(
    space: SearchSpace, parent: Member, rng: np.random.Generator, n: int
) -> Iterator[Proposal]:
    for _ in range(n):
        try:
            once = mutate(space, parent.architecture, rng=rng)
            twice = mutate(space, once, rng=rng)
        except SpaceError:  # there is nothing, or nothing more, to change
            return
        yield Proposal(twice, (parent.id,), "mutate_twice", parent.generation + 1)
