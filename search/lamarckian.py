"""Lamarckian evolution: children begin with the weights that their parent has learned."""

from __future__ import annotations

from phylon.search.checks import check_flag, check_integer, check_sample
from phylon.search.evolution import Evolution, mutation
from phylon.search.generations import Generations
from phylon.search.selection import rare, tournament
from phylon.search.space import SearchSpace
from phylon.search.strategy import Strategy
from phylon.search.survival import fittest, non_dominated


def lamarckian(
    space: SearchSpace,
    *,
    objectives: int = 1,
    seed: int = 0,
    population: int = 8,
    sample: int = 4,
    generational: bool = False,
) -> Strategy:
    """Evolution whose children inherit weights, after LEMONADE (https://arxiv.org/abs/1804.09081).

    The first `population` candidates are random; each later one is a mutant that begins with its
    parent's weights and trains for the few epochs of a candidate, so that epochs add up along a
    line. With one objective, the parent is the best of `sample` living members drawn with
    replacement, and the best `population` live on. The oldest do not die here as in
    `regularized_evolution`: what is old has trained for less than its offspring and is beaten by
    it where that is worth anything, while a death by age would throw away what a line has learned.

    With several objectives, what nothing dominates lives on, the less crowded first, and parents
    are drawn with odds inverse to the density of the living over the losses of all objectives but
    the first; name the costly one, such as accuracy, first (Elsken et al. 2019). The paper also
    draws which children are trained, by their cheap losses before they are; here all are.

    A mutant may be a network that was measured before, since it has other weights now.

    Args:
        space: Where to search.
        objectives: Number of losses in each outcome.
        seed: 0 or more.
        population: How many members live at most, and how many begin; 2 or more.
        sample: How many members take part in a tournament; from 1 to `population`. Of no matter
            with several objectives.
        generational: Whether `population` children are proposed from one generation, and the next
            begins when all of them are known; else each result counts at once.

    Raises:
        ConfigurationError: A parameter has a value that is not allowed.
    """
    check_integer("population", population, 2)
    check_sample(sample, population)
    check_flag("generational", generational)
    evolution = Evolution(
        space,
        initial=population,
        selection=tournament(sample) if objectives == 1 else rare,
        variation=mutation,
        survival=fittest(population) if objectives == 1 else non_dominated(population),
        objectives=objectives,
        seed=seed,
        repeats=True,
    )
    evolution.inherits = True
    return Generations(evolution, population) if generational else evolution
