"""Constraints: what a candidate must keep to, whatever it is good for otherwise."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from phylon.search.errors import ConfigurationError
from phylon.search.objective import measured

_LARGEST = 1e300  # a violation stays finite, and so does the sum of several


@dataclass(frozen=True, slots=True)
class Constraint:
    """A metric and the bound it must keep to.

    >>> Constraint("params", at_most=500_000).violation({"params": 600_000})
    0.2

    Attributes:
        metric: A metric that is reported.
        at_most: The highest value that is allowed; None if `at_least` is given.
        at_least: The lowest value that is allowed; None if `at_most` is given.

    Raises:
        ConfigurationError: Not exactly one bound is given, or it is no finite number.
    """

    metric: str
    at_most: float | None = None
    at_least: float | None = None

    def __post_init__(self) -> None:
        given = [bound for bound in (self.at_most, self.at_least) if bound is not None]
        if len(given) != 1:
            how = "both `at_most` and" if given else "neither `at_most` nor"
            raise ConfigurationError(
                f"bounds `{self.metric}` by {how} `at_least`; give one of them"
            )
        if not math.isfinite(given[0]):
            raise ConfigurationError(
                f"bounds `{self.metric}` by {given[0]}; allowed: finite numbers"
            )

    def violation(self, metrics: Mapping[str, float]) -> float:
        """Return by how much the bound is missed, as a share of it; 0 if it is kept to.

        Where the bound is 0, the amount itself is returned.

        Raises:
            EvaluationError: The metric was not reported, or is not a finite number.
        """
        value = measured("constraint", self.metric, metrics)
        if self.at_most is not None:
            bound, excess = self.at_most, value - self.at_most
        else:
            bound = self.at_least or 0.0
            excess = bound - value
        return min(max(0.0, excess) / (abs(bound) or 1.0), _LARGEST)

    def __str__(self) -> str:
        if self.at_most is not None:
            return f"{self.metric} at most {self.at_most:,.10g}"
        return f"{self.metric} at least {self.at_least:,.10g}"


def total_violation(constraints: Sequence[Constraint], metrics: Mapping[str, float]) -> float:
    """Return by how much all constraints together are missed; 0 if they are met."""
    return sum((constraint.violation(metrics) for constraint in constraints), 0.0)
