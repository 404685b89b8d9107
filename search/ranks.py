"""How results rank, and the normal scores that models learn in the place of losses."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from statistics import NormalDist
from typing import TypeAlias

from phylon.search.candidate import Outcome

Rank: TypeAlias = tuple[float, ...]


def rank_of(outcome: Outcome, objective: int = 0) -> Rank:
    """Return what results are compared by: feasible ones come first, and failures last."""
    if outcome.losses is None:
        return math.inf, math.inf
    return outcome.violation, outcome.losses[objective]


def normal_score(order: Sequence[Rank], rank: Rank) -> float:
    """Return the quantile of a normal distribution that belongs to a rank; equals share one.

    Args:
        order: All ranks, sorted, the least first.
        rank: One of them.

    Returns:
        0 for the median, less for less.
    """
    middle = (bisect_left(order, rank) + bisect_right(order, rank)) / 2
    return NormalDist().inv_cdf(middle / len(order))


def normal_scores(ranks: Sequence[Rank]) -> list[float]:
    """Return the `normal_score` of each of all ranks.

    >>> [round(score, 2) for score in normal_scores([(0.3,), (0.1,), (70.0,)])]
    [0.0, -0.97, 0.97]
    """
    order = sorted(ranks)
    return [normal_score(order, each) for each in ranks]
