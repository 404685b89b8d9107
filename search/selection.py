"""Selection: which member of a population becomes a parent."""

from __future__ import annotations

import numpy as np

from phylon.search.evolution import Member, Population, Selection


def tournament(size: int) -> Selection:
    """Select the best of `size` members drawn with replacement; of equals, the oldest.

    Feasible members come first, then the first loss decides, so it is for one objective.
    """

    def select(population: Population, rng: np.random.Generator) -> Member:
        drawn = [population[int(i)] for i in rng.integers(len(population), size=size)]
        return min(drawn, key=lambda member: (member.rank, member.id))

    return select


def first_placed(size: int) -> Selection:
    """Select, of `size` members drawn with replacement, the one that stands first.

    For populations that survival has put in order, the best first, as `least_crowded` does.
    """

    def select(population: Population, rng: np.random.Generator) -> Member:
        return population[int(rng.integers(len(population), size=size).min())]

    return select
