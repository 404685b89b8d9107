"""Survival: which members of a population live on."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from phylon.search.evolution import Member, Population, Survival
from phylon.search.pareto import crowding_distances, non_dominated_ranks, pareto_front


def youngest(n: int) -> Survival:
    """Keep the `n` members that were proposed last, however good the others are.

    Age counts from the proposal, not from the result, so the population is the same in whatever
    order results come in.
    """

    def survive(population: Population) -> Population:
        return sorted(population, key=lambda member: member.id)[-n:]

    return survive


def fittest(n: int) -> Survival:
    """Keep the `n` best members, the best first; of equals, the oldest. For one objective."""

    def survive(population: Population) -> Population:
        return sorted(population, key=lambda member: (member.rank, member.id))[:n]

    return survive


def least_crowded(n: int) -> Survival:
    """Keep the `n` best members as NSGA-II does, the best first; for any number of objectives.

    Less violation of the constraints comes first, so all that is feasible; then a lower rank of
    domination; then a greater distance to the others of that rank; then the older.
    """

    def survive(population: Population) -> Population:
        members = sorted(population, key=lambda member: (member.violation, member.id))
        groups = groupby(members, key=lambda member: member.violation)
        return [member for _, group in groups for member in _by_rank_and_crowding(list(group))][:n]

    return survive


def non_dominated(n: int) -> Survival:
    """Keep what nothing dominates, of what misses the constraints by least.

    Of more than `n`, the less crowded are kept; they come first.
    """

    def survive(population: Population) -> Population:
        first = least_crowded(n)(population)
        feasible = [member for member in first if member.violation == first[0].violation]
        front = pareto_front([member.losses for member in feasible])
        return [member for member, is_best in zip(feasible, front, strict=True) if is_best]

    return survive


def _by_rank_and_crowding(members: list[Member]) -> list[Member]:
    losses = np.array([member.losses for member in members])
    ranks = non_dominated_ranks(losses)
    distances = np.zeros(len(members))
    for rank in np.flatnonzero(np.bincount(ranks) > 1):
        front = ranks == rank
        distances[front] = crowding_distances(losses[front])
    return [members[i] for i in np.lexsort((-distances, ranks))]
