"""Predicts how much memory a candidate will need at most."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import numpy as np
from scipy.optimize import nnls

from phylon.search.architecture import Architecture
from phylon.search.candidate import Candidate

WORKER = 400 * 2**20
"""Bytes that a worker holds before it does anything: a guess, until there are measured peaks."""

REMEMBERED = 256
_LIKELY = 0.95
_MARGIN = 0.05
_PRIOR = 0.1


@dataclass(frozen=True, slots=True)
class _Peak:
    """What a candidate was foreseen to need, and needed: bytes."""

    foreseen: int
    needed: int


@final
class PeakModel:
    """Corrects what an evaluator foresees by what candidates turned out to need.

    ``peak = a + b * foreseen`` by least squares with `a`, `b` >= 0, so that more is predicted where
    more is foreseen. A priori `a` is what a worker holds and `b` is 1, which a few measurements
    overrule. On top comes what 95 of 100 measurements were above the line at most, and a margin
    that is 105 % at first and nears 5 %.

    Args:
        foresee: Returns bytes for a candidate, its networks' tensors alone; see `MemoryForeseer`.
    """

    def __init__(self, foresee: Callable[[Candidate], int]) -> None:
        self._foresee = functools.lru_cache(maxsize=REMEMBERED)(foresee)
        self._peaks: dict[Architecture, _Peak] = {}
        self._line: tuple[float, float, float] | None = None

    def predict(self, candidate: Candidate) -> int:
        """Return the bytes that a candidate should get: what its network needed, if that is known.

        Else what it will hardly exceed.
        """
        known = self._peaks.get(candidate.architecture)
        return known.needed if known else self.bound(self._foresee(candidate))

    def bound(self, foreseen: int) -> int:
        """Return the bytes that a candidate will hardly exceed, grown with what is foreseen."""
        if self._line is None:
            self._line = _fit(tuple(self._peaks.values()))
        intercept, slope, excess = self._line
        margin = 1 + _MARGIN + 1 / (1 + len(self._peaks))
        return int((intercept + slope * foreseen) * margin + excess)

    def learn(self, candidate: Candidate, needed: int) -> None:
        """Take note of what a candidate needed at most; the latest figure for a network counts."""
        self._peaks.pop(candidate.architecture, None)
        self._peaks[candidate.architecture] = _Peak(self._foresee(candidate), needed)
        if len(self._peaks) > REMEMBERED:
            del self._peaks[next(iter(self._peaks))]
        self._line = None


def _fit(peaks: tuple[_Peak, ...]) -> tuple[float, float, float]:
    """Return intercept, slope, and the excess over the line that few have more of."""
    foreseen = np.array([peak.foreseen for peak in peaks], dtype=float) / WORKER
    needed = np.array([peak.needed for peak in peaks], dtype=float) / WORKER
    typical = foreseen.mean() if foreseen.any() else 1.0
    # The last two rows say that the intercept is 1 and the slope is 1.
    ones = [*np.ones(len(peaks)), _PRIOR, 0.0]
    columns = np.column_stack([ones, [*foreseen, 0.0, _PRIOR * typical]])
    (intercept, slope), _ = nnls(columns, np.array([*needed, _PRIOR, _PRIOR * typical]))
    excess = needed - (intercept + slope * foreseen)
    few_exceed = np.quantile(excess, _LIKELY, method="higher") if peaks else 0.0
    return float(intercept) * WORKER, float(slope), max(float(few_exceed), 0.0) * WORKER
