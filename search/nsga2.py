"""NSGA-II: evolution towards the whole Pareto front."""

from __future__ import annotations

from phylon.search.checks import check_flag, check_integer, check_number
from phylon.search.evolution import Evolution, either, mutated, mutation, recombination
from phylon.search.selection import first_placed
from phylon.search.space import SearchSpace
from phylon.search.survival import least_crowded

_MUTATED = 0.5  # share of crossed children that are mutated as well


def nsga2(
    space: SearchSpace,
    *,
    objectives: int = 1,
    seed: int = 0,
    population: int = 20,
    crossover: float = 0.9,
    repeats: bool = False,
) -> Evolution:
    """NSGA-II (Deb et al. 2002, https://doi.org/10.1109/4235.996017), steady-state.

    The first `population` candidates are random. Parents win a tournament of two by less violation
    of the constraints, then lower rank of domination, then greater crowding distance; the same
    order decides who lives on. Nine children in ten cross two parents, and half of these are
    mutated too; the others are mutants of one parent.

    The paper makes and judges whole generations. Here each result counts at once, so that nobody
    waits for the slowest of a generation; and one decision is mutated, in half of the children,
    where the paper mutates each with a chance of one in their number.

    Args:
        space: Where to search.
        objectives: Number of losses in each outcome; with one, it is a plain elitist evolution.
        seed: 0 or more.
        population: How many members live at most, and how many begin; 2 or more.
        crossover: Chance in [0, 1] that a child has two parents.
        repeats: Whether a child that equals an earlier candidate is measured, and counted, again;
            else it is drawn again until it is new.

    Raises:
        ConfigurationError: A parameter has a value that is not allowed.
    """
    check_integer("population", population, 2)
    check_number("crossover", crossover, 0, 1)
    check_flag("repeats", repeats)
    return Evolution(
        space,
        initial=population,
        selection=first_placed(2),
        variation=either(mutated(recombination, chance=_MUTATED), mutation, chance=crossover),
        survival=least_crowded(population),
        objectives=objectives,
        seed=seed,
        repeats=repeats,
    )
