"""What operators gained: children compared with the best of their parents."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from phylon.search.bootstrap import intervals
from phylon.search.candidate import Candidate
from phylon.search.objective import Objective
from phylon.state import Record, StudyState

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
        mean: Mean gain.
        low: Lower end of its 95 % bootstrap interval; None with fewer than `LEAST` children.
        high: Upper end.
        median: Median gain.
        largest: The largest gain.
    """

    operator: str
    children: int
    lost: int
    compared: int
    better: int
    mean: float
    low: float | None
    high: float | None
    median: float
    largest: float


def operator_gains(state: StudyState, objective: Objective) -> list[OperatorGains]:
    """Return what each operator of the search gained, the most used first.

    A child is compared with its parents as they were when they had been measured like it: trained
    for as many epochs, or scored with the same shared weights. What misses the constraints is left
    out. Children that are their parents' networks, trained on or again, are no operator's gain.
    """
    families: dict[str, list[Record]] = defaultdict(list)
    for record in state.records.values():
        if record.state != "pending" and _is_varied(state, record):
            families[record.candidate.operator].append(record)
    gains = {
        operator: [gain for child in children for gain in _gain(state, objective, child)]
        for operator, children in families.items()
    }
    told = [_summary(state, each, families[each], gains[each]) for each in families if gains[each]]
    return sorted(told, key=lambda each: (-each.compared, each.operator))


def _is_varied(state: StudyState, record: Record) -> bool:
    candidate = record.candidate
    parents = [state.records[parent].candidate for parent in candidate.parents]
    is_new = all(parent.architecture != candidate.architecture for parent in parents)
    return bool(parents) and candidate.phase == "search" and is_new


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
            return record
        number = record.candidate.continues
    return None


def _kind(candidate: Candidate) -> tuple[int | None, int | None]:
    return candidate.epochs, candidate.inherit_from


def _counts(state: StudyState, record: Record) -> bool:
    return record.state == "completed" and not state.violation(record)


def _summary(
    state: StudyState, operator: str, children: list[Record], gains: list[float]
) -> OperatorGains:
    low = high = None
    if len(gains) >= LEAST:
        ends = intervals(np.array(gains)[:, None])
        low, high = (float(end[0]) for end in ends)
    return OperatorGains(
        operator=operator,
        children=len(children),
        lost=sum(not _counts(state, child) for child in children),
        compared=len(gains),
        better=sum(gain > 0 for gain in gains),
        mean=float(np.mean(gains)),
        low=low,
        high=high,
        median=float(np.median(gains)),
        largest=max(gains),
    )
