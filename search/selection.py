"""Selection: which member of a population becomes a parent."""

from __future__ import annotations

import numpy as np

from phylon.search.evolution import Member, Population, Selection


def tournament(size: int) -> Selection:
    """Select the best of `size` members drawn with replacement; of equals, the oldest.

    Looks at the first loss alone, so it is for one objective.
    """

    def select(population: Population, rng: np.random.Generator) -> Member:
        drawn = [population[int(i)] for i in rng.integers(len(population), size=size)]
        return min(drawn, key=lambda member: (member.rank, member.id))

    return select
