"""How well cheap scores rank what was also measured at full cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats: TypeAlias = NDArray[np.float64]

LEAST = 3
"""Probes that it takes at least: of two, any order is perfect or reversed."""

_RESAMPLES = 2000
_LEVELS = (2.5, 97.5)  # percent


@dataclass(frozen=True, slots=True)
class RankCorrelation:
    """Agreement of two rankings of the same networks; None where it cannot be told.

    Attributes:
        kendall_tau: Kendall's tau-b over all probes: 1 for the same order, 0 for no relation, -1
            for the reverse; ties count for neither.
        low: Lower end of its 95 % bootstrap interval.
        high: Upper end.
        top_half: The same number within the better half by stand-alone score.
        probes: How many networks were compared.
    """

    kendall_tau: float | None
    low: float | None
    high: float | None
    top_half: float | None
    probes: int


def rank_correlation(shared: Sequence[float], alone: Sequence[float]) -> RankCorrelation:
    """Compare scores on shared weights with those of the same networks, trained on their own.

    Tau-b: M. G. Kendall, "The treatment of ties in ranking problems", Biometrika 33 (1945). The
    interval is the percentile bootstrap over probes: B. Efron and R. Tibshirani, "An Introduction
    to the Bootstrap" (1993), ch. 13. Its random numbers are fixed, so equal scores give equal
    numbers.

    It tells little of few probes. With 8 the interval is about 1 wide for a tau of 0.5, and too
    narrow for one near 1 or -1, since no resample of a perfect order has another; the better half
    is 4 networks then, of which one pair out of order takes 0.33 away. And random probes say
    nothing of how the very best rank among each other.

    Args:
        shared: Losses with shared weights, less is better, one per probe.
        alone: Losses of stand-alone training, in the same order.
    """
    x, y = np.asarray(shared, dtype=float), np.asarray(alone, dtype=float)
    n = len(x)
    tau = _tau(x, y)
    low, high = (None, None) if tau is None else _interval(x, y)
    top_half = None
    if n:
        better = y <= np.sort(y)[math.ceil(n / 2) - 1]  # of a tie at the border, all
        top_half = _tau(x[better], y[better])
    return RankCorrelation(tau, low, high, top_half, n)


def _tau(x: Floats, y: Floats) -> float | None:
    if len(x) < LEAST:
        return None
    tau = float(_weighted_taus(x, y, np.ones((1, len(x))))[0])
    return None if math.isnan(tau) else tau


def _interval(x: Floats, y: Floats) -> tuple[float, float]:
    n = len(x)
    counts = np.random.default_rng(0).multinomial(n, np.full(n, 1 / n), size=_RESAMPLES)
    low, high = np.nanpercentile(_weighted_taus(x, y, counts.astype(float)), _LEVELS)
    return float(low), float(high)


def _weighted_taus(x: Floats, y: Floats, counts: Floats) -> Floats:
    """Return tau-b of samples that hold each probe so many times; NaN where one score is constant.

    A sum over the pairs of a sample is a quadratic form in the counts of its probes.

    Args:
        x: Scores of n probes.
        y: Other scores of them.
        counts: How often each sample holds each probe, samples x n.
    """
    signs_x, signs_y = (np.sign(np.subtract.outer(each, each)) for each in (x, y))

    def over_pairs(values: Floats) -> Floats:
        products: Floats = ((counts @ values) * counts).sum(axis=1)
        return products

    concordance = over_pairs(signs_x * signs_y)
    untied = np.sqrt(over_pairs(np.abs(signs_x)) * over_pairs(np.abs(signs_y)))
    taus: Floats = np.divide(
        concordance, untied, out=np.full(len(counts), math.nan), where=untied > 0
    )
    return np.clip(taus, -1.0, 1.0)
