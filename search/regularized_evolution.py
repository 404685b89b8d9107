"""Regularized evolution: tournament selection, mutation, and death by age."""

from __future__ import annotations

from phylon.search.checks import check_flag, check_integer, check_number, check_sample
from phylon.search.evolution import Evolution, either, mutation, recombination
from phylon.search.selection import tournament
from phylon.search.space import SearchSpace
from phylon.search.survival import youngest


def regularized_evolution(
    space: SearchSpace,
    *,
    objectives: int = 1,
    seed: int = 0,
    population: int = 12,
    sample: int = 6,
    crossover: float = 0.0,
    repeats: bool = False,
) -> Evolution:
    """Regularized evolution (Real et al. 2019, https://arxiv.org/abs/1802.01548).

    The first `population` candidates are random; each later one mutates the best of `sample`
    living members drawn with replacement; the oldest member dies when there are more than
    `population`. The defaults suit budgets of 24 to 100 candidates; the paper, with 20,000, uses a
    population of 100 and samples of 25.

    Args:
        space: Where to search.
        objectives: 1; only one is compared.
        seed: 0 or more.
        population: How many members live at most, and how many begin; 2 or more.
        sample: How many members take part in a tournament; from 1 to `population`.
        crossover: Chance in [0, 1] that a child comes from two parents instead of a mutation, which
            is not in the paper.
        repeats: Whether a child that equals an earlier candidate is measured, and counted, again,
            as in the paper; else it is drawn again until it is new.

    Raises:
        ConfigurationError: A parameter has a value that is not allowed.
    """
    check_integer("population", population, 2)
    check_sample(sample, population)
    check_number("crossover", crossover, 0, 1)
    check_flag("repeats", repeats)
    return Evolution(
        space,
        initial=population,
        selection=tournament(sample),
        variation=either(recombination, mutation, chance=crossover) if crossover else mutation,
        survival=youngest(population),
        objectives=objectives,
        seed=seed,
        repeats=repeats,
    )
