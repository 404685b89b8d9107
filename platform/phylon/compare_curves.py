"""What a study had reached by when: after so many candidates, and at what cost.

Symbols: ``n`` candidates that ended, ``m`` objectives, ``S`` studies of a group, ``k`` points.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray

from phylon.record import Record
from phylon.search.objective import Objective, losses
from phylon.search.pareto import grown, hypervolume, pareto_front
from phylon.state import StudyState

_GOOD_SIDE = 99  # percentile of all losses that the common reference point is put at

Floats = NDArray[np.float64]


@final
@dataclass(frozen=True, slots=True)
class Currency:
    """What cost is counted in: a resource that was held, by the hour.

    Attributes:
        resource: ``gpus`` or ``cpus``; empty for time alone.
    """

    resource: str

    @property
    def label(self) -> str:
        """The unit in words."""
        return {"gpus": "GPU hours", "cpus": "CPU hours"}.get(self.resource, "training hours")

    def cost(self, record: Record) -> float:
        """Return what a candidate cost, in this unit."""
        held = record.resources.get(self.resource, 0.0) if self.resource else 1.0
        return held * record.seconds / 3600


GPU_HOURS, CPU_HOURS, HOURS = Currency("gpus"), Currency("cpus"), Currency("")


def common_currency(states: Sequence[StudyState]) -> Currency:
    """Return GPU hours if all studies had GPUs, CPU hours if none had, else hours alone."""
    with_gpus = {
        any(record.resources.get("gpus") for record in state.records.values()) for state in states
    }
    if len(with_gpus) > 1:
        return HOURS
    return GPU_HOURS if with_gpus == {True} else CPU_HOURS


@final
@dataclass(frozen=True, slots=True)
class Scale:
    """What studies are measured by: their objective, or the hypervolume of several.

    Attributes:
        objectives: What was searched for.
        scored: Whether scores with shared weights are compared; else trainings are.
        reference: Where the hypervolume ends, as losses, shape ``(m,)``.
        volume: What all studies together dominate; hypervolumes are told as a share of it.
    """

    objectives: tuple[Objective, ...]
    scored: bool
    reference: Floats
    volume: float

    @property
    def name(self) -> str:
        """What the values are."""
        return "hypervolume" if len(self.objectives) > 1 else self.objectives[0].metric

    @property
    def sign(self) -> int:
        """Times this, less is better."""
        is_less_better = self.objectives[0].direction == "minimize" and len(self.objectives) == 1
        return 1 if is_less_better else -1

    @property
    def reference_metrics(self) -> dict[str, float] | None:
        """The reference point as values of the metrics; None for one objective."""
        if len(self.objectives) == 1:
            return None
        pairs = zip(self.objectives, self.reference.tolist(), strict=True)
        return {each.metric: -v if each.direction == "maximize" else v for each, v in pairs}

    def value(self, front: Floats) -> float:
        """Return what losses are worth of which none dominates another, shape ``(k, m)``."""
        if len(self.objectives) == 1:
            return self.sign * float(front.min())
        return hypervolume(front, self.reference) / self.volume if self.volume else 0.0

    def counts(self, state: StudyState, record: Record) -> bool:
        """Return whether a candidate completed, is of the kind compared, and meets the bounds."""
        return record.state == "completed" and self.is_due(record) and not state.violation(record)

    def is_due(self, record: Record) -> bool:
        """Return whether a candidate is of the search, and of the kind that is compared."""
        candidate = record.candidate
        return candidate.phase == "search" and candidate.is_scored == self.scored


def common_scale(states: Sequence[StudyState]) -> Scale:
    """Return the scale of all studies; scores with shared weights count if there is nothing else.

    The reference point is the same for all: the 99th percentile of the losses of all of them.
    """
    objectives = states[0].objectives
    leaders = [ranking[0] for state in states if (ranking := state.ranking("search"))]
    scored = bool(leaders) and all(leader.candidate.is_scored for leader in leaders)
    scale = Scale(objectives, scored, np.zeros(len(objectives)), 0.0)
    if len(objectives) == 1:
        return scale
    points = np.array(
        [
            losses(objectives, record.metrics)
            for state in states
            for record in state.records.values()
            if scale.counts(state, record)
        ]
    )
    if not len(points):
        return scale
    reference = np.percentile(points, _GOOD_SIDE, axis=0)
    return Scale(
        objectives, scored, reference, hypervolume(points[pareto_front(points)], reference)
    )


@final
@dataclass(frozen=True, slots=True)
class Curve:
    """What a study had reached after each candidate of its search, in the order they ended.

    Attributes:
        values: The best so far, shape ``(n,)``; NaN before there was any.
        costs: What all had cost that ended until then, failures and supernets too; ``(n,)``.
    """

    values: Floats
    costs: Floats

    @property
    def found(self) -> bool:
        """Whether there is any result."""
        return bool(len(self.values)) and not math.isnan(self.values[-1])

    def after(self, candidates: int) -> float:
        """Return the best after so many candidates; NaN if there is none."""
        return (
            float(self.values[candidates - 1]) if 0 < candidates <= len(self.values) else math.nan
        )

    def reach(self, target: float, sign: int) -> tuple[float, float]:
        """Return how many candidates, and what cost, it took to the target; infinite if never."""
        places = np.flatnonzero(sign * self.values <= sign * target)
        return (
            (int(places[0]) + 1, float(self.costs[places[0]])) if len(places) else (math.inf,) * 2
        )


def follow(state: StudyState, scale: Scale, currency: Currency) -> Curve:
    """Return what a study had reached by when.

    As everywhere, a network that was trained for longer comes before one that was not: with it the
    best so far begins anew.
    """
    front = np.empty((0, len(scale.objectives)))
    value, cost, longest = math.nan, 0.0, 0.0
    values: list[float] = []
    costs: list[float] = []
    for record in _ended(state):
        cost += currency.cost(record)
        if not scale.is_due(record):
            continue
        if scale.counts(state, record):
            epochs = math.inf if record.candidate.epochs is None else record.candidate.epochs
            if epochs > longest:
                front, longest = front[:0], epochs
            before = front
            if epochs == longest:
                front = grown(front, np.array(losses(scale.objectives, record.metrics)))
            if front is not before:
                value = scale.value(front)
        values.append(value)
        costs.append(cost)
    return Curve(np.array(values), np.array(costs))


def _ended(state: StudyState) -> Iterator[Record]:
    """Yield what ended before the final phase, in that order."""
    ended = [(r.ended, r.id) for r in state.records.values() if r.ended is not None]
    records = (state.records[number] for _, number in sorted(ended))
    return (record for record in records if record.candidate.phase != "final")


@final
@dataclass(frozen=True, slots=True)
class Band:
    """The studies of a group at the points where any of them got better; each of shape ``(k,)``.

    Attributes:
        at: Candidates or cost.
        low: Lower quartile.
        middle: Median.
        high: Upper quartile.
    """

    at: Floats
    low: Floats
    middle: Floats
    high: Floats


def band(curves: Sequence[Curve], *, by_cost: bool) -> Band:
    """Return median and quartiles of studies, from where all have a result to where one ends."""
    curves = [curve for curve in curves if curve.found]
    if not curves:
        return Band(*[np.empty(0)] * 4)
    axes = [curve.costs if by_cost else np.arange(1.0, len(curve.values) + 1) for curve in curves]
    begin = max(
        at[np.flatnonzero(~np.isnan(curve.values))[0]]
        for at, curve in zip(axes, curves, strict=True)
    )
    end = min(at[-1] for at in axes)
    every = np.unique(np.concatenate(axes))
    every = every[(begin <= every) & (every <= end)]
    rows = [
        curve.values[np.searchsorted(at, every, side="right") - 1]
        for at, curve in zip(axes, curves, strict=True)
    ]
    if not len(every):
        return Band(*[np.empty(0)] * 4)
    quartiles = np.percentile(rows, [25, 50, 75], axis=0)
    changes = (np.diff(quartiles, axis=1) != 0).any(axis=0)
    kept = np.concatenate([[True], changes])
    kept[-1] = True
    return Band(every[kept], *quartiles[:, kept])
