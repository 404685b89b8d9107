"""Rounds of paths in which all options have their turn, as in FairNAS."""

from __future__ import annotations

from collections import Counter, defaultdict

import numpy as np

from phylon.search.architecture import Architecture
from phylon.search.decisions import Decide, decide, questions
from phylon.search.space import SearchSpace


def fair_round(space: SearchSpace, rng: np.random.Generator) -> list[Architecture]:
    """Draw as many architectures as the largest choice of a space has options.

    Together they take every option of a choice equally often; of a choice with fewer options, or
    one that is only met under some options of another, no option is taken more than once more than
    any other. In which order is random. A number of many values counts by its ranges.

    Chu et al. 2021, https://arxiv.org/abs/1907.01845, section 3.2; there all choices have the same
    number of options and are always met.

    Args:
        space: Where they are from.
        rng: What draws them.
    """
    waiting: defaultdict[tuple[str, int], list[int]] = defaultdict(list)

    def path() -> Architecture:
        # The items of a repeat share their place, but each has weights of its own.
        return decide(space, _in_turn(waiting, Counter(), rng), rng)

    return [path() for _ in range(max(questions(space).values(), default=1))]


def _in_turn(
    waiting: defaultdict[tuple[str, int], list[int]],
    met: Counter[str],
    rng: np.random.Generator,
) -> Decide:
    def take(place: str, options: int) -> int:
        turns = waiting[place, met[place]]
        met[place] += 1
        if not turns:
            turns.extend(rng.permutation(options).tolist())
        return turns.pop()

    return take
