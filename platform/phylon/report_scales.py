"""The numbers by which candidates are coloured."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from phylon.record import Record
from phylon.report_candidates import shown_metrics
from phylon.report_style import compact
from phylon.state import StudyState


@dataclass(frozen=True)
class Scale:
    """A number to colour candidates by.

    Attributes:
        label: What it is called.
        values: Of each candidate; NaN where there is none.
        low: What is drawn in the first colour, as is all below.
        high: What is drawn in the last colour, as is all above.
        is_better_low: Whether less is better.
    """

    label: str
    values: NDArray[np.float32]
    low: float
    high: float
    is_better_low: bool = False


def scales_of(state: StudyState, records: Sequence[Record]) -> list[Scale]:
    """Return what candidates may be coloured by, the first objective first.

    Scores with shared weights and results of trainings are not on one scale, and so are two.
    """
    are_scored = np.array([record.candidate.is_scored for record in records])
    directions = {objective.metric: objective.direction for objective in state.objectives}
    kinds = [(are_scored, " with shared weights"), (~are_scored, "")]
    if state.best and not state.best.candidate.is_scored:
        kinds.reverse()
    found = []
    for metric in shown_metrics(state):
        completed = (r.metrics if r.state == "completed" else {} for r in records)
        values = np.array([float(metrics.get(metric, math.nan)) for metrics in completed])
        values[~np.isfinite(values)] = math.nan
        for kind, suffix in kinds if metric in directions else [(np.True_, "")]:
            own = np.where(kind, values, math.nan)
            if not np.isnan(own).all():
                found.append(_robust(metric + suffix, own, directions.get(metric, "")))
    seconds = np.array([record.seconds or math.nan for record in records])
    if not np.isnan(seconds).all():
        found.append(_robust("seconds", seconds, ""))
    return found


def _robust(label: str, values: NDArray[np.float64], direction: str) -> Scale:
    """Return a scale that a few far off do not spoil: without the worst tenth."""
    known = values[~np.isnan(values)]
    shares = {"maximize": (0.1, 1.0), "minimize": (0.0, 0.9)}.get(direction, (0.05, 0.95))
    low, high = (float(end) for end in np.quantile(known, shares))
    if low == high:
        low, high = low - 0.5, high + 0.5
    return Scale(label, compact(values), low, high, direction == "minimize")
