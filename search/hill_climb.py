"""Hill climbing: the least that evolution can be."""

from __future__ import annotations

from phylon.search.checks import check_integer
from phylon.search.evolution import Evolution, mutation
from phylon.search.selection import tournament
from phylon.search.space import SearchSpace
from phylon.search.survival import fittest


def hill_climb(
    space: SearchSpace, *, objectives: int = 1, seed: int = 0, starts: int = 10
) -> Evolution:
    """Stochastic hill climbing: mutate the best candidate so far, from the best of random starts.

    It never restarts. Where the best has no neighbour left that is better, mutants of it are drawn
    in vain and then random candidates are proposed until one of them is better: `local_search` is
    the same idea with restarts, and usually finds more.

    Args:
        space: Where to search.
        objectives: 1; only one is compared.
        seed: 0 or more.
        starts: How many random candidates begin; 1 or more.

    Raises:
        ConfigurationError: A parameter has a value that is not allowed.
    """
    check_integer("starts", starts, 1)
    return Evolution(
        space,
        initial=starts,
        selection=tournament(1),
        variation=mutation,
        survival=fittest(1),
        objectives=objectives,
        seed=seed,
    )
