"""Objectives: which metrics count, and which way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from phylon.search.errors import EvaluationError

Direction = Literal["maximize", "minimize"]


@dataclass(frozen=True, slots=True)
class Objective:
    """A metric and the direction that makes it better."""

    metric: str
    direction: Direction = "maximize"

    def loss(self, metrics: Mapping[str, float]) -> float:
        """Return the metric as a value to be minimised.

        Raises:
            EvaluationError: The metric was not reported, or is not a finite number.
        """
        value = measured("objective", self.metric, metrics)
        return -value if self.direction == "maximize" else value


def losses(objectives: Sequence[Objective], metrics: Mapping[str, float]) -> tuple[float, ...]:
    """Return the metrics as one value per objective, all to be minimised."""
    return tuple(objective.loss(metrics) for objective in objectives)


def measured(purpose: str, metric: str, metrics: Mapping[str, float]) -> float:
    """Return a metric that is needed.

    Args:
        purpose: What it is needed as, for messages.
        metric: Its name.
        metrics: What was reported.

    Raises:
        EvaluationError: The metric was not reported, or is not a finite number.
    """
    if metric not in metrics:
        reported = ", ".join(sorted(metrics)) or "nothing"
        raise EvaluationError(
            f"{purpose} `{metric}` was not reported; the candidate reported: {reported}"
        )
    value = float(metrics[metric])
    if not math.isfinite(value):
        raise EvaluationError(f"{purpose} `{metric}` is {value}, not a finite number")
    return value
