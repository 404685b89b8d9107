"""Made-up searches on which `phylon.search.testing` tries strategies."""

from __future__ import annotations

from contextlib import suppress
from typing import TypeAlias

import numpy as np

from phylon.search.candidate import Candidate, Outcome
from phylon.search.errors import Waiting
from phylon.search.nodes import Block, Choice, Float, Integer, Repeat
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy

History: TypeAlias = list[tuple[Candidate, Outcome | None]]

EVERY_NODE = SearchSpace(
    lr=Float(1e-4, 1e-1, log=True),
    dropout=Float(0.0, 0.5),
    width=Integer(8, 64, step=8),
    units=Integer(1, 1000, log=True),
    stages=Repeat(Block(depth=Integer(1, 4), act=Choice("relu", "gelu", None)), 0, 3),
    block=Choice(plain=Block(), residual=Block(kernels=Repeat(Choice(3, 5), 1, 2))),
)
"""An infinite space with a node of every kind."""

SMALL = SearchSpace(
    act=Choice("relu", "gelu"),
    block=Choice(plain=Block(), residual=Block(kernel=Choice(3, 5))),
    widths=Repeat(Integer(1, 3), 0, 2),
)
"""A space of 2 * 3 * (1 + 3 + 9) = 78 architectures."""


def outcome(candidate: Candidate, objectives: int = 1) -> Outcome:
    """Return what a candidate gets in these tests: a failure for each seventh, else a loss."""
    if candidate.id % 7 == 6:
        return Outcome()
    number = int(candidate.architecture.key, 16)
    return Outcome(tuple((number >> 8 * i) % 997 / 997 for i in range(objectives)))


def ask(strategy: Strategy, n: int) -> list[Candidate]:
    """Return the next `n` candidates; fewer, or none, if the strategy waits for a result."""
    with suppress(Waiting):
        return strategy.ask(n)
    return []


def asynchronous(strategy: Strategy, n: int, *, running: int = 4) -> History:
    """Ask for `n` candidates, `running` at a time, and tell most of their outcomes in any order.

    The others are never heard of again, unless the strategy waits for one of them.
    """
    rng = np.random.default_rng(strategy.seed)
    open_, lost, history = list[Candidate](), list[Candidate](), History()

    def tell(candidate: Candidate) -> None:
        result = outcome(candidate, strategy.objectives)
        strategy.tell(candidate, result)
        history.append((candidate, result))

    while strategy.asked < n:
        if len(open_) < running and (asked := ask(strategy, 1)):
            open_ += asked
            history.append((asked[0], None))
        elif not open_:
            tell(lost.pop(int(rng.integers(len(lost)))))
        else:
            candidate = open_.pop(int(rng.integers(len(open_))))
            if rng.random() < 0.9:
                tell(candidate)
            else:
                lost.append(candidate)
    return history
