"""Ranking untrained networks by zero-cost proxies, to begin a search with the promising ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from phylon.search.architecture import Architecture
from phylon.search.space import SearchSpace

PROXIES = ("synflow", "nwot", "jacov")
"""Each sees something else, so that their ranks together tell more than any of them does.

Abdelfattah et al. 2021, https://arxiv.org/abs/2101.08134; Krishnakumar et al. 2022,
https://arxiv.org/abs/2210.03230.
"""


def draw_networks(space: SearchSpace, n: int, seed: int) -> list[Architecture]:
    """Return the different networks among `n` random ones, which a study's seed tells."""
    rng = np.random.default_rng([seed, n])
    drawn = (space.sample(rng) for _ in range(n))
    return list({space.key(architecture): architecture for architecture in drawn}.values())


def best_by_proxies(scores: Sequence[Mapping[str, float]], n: int) -> list[int]:
    """Return the indices of the `n` networks with the highest sum of ranks, best first.

    Equal scores share the mean of their ranks; of equal sums the earlier comes first. What is no
    finite number ranks lowest.

    Args:
        scores: Of each network, its value of every one of `PROXIES`; higher is better.
        n: How many; all if there are fewer.
    """
    ranks = sum(_ranks([score[proxy] for score in scores]) for proxy in PROXIES)
    order = np.argsort(-np.asarray(ranks), kind="stable")
    return [int(index) for index in order[:n]]


def _ranks(values: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the rank of each value, from 1 for the least; ties share the mean."""
    finite = np.nan_to_num(np.asarray(values, dtype=np.float64), nan=-np.inf, posinf=-np.inf)
    _, inverse, counts = np.unique(finite, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return np.asarray((last - (counts - 1) / 2)[inverse], dtype=np.float64)
