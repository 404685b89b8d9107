"""Beginning a search with what earlier ones found out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from phylon.search.architecture import Architecture
from phylon.search.proposal import Known
from phylon.search.ranks import normal_scores
from phylon.search.space import SearchSpace

MOST_KNOWN = 300
"""How many results a strategy is told of in all; a model of more would be slow from the start."""


@dataclass(frozen=True, slots=True)
class Earlier:
    """What an earlier study measured.

    Attributes:
        fingerprint: What its data was, as `phylon.search.evaluation.Fingerprinted` tells.
        results: Architectures with one loss per objective, to be minimised.
    """

    fingerprint: Mapping[str, Any]
    results: Sequence[tuple[Architecture, tuple[float, ...]]]


def recall(
    studies: Sequence[Earlier], fingerprint: Mapping[str, Any], space: SearchSpace, n: int
) -> tuple[list[Architecture], list[Known]]:
    """Return what to begin with: architectures to try first, and results to learn from.

    Losses become normal scores within each study, so that easy and hard tasks weigh the same. The
    best of the nearest study is tried first, then that of the next one, and so on around (an
    initial design as in Feurer et al. 2015, https://doi.org/10.1609/aaai.v29i1.9354).

    Args:
        studies: What there is.
        fingerprint: What the data is now.
        space: Where to search; it holds every architecture of the studies.
        n: How many architectures to try first, at most.
    """
    nearest = sorted(studies, key=lambda each: task_distance(each.fingerprint, fingerprint))
    ranked = [_scored(each) for each in nearest]
    start: dict[str, Architecture] = {}
    for place in range(max(map(len, ranked), default=0)):
        for known in ranked:
            if place < len(known) and len(start) < n:
                architecture = known[place].architecture
                start.setdefault(space.key(architecture), architecture)
    share = MOST_KNOWN // max(len(ranked), 1)
    return list(start.values()), [known for each in ranked for known in _thinned(each, share)]


def task_distance(one: Mapping[str, Any], other: Mapping[str, Any]) -> float:
    """Return how far apart the data of two studies is: 0 for the same data.

    Otherwise 1 for another name, and for each number (samples, classes, sides of the pictures) the
    logarithm of the ratio.
    """
    if one and one == other:
        return 0.0
    distance = float(one.get("name") != other.get("name")) + 1.0
    for a, b in zip(_numbers(one, other), _numbers(other, one), strict=True):
        distance += abs(math.log((1 + abs(a)) / (1 + abs(b))))
    return distance


def _scored(study: Earlier) -> list[Known]:
    """Return the results of a study as normal scores, those of the best first."""
    columns = zip(*(losses for _, losses in study.results), strict=True)
    rows = zip(*(normal_scores([(loss,) for loss in each]) for each in columns), strict=True)
    known = [
        Known(architecture, scores)
        for (architecture, _), scores in zip(study.results, rows, strict=True)
    ]
    return sorted(known, key=lambda each: each.losses)


def _thinned(ranked: Sequence[Known], n: int) -> list[Known]:
    """Return at most `n` of a ranking: the best, and others at even distances down to the worst."""
    if len(ranked) <= n:
        return list(ranked)
    return [ranked[place * (len(ranked) - 1) // max(n - 1, 1)] for place in range(n)]


def _numbers(one: Mapping[str, Any], other: Mapping[str, Any]) -> list[float]:
    """Return the numbers of a fingerprint under the names that both have, lists by item."""
    numbers: list[float] = []
    for name in sorted({*one} & {*other}):
        a, b = one[name], other[name]
        pair = list(zip(a, b, strict=False)) if _are_lists(a, b) else [(a, b)]
        numbers += [float(x) for x, y in pair if _is_number(x) and _is_number(y)]
    return numbers


def _are_lists(a: object, b: object) -> bool:
    return isinstance(a, list | tuple) and isinstance(b, list | tuple)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
