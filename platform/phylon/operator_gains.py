"""What operators gained: children compared with the best of their parents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from phylon.costs import is_heir
from phylon.record import Record
from phylon.search.bootstrap import mean_interval
from phylon.search.candidate import Candidate
from phylon.search.objective import Objective
from phylon.state import StudyState

LEAST = 5
"""An interval of fewer children's mean would be chance."""


@dataclass(frozen=True, slots=True)
class OperatorGains:
    """What children that an operator made gained over the best of their parents.

    Gains are in units of the metric; more is better, whichever way the objective goes.

    Attributes:
        operator: Its name.
        children: How many it made that ended, compared or not.
        lost: How many of these failed or miss a constraint.
        compared: How many were compared.
        better: How many of these are better than the best of their parents.
        mean: Mean gain; None if none was compared, and so are median and largest.
        low: Lower end of its 95 % interval, by Student's t; None with fewer than `LEAST` children.
        high: Upper end.
        median: Median gain.
        largest: The largest gain.
    """

    operator: str
    children: int
    lost: int
    compared: int
    better: int
    mean: float | None
    low: float | None
    high: float | None
    median: float | None
    largest: float | None


def operator_gains(state: StudyState, objective: Objective) -> list[OperatorGains]:
    """Return what each operator of the search gained, the most used first; none if none is known.

    A child is compared with its parents as they were when they had been measured like it: trained
    for as many epochs, each by itself, or scored with the same shared weights. The gain of a child
    that began with trained weights is that of its training, too; it is not compared if its parents
    began with trained weights and it did not. What misses the constraints is left out. Children
    that are their parents' networks are no operator's gain, unless they inherit their weights: then
    it is that of more training.
    """
    families: dict[str, list[Record]] = defaultdict(list)
    for record in state.records.values():
        if record.state != "pending" and _is_varied(state, record):
            families[record.candidate.operator].append(record)
    gains = {
        operator: [gain for child in children for gain in _gain(state, objective, child)]
        for operator, children in families.items()
    }
    if not any(gains.values()):
        return []
    told = [_summary(state, each, families[each], gains[each]) for each in families]
    return sorted(told, key=lambda each: (-each.compared, each.operator))


def _is_varied(state: StudyState, record: Record) -> bool:
    candidate = record.candidate
    parents = [state.records[parent].candidate for parent in candidate.parents]
    is_new = all(parent.architecture != candidate.architecture for parent in parents)
    trains_on = is_heir(record) and not candidate.is_scored and candidate.continues is None
    return bool(parents) and candidate.phase == "search" and (is_new or trains_on)


def _gain(state: StudyState, objective: Objective, child: Record) -> Iterator[float]:
    """Yield by how much a child is better than the best of its parents, if that can be told."""
    parents = [_alike(state, parent, child) for parent in child.candidate.parents]
    if _counts(state, child) and all(parents):
        told = [parent for parent in parents if parent and _counts(state, parent)]
        if told:
            best = min(objective.loss(parent.metrics) for parent in told)
            yield best - objective.loss(child.metrics)


def _alike(state: StudyState, parent: int, child: Record) -> Record | None:
    """Return a parent as it was measured like the child: before its training went on, perhaps."""
    number: int | None = parent
    while number is not None:
        record = state.records[number]
        if _kind(record.candidate) == _kind(child.candidate):
            return record if is_heir(child) >= is_heir(record) else None
        number = record.candidate.continues
    return None


def _kind(candidate: Candidate) -> tuple[int | None, int | None]:
    """Return how a candidate is measured: for how long, and by which weights if it is scored."""
    return candidate.epochs, candidate.inherit_from if candidate.is_scored else None


def _counts(state: StudyState, record: Record) -> bool:
    return record.state == "completed" and not state.violation(record)


def _summary(
    state: StudyState, operator: str, children: list[Record], gains: list[float]
) -> OperatorGains:
    low = high = None
    if len(gains) >= LEAST:
        low, high = mean_interval(gains)
    return OperatorGains(
        operator=operator,
        children=len(children),
        lost=sum(not _counts(state, child) for child in children),
        compared=len(gains),
        better=sum(gain > 0 for gain in gains),
        mean=float(np.mean(gains)) if gains else None,
        low=low,
        high=high,
        median=float(np.median(gains)) if gains else None,
        largest=max(gains, default=None),
    )
