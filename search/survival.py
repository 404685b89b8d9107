"""Survival: which members of a population live on."""

from __future__ import annotations

from phylon.search.evolution import Population, Survival


def youngest(n: int) -> Survival:
    """Keep the `n` members that were proposed last, however good the others are.

    Age counts from the proposal, not from the result, so the population is the same in whatever
    order results come in.
    """

    def survive(population: Population) -> Population:
        return sorted(population, key=lambda member: member.id)[-n:]

    return survive
