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


def rare(population: Population, rng: np.random.Generator) -> Member:
    """Select with odds inverse to the density of members, in all objectives but the first.

    So the gaps of a front are filled, in the objectives that are cheap to know, and nothing costly
    is spent where there is much already (LEMONADE, Elsken et al. 2019,
    https://arxiv.org/abs/1804.09081). For two objectives or more, and members that nothing
    dominates. The density is that of Gaussian kernels, of a width by Scott's rule, over losses in
    units of their deviation.
    """
    from sklearn.neighbors import KernelDensity

    cheap = np.array([member.losses[1:] for member in population])
    deviation = cheap.std(axis=0)
    points = (cheap - cheap.mean(axis=0)) / np.where(deviation > 0, deviation, 1.0)
    log_density = KernelDensity(bandwidth="scott").fit(points).score_samples(points)
    odds = np.exp(log_density.min() - log_density)
    return population[int(rng.choice(len(population), p=odds / odds.sum()))]


def first_placed(size: int) -> Selection:
    """Select, of `size` members drawn with replacement, the one that stands first.

    For populations that survival has put in order, the best first, as `least_crowded` does.
    """

    def select(population: Population, rng: np.random.Generator) -> Member:
        return population[int(rng.integers(len(population), size=size).min())]

    return select
